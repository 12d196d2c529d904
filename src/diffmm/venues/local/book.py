"""Orders and the book of one coin: better prices first, then who came first."""

import bisect
import dataclasses
import enum
from collections.abc import Iterator


class Tif(enum.Enum):
    """How long an order lives: only as a maker, only as a taker, until cancelled."""

    ALO = "Alo"
    IOC = "Ioc"
    GTC = "Gtc"


@dataclasses.dataclass(slots=True, eq=False)
class Order:
    """One order and what has become of it.

    **Attributes:**

    - `price`, `size`, `left`: in the listing's units; `left` is what has not been filled.
    - `status`: the venue's word, `open` while it rests.
    - `written_left`: `left` when the status last changed, which is what the venue shows of it.
    """

    oid: int
    owner: str
    asset: int
    is_buy: bool
    price: int
    size: int
    left: int
    tif: Tif
    is_reduce_only: bool
    cloid: str | None
    placed_ms: int
    status: str = "open"
    status_ms: int = 0
    written_left: int = 0

    @property
    def notional(self) -> int:
        """Of what is left, micro-USD."""
        return self.price * self.left


class Side:
    """One side of a book: a queue of orders at each price."""

    def __init__(self, is_bid: bool):
        self._sign = -1 if is_bid else 1
        # Prices times the sign, so that both sides are sorted from the touch outwards.
        self._outward: list[int] = []
        self._levels: dict[int, dict[int, Order]] = {}

    def add(self, order: Order) -> None:
        """Put an order behind those of its price."""
        level = self._levels.get(order.price)
        if level is None:
            level = self._levels[order.price] = {}
            bisect.insort(self._outward, self._sign * order.price)
        level[order.oid] = order

    def remove(self, order: Order) -> None:
        """Take an order off; it must be there."""
        level = self._levels[order.price]
        del level[order.oid]
        if not level:
            del self._levels[order.price]
            del self._outward[bisect.bisect_left(self._outward, self._sign * order.price)]

    def best(self) -> int | None:
        """Price of the touch."""
        return self._sign * self._outward[0] if self._outward else None

    def front(self) -> Order | None:
        """The order that a taker meets first."""
        if not self._outward:
            return None
        return next(iter(self._levels[self._sign * self._outward[0]].values()))

    def at(self, price: int) -> Iterator[Order]:
        """Orders of one price, the first to be filled first."""
        return iter(self._levels.get(price, {}).values())

    def prices(self) -> list[int]:
        """All prices from the touch outwards."""
        return [self._sign * x for x in self._outward]

    def depth(self, levels: int) -> list[tuple[int, int, int]]:
        """Price, size and number of orders of the first levels."""
        shown = []
        for outward in self._outward[:levels]:
            orders = self._levels[self._sign * outward].values()
            shown.append((self._sign * outward, sum(x.left for x in orders), len(orders)))
        return shown

    def impact(self, notional: int) -> int | None:
        """Average price of taking so much money's worth; `None` where there is not so much."""
        paid = taken = 0
        for outward in self._outward:
            price = self._sign * outward
            size = sum(x.left for x in self._levels[price].values())
            wanted = -(-(notional - paid) // price)
            paid, taken = paid + price * min(size, wanted), taken + min(size, wanted)
            if paid >= notional:
                return paid // taken
        return None


class Book:
    """Both sides of one coin."""

    def __init__(self) -> None:
        self.bids, self.asks = Side(is_bid=True), Side(is_bid=False)

    def side(self, is_buy: bool) -> Side:
        """Where an order rests."""
        return self.bids if is_buy else self.asks

    def is_crossing(self, is_buy: bool, price: int) -> bool:
        """Whether an order at this price meets anything on the other side."""
        best = self.side(not is_buy).best()
        return best is not None and (price >= best if is_buy else price <= best)

    def mid2(self) -> int | None:
        """Twice the mid, exact; `None` where a side is empty."""
        bid, ask = self.bids.best(), self.asks.best()
        return None if bid is None or ask is None else bid + ask
