"""Every order we ever sent, by its cloid: one table, one writer, evidence only.

    SENT -> LIVE -> CLOSING -> FILLED | CANCELED | REJECTED       UNKNOWN is left by proof alone

An order is over when the venue says so *and* every fill it speaks of has come; a timeout, a lost
connection or an absence from a list proves nothing. Evidence may come twice and in any order: the
state only advances. Whatever may still be filled counts: live, in flight, unknown, being cancelled.
"""

import collections
import dataclasses
import enum
from collections.abc import Iterator

from diffmm.market import own
from diffmm.market.reports import Fate, FillReport, OrderReport


class State(enum.IntEnum):
    """How much is known of an order; it never decreases, except that UNKNOWN is not more."""

    SENT = 0
    UNKNOWN = 1
    LIVE = 2
    CLOSING = 3
    FILLED = 4
    CANCELED = 5
    REJECTED = 6


OVER = (State.FILLED, State.CANCELED, State.REJECTED)
ENDS = {
    Fate.FILLED: State.FILLED,
    Fate.CANCELED: State.CANCELED,
    Fate.REJECTED: State.REJECTED,
}
MOST_OVER = 20_000
"""Orders that are over, kept for what may still be said of them."""


class OverfillError(RuntimeError):
    """More was filled than was ordered: the table and the venue do not speak of the same order."""


@dataclasses.dataclass
class Order:
    """One order.

    **Attributes:**

    - `slot`: of the engine; `None` once a cancel was sent, or for an adopted order.
    - `end`, `end_filled`: how the venue says it ended, and what it says was filled by then.
    - `canceled_ns`: when its cancel was last sent, 0 for never.
    - `asked_ns`: when its status was last asked for.
    - `absences`: times that the venue, asked after its expiry, did not know it.
    - `is_adopted`: found at the venue; the venue's figure of what was filled is all we know.
    """

    cloid: str
    side: int
    slot: int | None
    price: int
    size: int
    sent_ns: int
    expires_ms: int
    state: State = State.SENT
    filled: int = 0
    oid: int | None = None
    end: State | None = None
    end_filled: int = 0
    end_ms: int = 0
    has_rested: bool = False
    canceled_ns: int = 0
    asked_ns: int = 0
    absences: int = 0
    is_adopted: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state in OVER

    @property
    def left(self) -> int:
        """What may still be filled of it."""
        if self.is_over:
            return 0
        if self.state is State.CLOSING:
            return max(self.end_filled - self.filled, 0)
        return self.size - self.filled


class Blotter:
    """The table.

    **Attributes:**

    - `orders`: by cloid; the oldest that are over are dropped beyond a cap.
    """

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self._working: dict[str, Order] = {}
        self._by_oid: dict[int, str] = {}
        self._over: collections.deque[str] = collections.deque()

    def working(self) -> Iterator[Order]:
        """Orders that are not over, oldest first."""
        # Of its own, and copied: there are thousands that are over, and one may end meanwhile.
        return iter(list(self._working.values()))

    def add(self, order: Order) -> None:
        """An order that is about to be sent, or one found at the venue.

        Raises:
            ValueError: for a cloid that exists.
        """
        if order.cloid in self.orders:
            raise ValueError(f"cloid {order.cloid} was used before")
        self.orders[order.cloid] = self._working[order.cloid] = order
        if order.oid is not None:
            self._by_oid[order.oid] = order.cloid

    def forget(self, cloid: str) -> None:
        """An order that a journal says is over."""
        order = self.orders.pop(cloid, None)
        self._working.pop(cloid, None)
        if order is not None and order.oid is not None:
            self._by_oid.pop(order.oid, None)

    def find(self, cloid: str | None, oid: int) -> Order | None:
        """By our id, else by the venue's."""
        return self.orders.get(cloid or self._by_oid.get(oid, ""))

    def acked(self, cloid: str, oid: int, is_resting: bool) -> list[own.Own]:
        """The reply to a placement: it exists. Filled at once, its fills say the rest."""
        order = self.orders[cloid]
        self._named(order, oid)
        if order.state < State.LIVE and is_resting:
            order.state = State.LIVE
        return []

    def refused(self, cloid: str) -> list[own.Own]:
        """The reply to a placement: it was never on the book."""
        order = self.orders[cloid]
        return self._end(order, State.REJECTED, order.filled, 0)

    def unknown(self, cloid: str) -> None:
        """No reply came. That is all that is known."""
        order = self.orders[cloid]
        if order.state is State.SENT:
            order.state = State.UNKNOWN

    def absent(self, cloid: str) -> list[own.Own]:
        """The venue, asked after the order's expiry, does not know it. Twice is proof."""
        order = self.orders[cloid]
        if order.is_over or order.state is State.CLOSING or order.state is State.LIVE:
            return []
        order.absences += 1
        return [] if order.absences < 2 else self._end(order, State.REJECTED, order.filled, 0)

    def told(self, report: OrderReport) -> list[own.Own]:
        """What the venue says of an order."""
        order = self.find(report.cloid, report.oid)
        if order is None:
            return []
        self._named(order, report.oid)
        if order.is_adopted:
            order.filled = max(order.filled, report.size - report.remaining)
        end = ENDS.get(report.fate)
        if end is not None:
            # Not every venue counts partial fills in what remains; what we saw was filled.
            reported = report.size if end is State.FILLED else report.size - report.remaining
            return self._end(order, end, max(reported, order.filled), report.exchange_ms)
        changes: list[own.Own] = []
        if report.fate is Fate.OPEN and order.state is State.REJECTED:
            # It was taken for dead, and the venue shows it alive: the venue is right.
            order.state, order.end, order.slot = State.LIVE, None, None
            self._over.remove(order.cloid)
            self._working[order.cloid] = order
        if report.fate is Fate.OPEN and not order.is_over and order.state < State.CLOSING:
            if order.state < State.LIVE:
                order.state = State.LIVE
            if not order.has_rested:
                order.has_rested = True
                changes.append(own.Rested(order.cloid, report.exchange_ms))
        return changes

    def filled(self, report: FillReport) -> list[own.Own]:
        """A fill that the books took for the first time.

        Raises:
            OverfillError: when it is more than was left of the order.
        """
        order = self.find(report.cloid, report.oid)
        if order is None or order.is_adopted:
            return []
        self._named(order, report.oid)
        order.filled += report.size
        if order.filled > order.size:
            raise OverfillError(f"{order.cloid}: {order.filled} filled of {order.size}")
        changes: list[own.Own] = [own.Filled(order.cloid, order.side, report.price, report.size)]
        if order.filled == order.size:
            return changes + self._end(order, State.FILLED, order.size, report.exchange_ms)
        if order.state < State.LIVE:
            order.state = State.LIVE
        if order.state is State.CLOSING:
            changes += self._close(order)
        return changes

    def _end(self, order: Order, end: State, filled: int, exchange_ms: int) -> list[own.Own]:
        if order.is_over:
            return []
        if order.end is None:
            order.end, order.end_ms = end, exchange_ms
        order.end_filled = max(order.end_filled, filled)
        order.state = State.CLOSING
        return self._close(order)

    def _close(self, order: Order) -> list[own.Own]:
        """Over, once every fill that the venue spoke of has come."""
        if order.end is None or (order.filled < order.end_filled and not order.is_adopted):
            return []
        order.state = order.end
        self._working.pop(order.cloid, None)
        self._over.append(order.cloid)
        while len(self._over) > MOST_OVER:
            old = self.orders.pop(self._over.popleft())
            if old.oid is not None:
                self._by_oid.pop(old.oid, None)
        return [own.Gone(order.cloid, order.end_ms)]

    def _named(self, order: Order, oid: int) -> None:
        if order.oid is None:
            order.oid = oid
            self._by_oid[oid] = order.cloid
