"""What a venue says of our account: orders, fills, funding, state; exact integers, venue-neutral.

Prices and sizes count the instrument's units, money 1e-8 USD.
"""

import dataclasses
import enum


class Fate(enum.Enum):
    """What a venue's status means for an order that we sent."""

    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    UNCLEAR = "unclear"


@dataclasses.dataclass(frozen=True, slots=True)
class OrderReport:
    """One order; `remaining` is the venue's own figure. `cloid` is `None` for a foreign one."""

    cloid: str | None
    oid: int
    side: int
    price: int
    size: int
    remaining: int
    fate: Fate
    status: str
    exchange_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class FillReport:
    """One fill of ours; `tid` identifies it, `fee_1e8` is negative for a rebate."""

    tid: int
    cloid: str | None
    oid: int
    side: int
    price: int
    size: int
    fee_1e8: int
    exchange_ms: int
    is_taker: bool


@dataclasses.dataclass(frozen=True, slots=True)
class FundingReport:
    """One settlement; `paid_1e8` is a credit, negative when we paid."""

    exchange_ms: int
    paid_1e8: int


@dataclasses.dataclass(frozen=True, slots=True)
class AccountReport:
    """The account at one time: position of the instrument, its cash leg, its value at the mark."""

    exchange_ms: int
    position: int
    cash_1e8: int
    value_1e8: int


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """The reply to one placed order: its `oid` where it rests or was filled, else the error."""

    oid: int | None
    is_resting: bool
    error: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Cancellation:
    """The reply to one cancel; `error` is `None` for success."""

    error: str | None
