"""Binance as reference feed: `bookTicker` and `trade` streams."""

from .codec import Codec as Codec
