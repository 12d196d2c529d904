"""Hyperliquid: its websocket frames to market messages."""

from .codec import Codec as Codec, subscriptions as subscriptions
