"""What a venue said, typed and venue-neutral; prices and sizes are exact integers.

Units are the instrument's: a price counts `10**-price_decimals` quote units, a size
`10**-size_decimals` coins.
"""

import dataclasses
import enum

from .book import Level


@dataclasses.dataclass(frozen=True, slots=True)
class BookMessage:
    """Levels of both sides, best first; `depth` is how many the feed would carry."""

    coin: str
    exchange_ms: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    depth: int


@dataclasses.dataclass(frozen=True, slots=True)
class TouchMessage:
    """Best bid and offer; `None` is an empty side."""

    coin: str
    exchange_ms: int
    bid: Level | None
    ask: Level | None


@dataclasses.dataclass(frozen=True, slots=True)
class Print:
    """One trade; `sign` +1 when the taker bought. `(exchange_ms, tid)` identifies it."""

    sign: int
    price: int
    size: int
    exchange_ms: int
    tid: int


@dataclasses.dataclass(frozen=True, slots=True)
class TradesMessage:
    """Prints of one frame in the venue's order."""

    coin: str
    prints: tuple[Print, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ContextMessage:
    """Funding, open interest and mark; rates are the venue's decimals, no money is computed.

    `premium_rate_1h` is what the newest premium alone would give for an hour, none where untold.
    """

    coin: str
    funding_rate_1h: float
    open_interest: float
    mark: int | None
    premium_rate_1h: float | None = None


class NoticeKind(enum.Enum):
    """What a frame without market data is."""

    PONG = "pong"
    ACK = "ack"
    ERROR = "error"
    GREETING = "greeting"
    OTHER = "other"
    BAD = "bad"
    GAP = "gap"


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """A frame that moves no book: an answer, an error text, or one that could not be read."""

    kind: NoticeKind
    text: str


Message = BookMessage | TouchMessage | TradesMessage | ContextMessage | Notice
