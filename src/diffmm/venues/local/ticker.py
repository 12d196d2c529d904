"""What the public is told between blocks: recent trades, mids, contexts, the funding clock."""

import collections
from typing import Any

from . import frames, house
from .account import Funding
from .exchange import Exchange, Printed


BACKFILL = 30
"""Trades that a new subscriber is sent first."""


class Ticker:
    """Running figures of each coin.

    **Attributes:**

    - `rates`: funding of the present hour so far, in 1e-10.
    """

    def __init__(self, exchange: Exchange):
        count = len(exchange.listings)
        self.exchange = exchange
        self._recent = [collections.deque[Printed](maxlen=BACKFILL) for _ in range(count)]
        self._opened = [0] * count
        self._notional, self._size = [0] * count, [0] * count
        self._premiums, self._samples = [0] * count, 0
        self.rates = [house.hourly_rate(0, 0)] * count

    def on_print(self, one: Printed) -> None:
        """Count a trade."""
        self._recent[one.asset].append(one)
        self._notional[one.asset] += one.price * one.size
        self._size[one.asset] += one.size

    def sample(self) -> None:
        """One more premium of each coin."""
        self._samples += 1
        for asset in range(len(self.rates)):
            self._premiums[asset] += house.premium(self.exchange, asset)
            self.rates[asset] = house.hourly_rate(self._premiums[asset], self._samples)

    def settle(self, now_ms: int) -> list[tuple[str, Funding]]:
        """Pay the hour's funding and begin the next hour."""
        paid = []
        for asset, rate in enumerate(self.rates):
            paid += house.settle(self.exchange, asset, rate, now_ms)
        self._premiums, self._samples = [0] * len(self.rates), 0
        return paid

    def recent(self, asset: int) -> list[dict[str, Any]]:
        """Last trades, newest first."""
        return [frames.trade(self.exchange, x) for x in reversed(self._recent[asset])]

    def mids(self) -> dict[str, str]:
        """Mid of every coin that has one."""
        told = ((x.coin, frames.mid(self.exchange, i)) for i, x in self._listed())
        return {coin: mid for coin, mid in told if mid is not None}

    def context(self, asset: int) -> dict[str, Any]:
        """One coin's context."""
        opened = self._opened[asset] = self._opened[asset] or self.exchange.marks[asset]
        day = (opened, self._notional[asset], self._size[asset])
        return frames.asset_context(self.exchange, asset, self.rates[asset], day)

    def contexts(self) -> list[dict[str, Any]]:
        """Every coin's context."""
        return [self.context(asset) for asset, _ in self._listed()]

    def _listed(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.exchange.listings))
