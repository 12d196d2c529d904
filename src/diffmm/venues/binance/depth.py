"""A local book from a snapshot and numbered updates, in exact integers.

Each update carries the absolute size of the levels that changed and the range of the numbers it
covers. Spot numbers continue, `U = u' + 1`; USD-M names its predecessor, `pu = u'`. A snapshot
joins where its own number is covered: spot `U <= last + 1 <= u`, USD-M `U <= last <= u`. After a
gap nothing is known until another snapshot. Source: the venue's documentation, "How to manage a
local order book correctly".
"""

import bisect
import collections
import dataclasses
import enum
from collections.abc import Sequence

from diffmm.market.book import Level


MOST_WAITING = 4096
"""Updates kept until a snapshot comes, the newest ones."""
Sides = tuple[Sequence[Level], Sequence[Level]]


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """Absolute sizes of changed levels, zero where a level is gone.

    **Attributes:**

    - `first`, `last`: the numbers it covers, `U` and `u`.
    - `previous`: `pu`, the last number of the update before; `None` on spot.
    - `exchange_ms`: event time.
    - `sides`: changed bids and asks.
    """

    first: int
    last: int
    previous: int | None
    exchange_ms: int
    sides: Sides


class Joined(enum.Enum):
    """What an update did to the book."""

    APPLIED = "applied"
    STALE = "stale"
    WAITING = "waiting"
    GAP = "gap"


class DepthBook:
    """Every level of one market as told.

    **Attributes:**

    - `sizes`: size by price, bids and asks.
    - `last`: number of the newest change that is in it; `None` while a snapshot is awaited.
    - `exchange_ms`: event time of that change.
    """

    def __init__(self, starts_empty: bool = False):
        """An unknown book.

        Args:
            starts_empty: begin at the first update instead of waiting for a snapshot. What is told
                is then exact, what has not been told of yet is missing. After a gap it starts over.
        """
        self.sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.last: int | None = None
        self.exchange_ms = 0
        self._starts_empty = starts_empty
        self._prices: tuple[list[int], list[int]] = ([], [])
        self._joins = False
        self._waiting: collections.deque[Update] = collections.deque(maxlen=MOST_WAITING)

    def snapshot(self, last: int, sides: Sides, exchange_ms: int) -> Joined:
        """Replace everything, then take the updates that waited.

        Args:
            last: `lastUpdateId`.
            sides: all levels.
            exchange_ms: event time, 0 where the venue told none.
        """
        if self.last is not None and last < self.last:
            return Joined.STALE
        self._clear()
        self.last, self._joins = last, True
        self.exchange_ms = max(self.exchange_ms, exchange_ms)
        self._set(sides)
        waiting = list(self._waiting)
        self._waiting.clear()
        for i, update in enumerate(waiting):
            if self.update(update) is Joined.GAP:
                self._waiting.extend(waiting[i + 1 :])
                return Joined.GAP
        return Joined.APPLIED

    def update(self, update: Update) -> Joined:
        """Take one update, or keep it until a snapshot comes."""
        if self.last is None and self._starts_empty:
            self.last, self._joins = update.first - 1, True
            if update.previous is not None:
                self.last = update.first
        if self.last is None:
            self._waiting.append(update)
            return Joined.WAITING
        if update.last < self.last or (update.last == self.last and not self._joins):
            return Joined.STALE
        if not self._continues(update):
            if self._joins and update.last <= self.last:
                return Joined.STALE
            self.lose()
            self._waiting.append(update)
            return Joined.GAP
        self._set(update.sides)
        self.last, self._joins = update.last, False
        self.exchange_ms = max(self.exchange_ms, update.exchange_ms)
        return Joined.APPLIED

    def lose(self) -> None:
        """Nothing is known any more; the next snapshot begins anew."""
        self._clear()
        self.last = None

    def levels(self, side: int, depth: int) -> list[Level]:
        """The best levels of a side, best first.

        Args:
            side: 0 for bids.
            depth: how many at most.
        """
        prices, sizes = self._prices[side], self.sizes[side]
        near = reversed(prices[-depth:]) if side == 0 else prices[:depth]
        return [(price, sizes[price]) for price in near]

    def assume(self, best: tuple[Level | None, Level | None]) -> None:
        """Take a best bid and offer as two levels, in a book that lacks what was never told."""
        for side, level in enumerate(best):
            prices, sizes = self._prices[side], self.sizes[side]
            while prices and (
                level is None or (prices[-1] > level[0] if side == 0 else prices[0] < level[0])
            ):
                del sizes[prices.pop(-1 if side == 0 else 0)]
            if level is not None:
                self._put(side, *level)

    def _continues(self, update: Update) -> bool:
        assert self.last is not None
        if update.previous is None:
            covers = update.first <= self.last + 1 <= update.last
            return covers if self._joins else update.first == self.last + 1
        if self._joins:
            return update.first <= self.last <= update.last or update.previous == self.last
        return update.previous == self.last

    def _set(self, sides: Sides) -> None:
        for side, levels in enumerate(sides):
            for price, size in levels:
                self._put(side, price, size)

    def _put(self, side: int, price: int, size: int) -> None:
        sizes, prices = self.sizes[side], self._prices[side]
        if size:
            if price not in sizes:
                bisect.insort(prices, price)
            sizes[price] = size
        elif price in sizes:
            del sizes[price]
            del prices[bisect.bisect_left(prices, price)]

    def _clear(self) -> None:
        for side in (0, 1):
            self.sizes[side].clear()
            self._prices[side].clear()
