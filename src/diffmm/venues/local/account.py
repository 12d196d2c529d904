"""What an account owns, in exact integers of micro-USD.

    account value = cash + sum over coins of position x mark

A fill moves `price x size` between cash and position, so nothing is ever rounded but fees and
funding, and those against the account.
"""

import dataclasses


PPM = 1_000_000
"""A fee rate counts parts per million of notional."""
DEFAULT_LEVERAGE = 20


@dataclasses.dataclass(slots=True)
class Position:
    """Signed size, what it cost (signed, micro-USD) and funding paid since it was opened."""

    size: int = 0
    cost: int = 0
    funding_paid: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one order, as its owner sees it; money in micro-USD."""

    asset: int
    price: int
    size: int
    is_buy: bool
    time_ms: int
    start_position: int
    direction: str
    closed_pnl: int
    hash: str
    oid: int
    is_taker: bool
    fee: int
    tid: int
    cloid: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Funding:
    """One settlement: `credit` is what the account received, micro-USD; `rate` in 1e-10."""

    time_ms: int
    asset: int
    credit: int
    size: int
    rate: int


@dataclasses.dataclass(slots=True, eq=False)
class Account:
    """One address.

    **Attributes:**

    - `cash`: the USD leg, micro-USD; below zero for a position bought on margin.
    - `is_house`: of the market that the venue makes itself: no margin, no record of its orders.
    - `resting`: per asset, notional of resting buys and sells.
    - `volume`: notional traded, which earns requests.
    """

    address: str
    cash: int = 0
    is_house: bool = False
    positions: dict[int, Position] = dataclasses.field(default_factory=dict)
    resting: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    leverage: dict[int, int] = dataclasses.field(default_factory=dict)
    deposited: int = 0
    volume: int = 0
    fees: int = 0
    fills: list[Fill] = dataclasses.field(default_factory=list)
    fundings: list[Funding] = dataclasses.field(default_factory=list)

    def size(self, asset: int) -> int:
        """Signed position."""
        held = self.positions.get(asset)
        return held.size if held else 0

    def value(self, marks: list[int]) -> int:
        """Account value at the marks, micro-USD."""
        return self.cash + sum(p.size * marks[asset] for asset, p in self.positions.items())

    def rest(self, asset: int, is_buy: bool, notional: int) -> None:
        """Count notional that came to rest (or, negative, that left)."""
        self.resting.setdefault(asset, [0, 0])[0 if is_buy else 1] += notional

    def trade(self, asset: int, is_buy: bool, price: int, size: int, fee: int) -> tuple[int, int]:
        """Apply one execution; the position before it, and the PnL it closed before fees."""
        delta = size if is_buy else -size
        held = self.positions.setdefault(asset, Position())
        start, closed = held.size, 0
        reduced = min(size, abs(start)) if start * delta < 0 else 0
        if reduced:
            released = held.cost * reduced // abs(start)
            sold = -reduced if start > 0 else reduced
            closed = -price * sold - released
            held.cost -= released
        opened = size - reduced
        held.cost += price * (opened if is_buy else -opened)
        held.size += delta
        if held.size == 0 or start * held.size < 0:
            held.funding_paid = 0
        if held.size == 0:
            del self.positions[asset]
        self.cash -= price * delta + fee
        self.fees += fee
        self.volume += price * size
        return start, closed

    def margin(self, marks: list[int], extra: tuple[int, bool, int] | None = None) -> int:
        """Initial margin of positions and resting orders, at the worst that may be filled.

        Args:
            marks: per asset.
            extra: `(asset, is_buy, notional)` of one more order.
        """
        assets = set(self.positions) | set(self.resting)
        if extra:
            assets.add(extra[0])
        total = 0
        for asset in sorted(assets):
            held = self.size(asset) * marks[asset]
            buys, sells = self.resting.get(asset, (0, 0))
            if extra and extra[0] == asset:
                buys, sells = (buys + extra[2], sells) if extra[1] else (buys, sells + extra[2])
            worst = max(abs(held), held + buys, sells - held)
            total += -(-worst // self.leverage.get(asset, DEFAULT_LEVERAGE))
        return total


def fee_of(notional: int, rate_ppm: int) -> int:
    """A fee, rounded up (a rebate therefore down), micro-USD."""
    return -(-notional * rate_ppm // PPM)


def direction(start: int, is_buy: bool, size: int) -> str:
    """What a fill did to a position, in the venue's words."""
    end = start + (size if is_buy else -size)
    if start * end < 0:
        return "Long > Short" if start > 0 else "Short > Long"
    if abs(end) > abs(start):
        return "Open Long" if is_buy else "Open Short"
    return "Close Short" if is_buy else "Close Long"
