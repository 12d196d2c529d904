"""The pre-trade gate: one order against the limits, in exact integers, for any engine output.

Pure, no I/O, no floats, a fixed order of checks. It allows or denies with one code; it never
changes a price or a size. Cancels do not pass here: they are always allowed.
"""

import dataclasses
import enum
from collections.abc import Sequence

from diffmm.market import ASK, BID, Instrument

from .limits import Limits


BP = 10_000


class Denial(enum.Enum):
    """Why an order does not leave."""

    MODE = "mode"
    ILLEGAL = "illegal"
    SIZE = "size"
    STALE = "stale"
    COLLAR = "collar"
    REFERENCES = "references"
    POSITION = "position"
    REDUCE_ONLY = "reduce_only"
    SELF_CROSS = "self_cross"
    DUPLICATE = "duplicate"
    OPEN_ORDERS = "open_orders"
    RATE = "rate"
    LOSS = "loss"


@dataclasses.dataclass(frozen=True, slots=True)
class Intended:
    """An order before it exists: price and size in the instrument's units."""

    side: int
    price: int
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Working:
    """An order that is not over: live, in flight or of unknown outcome; `left` may be filled."""

    side: int
    price: int
    left: int
    is_canceling: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """What the gate is told of the world.

    **Attributes:**

    - `may_open`: the session quotes.
    - `is_reduce_only`: only what reduces the position may be placed.
    - `is_fresh`: connection, stamps and reconciliation are fresh.
    - `position`: size units, long positive.
    - `working`: every order that is not over.
    - `mid2`: bid plus ask of the book, `None` without one; `mark`: the venue's mark price.
    - `tokens`: messages that may be sent now.
    - `pnl_1e8`: of the run so far.
    """

    may_open: bool
    is_reduce_only: bool
    is_fresh: bool
    position: int
    working: Sequence[Working]
    mid2: int | None
    mark: int | None
    tokens: int
    pnl_1e8: int


def gate(order: Intended, now: Snapshot, limits: Limits, at: Instrument) -> Denial | None:
    """The first reason to deny an order, `None` to allow it."""
    if not now.may_open:
        return Denial.MODE
    if not _is_legal(order, at):
        return Denial.ILLEGAL
    if order.size > limits.max_order:
        return Denial.SIZE
    if not now.is_fresh or now.mid2 is None or now.mark is None:
        return Denial.STALE
    if _is_apart(2 * now.mark, now.mid2, limits.max_reference_gap_bp):
        return Denial.REFERENCES
    for reference2 in (now.mid2, 2 * now.mark):
        if _is_apart(2 * order.price, reference2, limits.collar_bp):
            return Denial.COLLAR
    same = sum(x.left for x in now.working if x.side == order.side) + order.size
    held = now.position if order.side == BID else -now.position
    if held + same > limits.max_position:
        return Denial.POSITION
    if now.is_reduce_only and held + same > 0:
        return Denial.REDUCE_ONLY
    return _against_own(order, now) or _against_budgets(now, limits)


def _is_legal(order: Intended, at: Instrument) -> bool:
    whole = all(type(x) is int for x in (order.side, order.price, order.size))
    if not whole or order.side not in (BID, ASK) or order.size <= 0:
        return False
    scale = 10 ** (at.price_decimals + at.size_decimals)
    return (
        at.is_valid_price(order.price) and order.price * order.size >= at.min_notional_usd * scale
    )


def _is_apart(one2: int, other2: int, most_bp: int) -> bool:
    return abs(one2 - other2) * BP > most_bp * min(one2, other2)


def _against_own(order: Intended, now: Snapshot) -> Denial | None:
    for own in now.working:
        if own.side != order.side and own.left > 0:
            crosses = order.price >= own.price if order.side == BID else order.price <= own.price
            if crosses:
                return Denial.SELF_CROSS
        elif own.side == order.side and own.price == order.price and not own.is_canceling:
            return Denial.DUPLICATE
    return None


def _against_budgets(now: Snapshot, limits: Limits) -> Denial | None:
    if len(now.working) >= limits.max_open_orders:
        return Denial.OPEN_ORDERS
    if now.tokens <= limits.cancel_reserve:
        return Denial.RATE
    if now.pnl_1e8 <= -limits.max_loss_1e8:
        return Denial.LOSS
    return None


class Tokens:
    """A bucket: a third of what a minute allows at once, the rest of it evenly in a minute.

    So no minute, wherever it begins, sees more than the limit. Never below zero.

    **Attributes:**

    - `interval_ns`: between messages that are sent evenly.
    """

    def __init__(self, per_min: int):
        self._most = per_min // 3
        self._rate = per_min - self._most
        self._units, self._at_ns = self._most * NS_PER_MIN, 0
        self.interval_ns = NS_PER_MIN // self._rate

    def left(self, now_ns: int) -> int:
        """Whole messages that may be sent now."""
        if self._at_ns:
            gained = (now_ns - self._at_ns) * self._rate
            self._units = min(self._units + gained, self._most * NS_PER_MIN)
        self._at_ns = now_ns
        return self._units // NS_PER_MIN

    def take(self, now_ns: int, count: int = 1) -> None:
        """Use messages; what must go goes even where none is left."""
        self.left(now_ns)
        self._units = max(self._units - count * NS_PER_MIN, 0)


NS_PER_MIN = 60 * 1_000_000_000
