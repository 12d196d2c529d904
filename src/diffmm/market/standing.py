"""Our orders as the book sees them: which displayed size is ours, and what queues before it.

An order joins behind everything displayed at its price. Prints at the price take from the front;
of a decrease that no print explains, the share `cancel_ahead` was in front of us; never more can be
in front than is displayed. Sizes are exact integers of the instrument.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from .event import ASK, BID
from .own import Filled, Gone, Own, Placed, Pulled, Rested


MOST_GONE = 64
"""Orders that ended, kept until a book is newer than their end."""


@dataclasses.dataclass
class Order:
    """One order of ours.

    **Attributes:**

    - `slot`: of the engine, `None` once its cancel was sent.
    - `is_told`: whether a row has carried it; its age counts from there.
    - `rested_ms`: exchange time since which the book shows it; `None` while it flies.
    - `gone_ms`: exchange time since which the book shows it no more.
    - `ahead`, `joined`: queue in front of us at our price now, and when we joined.
    - `shown`: displayed by others at our price when last seen.
    - `printed`: prints at our price that the display has not shown yet.
    """

    side: int
    slot: int | None
    price: int
    size: int
    is_told: bool = False
    rested_ms: int | None = None
    gone_ms: int | None = None
    ahead: int = 0
    joined: int = 0
    shown: int = 0
    printed: int = 0


class Standing:
    """Orders by id.

    **Attributes:**

    - `orders`: those that may stand, and the last that ended.
    """

    def __init__(self, cancel_ahead: float):
        self.orders: dict[str, Order] = {}
        self._cancel_ahead = cancel_ahead

    def apply(self, change: Own, book: Sequence[Sequence[Sequence[int]]]) -> None:
        """One change; `book` is what others display, by side."""
        if isinstance(change, Placed):
            self.orders[change.id] = Order(change.side, change.slot, change.price, change.size)
            self._join(self.orders[change.id], book)
            return
        order = self.orders.get(getattr(change, "id", ""))
        if order is None:
            return
        if isinstance(change, Rested):
            if order.rested_ms is None:
                order.rested_ms = change.exchange_ms
                self._join(order, book)
        elif isinstance(change, Pulled):
            order.slot = None
        elif isinstance(change, Filled):
            order.size = max(order.size - change.size, 0)
            order.ahead = 0
        elif isinstance(change, Gone):
            order.slot, order.gone_ms = None, change.exchange_ms
            if order.rested_ms is None:
                del self.orders[change.id]
        self._prune()

    def in_slots(self) -> Iterable[Order]:
        """Orders that the engine counts: in flight or resting, no cancel sent, something left."""
        return [x for x in self.orders.values() if x.slot is not None and x.size > 0]

    def without(self, side: int, levels: Sequence[Sequence[int]]) -> list[list[int]]:
        """Levels `[price, size, stamp_ms]` less what of them is ours."""
        ours = [x for x in self.orders.values() if x.side == side and x.rested_ms is not None]
        if not ours:
            return [list(x) for x in levels]
        out = []
        for price, size, stamp_ms in levels:
            for order in ours:
                is_shown = order.price == price and (order.rested_ms or 0) <= stamp_ms
                if is_shown and (order.gone_ms is None or stamp_ms < order.gone_ms):
                    size -= order.size
            if size > 0:
                out.append([price, size, stamp_ms])
        return out

    def on_book(self, book: Sequence[Sequence[Sequence[int]]], stamp_ms: int) -> None:
        """A newer book, others' size only."""
        for order in self.orders.values():
            if order.gone_ms is not None or not book[order.side]:
                continue
            deepest = book[order.side][-1][0]
            if (order.price < deepest) if order.side == BID else (order.price > deepest):
                continue
            shown = _at(order, book)
            if order.rested_ms is None:
                # On its way, it will join behind whatever is there.
                order.ahead = order.joined = order.shown = shown
                continue
            fell = max(order.shown - shown - order.printed, 0)
            order.ahead = min(max(order.ahead - int(fell * self._cancel_ahead), 0), shown)
            order.shown, order.printed = shown, 0
        for key in [k for k, x in self.orders.items() if (x.gone_ms or stamp_ms + 1) <= stamp_ms]:
            del self.orders[key]

    def on_print(self, sign: int, price: int, size: int) -> None:
        """A public trade: it takes from the front of the side that it hits."""
        side = ASK if sign > 0 else BID
        for order in self.orders.values():
            if order.side == side and order.price == price and order.rested_ms is not None:
                order.ahead = max(order.ahead - size, 0)
                order.printed += size

    def _join(self, order: Order, book: Sequence[Sequence[Sequence[int]]]) -> None:
        order.shown = order.ahead = order.joined = _at(order, book)
        order.printed = 0

    def _prune(self) -> None:
        gone = [key for key, order in self.orders.items() if order.gone_ms is not None]
        for key in gone[: max(len(gone) - MOST_GONE, 0)]:
            del self.orders[key]


def _at(order: Order, book: Sequence[Sequence[Sequence[int]]]) -> int:
    return next((x[1] for x in book[order.side] if x[0] == order.price), 0)
