"""A market from a seed: competing makers, takers who know more or less, a reference that lags.

    public value M      random walk with jumps
    true value V        M + a secret, drawn anew every `secret_s` after M has taken in the last one
    reference R         what makers and the oracle see of M, later
    taker               buys up to a limit: M + what he is ready to lose, or, informed, near V
    liquidation         one account's position, sold or bought in slices whatever the price

Draws are rounded to integers at once (1/1024 of a price unit, size units, nanoseconds); everything
after them is exact. All that is done goes through the same books and blocks as anybody's orders.
"""

import dataclasses
import random
from functools import partial

from .account import Account
from .book import Order, Tif
from .exchange import Exchange, NewOrder
from .gateway import Run, Turn
from .listing import Listing, USD


NS = 1_000_000_000
FINE = 1024
"""Parts of a price unit in which values move."""
BP = 10_000
ORACLE_NS = 3 * NS
HOUSE_CASH = 10**12 * USD
MAKERS = 3
REACH_OF_LIQUIDATION_BP = 300


@dataclasses.dataclass(frozen=True)
class Law:
    """How one coin's market behaves. Prices in bp, times in market seconds, sizes in USD.

    **Attributes:**

    - `coin`, `price`: which, and what it is worth at first, in USD.
    - `volatility_bp`: of M, per square root of a second.
    - `jump_s`, `jump_bp`: mean time between public jumps, and their mean size.
    - `reference_s`: time by which R lags M.
    - `half_spread_bp`, `gap_bp`, `levels`, `touch_usd`: a maker's ladder; each level shows a tenth
      more than the last.
    - `refresh_s`: mean time after which a maker looks at his ladder again.
    - `taker_s`, `taker_usd`, `reach_bp`: mean time between takers, mean size, mean loss accepted.
    - `informed_percent`, `secret_bp`, `secret_s`: share of takers who know V, and how much that is.
    - `liquidation_s`, `liquidation_usd`, `slices`: mean time between liquidations and their size.
    """

    coin: str
    price: int
    volatility_bp: float = 1.5
    jump_s: float = 120.0
    jump_bp: float = 5.0
    reference_s: float = 0.5
    half_spread_bp: int = 6
    gap_bp: int = 2
    levels: int = 8
    touch_usd: int = 2_000
    refresh_s: float = 1.0
    taker_s: float = 0.5
    taker_usd: int = 800
    reach_bp: float = 12.0
    informed_percent: int = 20
    secret_bp: float = 3.0
    secret_s: float = 30.0
    liquidation_s: float = 180.0
    liquidation_usd: int = 20_000
    slices: int = 8


LAWS = (
    Law("SIM", price=110),
    Law("BTC", price=95_000, half_spread_bp=1, gap_bp=1, touch_usd=30_000, taker_usd=3_000),
    Law("ETH", price=3_200, half_spread_bp=2, gap_bp=1, touch_usd=15_000, taker_usd=2_000),
)


class Coin:
    """One coin's values and clocks. Times are market time, ns since the start."""

    def __init__(self, law: Law, asset: int, listing: Listing, rng: random.Random):
        self.law, self.asset, self.listing, self.rng = law, asset, listing, rng
        self.public = law.price * 10**listing.price_decimals * FINE
        self.reference, self.secret, self.at_ns = self.public, 0, 0
        self.is_selling = False
        self.slices_left = 0
        self.due = {
            self._jump: self._wait(law.jump_s),
            self._reveal: self._wait(law.secret_s),
            self._take: self._wait(law.taker_s),
            self._liquidate: self._wait(law.liquidation_s),
            self._oracle: 0,
        }
        for maker in range(MAKERS):
            self.due[partial(self._refresh, maker)] = self._wait(law.refresh_s)
        self.orders: list[tuple[Turn, Run]] = []

    def next_ns(self) -> int:
        """When anything happens next."""
        return min(self.due.values())

    def act(self, exchange: Exchange, now_ns: int) -> list[tuple[Turn, Run]]:
        """Everything due by now."""
        self._move(now_ns)
        for what in [x for x, at in self.due.items() if at <= now_ns]:
            self.due[what] = now_ns + what(exchange)
        out, self.orders = self.orders, []
        return out

    def fair(self, value: int) -> int:
        """A value in price units."""
        return value // FINE

    # ------------------------------------------------------------------ values

    def _move(self, now_ns: int) -> None:
        """Let M walk and R follow."""
        passed = max(now_ns - self.at_ns, 0)
        self.at_ns = now_ns
        sd_bp = self.law.volatility_bp * (passed / NS) ** 0.5
        self.public += self._bp(self.rng.gauss(0.0, sd_bp))
        self.public = max(self.public, FINE)
        lag = round(self.law.reference_s * NS)
        self.reference += (self.public - self.reference) * passed // (passed + lag + 1)

    def _jump(self, exchange: Exchange) -> int:
        size = self.rng.expovariate(1.0 / self.law.jump_bp)
        self.public += self._bp(size * self._sign())
        return self._wait(self.law.jump_s)

    def _reveal(self, exchange: Exchange) -> int:
        """M takes in the secret, and there is a new one."""
        self.public += self.secret
        self.secret = self._bp(self.rng.gauss(0.0, self.law.secret_bp))
        return self._wait(self.law.secret_s)

    def _oracle(self, exchange: Exchange) -> int:
        exchange.oracles[self.asset] = max(self.fair(self.reference), 1)
        return ORACLE_NS

    # ------------------------------------------------------------------ takers

    def _take(self, exchange: Exchange) -> int:
        law, rng = self.law, self.rng
        size = self._size(rng.expovariate(1.0 / law.taker_usd))
        if rng.randrange(100) < law.informed_percent:
            limit = self.public + self.secret + self._bp(rng.gauss(0.0, 1.0))
            is_buy = limit > self.public
        else:
            is_buy = rng.getrandbits(1) == 1
            reach = self._bp(rng.expovariate(1.0 / law.reach_bp))
            limit = self.public + (reach if is_buy else -reach)
        self._cross(exchange, "taker", is_buy, limit, size)
        return self._wait(law.taker_s)

    def _liquidate(self, exchange: Exchange) -> int:
        """A slice now, the next one soon, until the position is gone."""
        law = self.law
        if not self.slices_left:
            self.slices_left = law.slices
            self.is_selling = self.rng.getrandbits(1) == 1
        self.slices_left -= 1
        reach = self._bp(REACH_OF_LIQUIDATION_BP)
        limit = self.public + (-reach if self.is_selling else reach)
        size = self._size(law.liquidation_usd / law.slices)
        self._cross(exchange, "liquidation", not self.is_selling, limit, size)
        return self._wait(law.liquidation_s) if not self.slices_left else NS // 5

    def _cross(self, exchange: Exchange, who: str, is_buy: bool, limit: int, size: int) -> None:
        price = self.listing.rounded(max(self.fair(limit), 1), is_up=not is_buy)
        new = NewOrder(self.asset, is_buy, price, size, Tif.IOC)
        account = house_account(exchange, who)
        self.orders.append((Turn.CROSSING, partial(_place, exchange, account, new)))

    # ------------------------------------------------------------------ makers

    def _refresh(self, maker: int, exchange: Exchange) -> int:
        """Bring a maker's ladder to where he sees the value; what is right stays in its queue."""
        law, account = self.law, house_account(exchange, f"maker {maker}")
        wanted = self._ladder(maker)
        for order in exchange.open_orders(account.address):
            if order.asset != self.asset:
                continue
            size = wanted.get((order.is_buy, order.price), 0)
            # A level that has been eaten into is filled up behind the others.
            if 2 * order.left >= size > 0:
                del wanted[order.is_buy, order.price]
            else:
                run = partial(_withdraw, exchange, order)
                self.orders.append((Turn.CANCEL, run))
        for (is_buy, price), size in wanted.items():
            new = NewOrder(self.asset, is_buy, price, size, Tif.ALO)
            turn = Turn.RESTING
            if exchange.books[self.asset].is_crossing(is_buy, price):
                # Whoever quotes where he would buy is met by one who sells there.
                new, turn = dataclasses.replace(new, tif=Tif.IOC), Turn.CROSSING
            self.orders.append((turn, partial(_place, exchange, account, new)))
        return self._wait(law.refresh_s)

    def _ladder(self, maker: int) -> dict[tuple[bool, int], int]:
        """Sizes by side and price; makers differ in where they begin and in how much they show."""
        law, at = self.law, self.reference
        wanted = {}
        for level in range(law.levels):
            # Thirds of a gap between the makers, so that together they fill the book.
            away_bp = law.half_spread_bp + law.gap_bp * (level + maker / MAKERS)
            usd = law.touch_usd * (10 + level) // 10 // (1 + maker)
            for is_buy in (True, False):
                value = at + self._bp(-away_bp if is_buy else away_bp)
                price = self.listing.rounded(max(self.fair(value), 1), is_up=not is_buy)
                noise = self.rng.randrange(80, 121)
                wanted.setdefault((is_buy, price), self._size(usd * noise / 100))
        return wanted

    # ------------------------------------------------------------------ draws

    def _wait(self, mean_s: float) -> int:
        return round(self.rng.expovariate(1.0 / mean_s) * NS) + 1

    def _sign(self) -> int:
        return 1 if self.rng.getrandbits(1) else -1

    def _bp(self, bp: float) -> int:
        """So many bp of the starting price, in fine units; the walk is arithmetic."""
        return round(self.law.price * 10**self.listing.price_decimals * FINE * bp / BP)

    def _size(self, usd: float) -> int:
        """Size units of so much money, enough for an order."""
        price = max(self.fair(self.public), 1)
        return -(-max(round(usd * USD), 11 * USD) // price)


class Flow:
    """The generative market of several coins."""

    def __init__(self, seed: int, laws: tuple[Law, ...] = LAWS, speed: float = 1.0):
        self.laws, self.speed = laws, speed
        self._seed, self._start_ns = seed, 0
        self._coins: list[Coin] = []

    def open(self, exchange: Exchange, now_ns: int) -> None:
        """Makers' first ladders, at once."""
        self._start_ns = now_ns
        for who in ("taker", "liquidation", *(f"maker {i}" for i in range(MAKERS))):
            exchange.open_account(house_address(who), HOUSE_CASH, is_house=True)
        names = [x.coin for x in exchange.listings]
        for law in self.laws:
            asset = names.index(law.coin)
            # A coin's draws do not depend on which other coins there are.
            rng = random.Random(f"{self._seed} {law.coin}")
            coin = Coin(law, asset, exchange.listings[asset], rng)
            self._coins.append(coin)
            exchange.marks[asset] = exchange.oracles[asset] = coin.fair(coin.public)
            for maker in range(MAKERS):
                coin._refresh(maker, exchange)
            for _, run in coin.orders:
                run(now_ns)
            coin.orders = []

    def next_ns(self) -> int:
        """When any coin acts next, wall time."""
        return self._start_ns + round(min(x.next_ns() for x in self._coins) / self.speed)

    def act(self, exchange: Exchange, now_ns: int) -> list[tuple[Turn, Run]]:
        """What is due of all coins."""
        # What was due by the wall is due by the market, whatever rounding says.
        first_ns = min(x.next_ns() for x in self._coins)
        market_ns = max(round((now_ns - self._start_ns) * self.speed), first_ns)
        done: list[tuple[Turn, Run]] = []
        for coin in self._coins:
            if coin.next_ns() <= market_ns:
                done += coin.act(exchange, market_ns)
        return done


def house_address(who: str) -> str:
    """Address of one of the market's own accounts; nobody holds a key to it."""
    return "0x" + who.encode().hex().rjust(40, "0")


def house_account(exchange: Exchange, who: str) -> Account:
    """One of the market's own accounts."""
    return exchange.accounts[house_address(who)]


def _place(exchange: Exchange, account: Account, new: NewOrder, now_ns: int) -> None:
    exchange.place(account, new, now_ns // 1_000_000)


def _withdraw(exchange: Exchange, order: Order, now_ns: int) -> None:
    if order.status == "open":
        exchange.withdraw(order, "canceled", now_ns // 1_000_000)
