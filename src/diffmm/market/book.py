"""The book of one instrument on the host, in exact integers: full snapshots and newer touches.

The venue sends whole books rarely and the touch once a block, so the current book is the newest
snapshot with every level that a newer touch has crossed removed and level one refreshed.
"""

import dataclasses


Level = tuple[int, int]
"""Price and size in the instrument's smallest units."""


@dataclasses.dataclass
class HostBook:
    """Displayed levels from the touch outwards, each with the time it was last confirmed.

    **Attributes:**

    - `sides`: `(bids descending, asks ascending)` as `[price, size, stamp_ms]`.
    - `stamp_ms`: exchange time of the newest message applied; older ones are refused.
    """

    sides: tuple[list[list[int]], list[list[int]]] = dataclasses.field(
        default_factory=lambda: ([], [])
    )
    stamp_ms: int = 0

    def snapshot(self, bids: list[Level], asks: list[Level], stamp_ms: int, depth: int) -> bool:
        """Replace the levels a snapshot covers; false when it is older than the book.

        A snapshot of fewer levels than the book (the fast cadence) keeps the book's deeper levels,
        which age. One of at least `depth` levels, or an exhausted side, replaces everything.

        Args:
            bids: levels of the snapshot, best first.
            asks: levels of the snapshot, best first.
            stamp_ms: exchange time of the message.
            depth: levels that the message would carry if the side had them.
        """
        if stamp_ms < self.stamp_ms:
            return False
        for side, levels in enumerate((bids, asks)):
            kept: list[list[int]] = []
            if len(levels) >= depth:
                edge = levels[-1][0]
                kept = [x for x in self.sides[side] if (x[0] < edge if side == 0 else x[0] > edge)]
            self.sides[side][:] = [[px, sz, stamp_ms] for px, sz in levels] + kept
        self.stamp_ms = stamp_ms
        return True

    def touch(self, bid: Level | None, ask: Level | None, stamp_ms: int) -> bool:
        """Apply a best bid and offer; `None` empties that side. False when older than the book."""
        if stamp_ms < self.stamp_ms:
            return False
        for side, best in enumerate((bid, ask)):
            levels = self.sides[side]
            if best is None:
                levels.clear()
                continue
            px, sz = best
            behind = [x for x in levels if (x[0] < px if side == 0 else x[0] > px)]
            levels[:] = [[px, sz, stamp_ms], *behind]
        self.stamp_ms = stamp_ms
        return True

    def forget(self) -> None:
        """Nothing is known of the levels any more; older messages are still refused."""
        for levels in self.sides:
            levels.clear()

    @property
    def best_bid(self) -> Level | None:
        """Price and size of the best bid, `None` when the side is empty."""
        return (self.sides[0][0][0], self.sides[0][0][1]) if self.sides[0] else None

    @property
    def best_ask(self) -> Level | None:
        """Price and size of the best ask, `None` when the side is empty."""
        return (self.sides[1][0][0], self.sides[1][0][1]) if self.sides[1] else None

    @property
    def is_two_sided(self) -> bool:
        """Whether both sides exist and do not cross."""
        return bool(self.sides[0] and self.sides[1]) and self.sides[0][0][0] < self.sides[1][0][0]
