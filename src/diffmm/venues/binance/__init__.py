"""Binance: books from numbered updates, touches and prints; recordings in the common form."""

from .codec import Codec as Codec
from .depth import DepthBook as DepthBook, Joined as Joined, Update as Update
