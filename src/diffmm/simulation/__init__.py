"""Worlds for the engine: hard fills of our orders on any market, and a generative market."""

from . import hard_fills as hard_fills
