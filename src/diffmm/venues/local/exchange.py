"""The matching engine and its accounts: exact integers, no clock, no text of the protocol.

Price-time priority; an order that would meet one of its own account cancels that one and goes on
(expire maker); margin is checked when an order is placed and again for the resting side of each
match; reduce-only orders never take more than the position. Source: the venue's documentation.
"""

import collections
import dataclasses

from .account import Account, direction, fee_of, Fill
from .book import Book, Order, Tif
from .listing import Listing, MIN_NOTIONAL
from .refusals import Refusal, Refused


@dataclasses.dataclass(frozen=True, slots=True)
class NewOrder:
    """What is asked for, in the listing's units."""

    asset: int
    is_buy: bool
    price: int
    size: int
    tif: Tif
    is_reduce_only: bool = False
    cloid: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """What became of an order at once; `filled` and `paid` (micro-USD) are of its own fills."""

    order: Order
    filled: int
    paid: int


@dataclasses.dataclass(frozen=True, slots=True)
class Changed:
    """An order's status changed; the fields are as of then."""

    owner: str
    order: Order
    status: str
    left: int
    time_ms: int
    is_by_venue: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Filled:
    """One side of an execution."""

    owner: str
    fill: Fill


@dataclasses.dataclass(frozen=True, slots=True)
class Printed:
    """One execution as the public sees it; `is_buy` is the taker's side."""

    asset: int
    is_buy: bool
    price: int
    size: int
    time_ms: int
    tid: int
    hash: str
    buyer: str
    seller: str


Happening = Changed | Filled | Printed


@dataclasses.dataclass(frozen=True)
class Rules:
    """What may differ between venues: fees in parts per million, caps, how much is kept.

    **Attributes:**

    - `maker_ppm`, `taker_ppm`: fee rates; a rebate is negative.
    - `open_orders`: most resting orders of one account.
    - `kept_fills`, `kept_orders`: newest fills of an account and closed orders of all that are
      remembered.
    """

    maker_ppm: int = 150
    taker_ppm: int = 450
    open_orders: int = 1000
    kept_fills: int = 10_000
    kept_orders: int = 50_000


class Exchange:
    """Books, accounts and what happened to them since it was last asked.

    **Attributes:**

    - `house`: fees taken less rebates paid and what funding left over, micro-USD.
    - `marks`, `oracles`: per asset, price units.
    """

    def __init__(self, listings: tuple[Listing, ...], rules: Rules):
        self.listings, self.rules = listings, rules
        self.books = tuple(Book() for _ in listings)
        self.accounts: dict[str, Account] = {}
        self.marks, self.oracles = [0] * len(listings), [0] * len(listings)
        self.house = 0
        self.last_price: list[int | None] = [None] * len(listings)
        self._open: dict[str, dict[int, Order]] = {}
        self._by_oid: dict[int, Order] = {}
        self._by_cloid: dict[tuple[str, str], Order] = {}
        self._closed: collections.deque[Order] = collections.deque()
        self._happened: list[Happening] = []
        self._next_oid, self._next_tid, self._block = 1, 1, 0

    def begin_block(self, number: int) -> None:
        """Executions from here on carry this block in their hash."""
        self._block = number

    def happened(self) -> list[Happening]:
        """Everything since the last call, in order."""
        out, self._happened = self._happened, []
        return out

    def open_account(self, address: str, cash: int, is_house: bool = False) -> Account:
        """An account that exists from here on, or that is paid once more."""
        account = self.accounts.get(address)
        if account is None:
            account = self.accounts[address] = Account(address, is_house=is_house)
            self._open[address] = {}
        account.cash += cash
        account.deposited += cash
        return account

    def open_orders(self, owner: str) -> list[Order]:
        """Resting orders of an account, oldest first."""
        return list(self._open.get(owner, {}).values())

    def find(self, owner: str, oid: int | str) -> Order | None:
        """An order of an account, resting or remembered, by its oid or cloid."""
        if isinstance(oid, str):
            return self._by_cloid.get((owner, oid))
        order = self._by_oid.get(oid)
        return order if order is not None and order.owner == owner else None

    def place(self, account: Account, new: NewOrder, now_ms: int) -> Placed | Refused:
        """Check an order, match it, and let the rest lie where its kind allows."""
        order = self._order(account, new, now_ms)
        refusal = self._refusal(account, order)
        if refusal is not None:
            return self._refuse(order, refusal, now_ms)
        filled = paid = 0
        if order.tif is not Tif.ALO:
            filled, paid = self._match(account, order, now_ms)
        if order.left == 0:
            self._close(order, "filled", now_ms)
        elif order.tif is Tif.IOC:
            if not filled:
                return self._refuse(order, Refusal.IOC, now_ms)
            self._close(order, "canceled", now_ms)
        else:
            self._rest(account, order, now_ms)
        return Placed(order, filled, paid)

    def cancel(self, account: Account, asset: int, oid: int | str, now_ms: int) -> Refused | None:
        """Take an order off by its oid or cloid."""
        order = self.find(account.address, oid)
        if order is None or order.status != "open" or order.asset != asset:
            return Refused(Refusal.MISSING, asset)
        self.withdraw(order, "canceled", now_ms)
        return None

    def withdraw(self, order: Order, status: str, now_ms: int, is_by_venue: bool = False) -> None:
        """Take a resting order off the book with a status of ours."""
        self.books[order.asset].side(order.is_buy).remove(order)
        account = self.accounts[order.owner]
        account.rest(order.asset, order.is_buy, -order.notional)
        del self._open[order.owner][order.oid]
        self._close(order, status, now_ms, is_by_venue)

    def lay(self, account: Account, new: NewOrder, now_ms: int) -> Order:
        """Put an order of the house behind the others of its price; it must not cross."""
        order = self._order(account, new, now_ms)
        self._rest(account, order, now_ms)
        return order

    def shrink(self, order: Order, size: int, now_ms: int) -> None:
        """Take size off a resting order, which keeps its place while any of it is left."""
        if size >= order.left:
            self.withdraw(order, "canceled", now_ms)
            return
        order.left -= size
        self.accounts[order.owner].rest(order.asset, order.is_buy, -size * order.price)

    def _order(self, account: Account, new: NewOrder, now_ms: int) -> Order:
        size = new.size
        if new.is_reduce_only:
            # A reduce-only order is shrunk to what it may close.
            held = account.size(new.asset)
            size = min(size, abs(held)) if (held < 0) == new.is_buy and held else size
        oid, self._next_oid = self._next_oid, self._next_oid + 1
        return Order(
            oid=oid,
            owner=account.address,
            asset=new.asset,
            is_buy=new.is_buy,
            price=new.price,
            size=size,
            left=size,
            tif=new.tif,
            is_reduce_only=new.is_reduce_only,
            cloid=new.cloid,
            placed_ms=now_ms,
        )

    def _refusal(self, account: Account, order: Order) -> Refusal | None:
        """Why an order may not enter, before it is matched."""
        listing, held = self.listings[order.asset], account.size(order.asset)
        is_reducing = held != 0 and (held < 0) == order.is_buy and order.size <= abs(held)
        if not listing.is_price(order.price):
            return Refusal.TICK
        if order.is_reduce_only and not is_reducing:
            return Refusal.REDUCE_ONLY
        is_closing = is_reducing and order.size == abs(held)
        if order.notional < MIN_NOTIONAL and not is_closing and not account.is_house:
            return Refusal.MIN_NOTIONAL
        if order.tif is Tif.ALO and self.books[order.asset].is_crossing(order.is_buy, order.price):
            return Refusal.BAD_ALO
        if account.is_house:
            return None
        if len(self._open[account.address]) >= self.rules.open_orders:
            return Refusal.TOO_MANY
        before = account.margin(self.marks)
        after = account.margin(self.marks, (order.asset, order.is_buy, order.notional))
        if after > before and after > account.value(self.marks):
            return Refusal.MARGIN
        return None

    def _refuse(self, order: Order, refusal: Refusal, now_ms: int) -> Refused:
        bid = ask = ""
        if refusal is Refusal.BAD_ALO:
            listing, book = self.listings[order.asset], self.books[order.asset]
            bid, ask = (
                "" if x is None else listing.price_text(x)
                for x in (book.bids.best(), book.asks.best())
            )
        self._close(order, refusal.status, now_ms)
        return Refused(refusal, order.asset, bid, ask)

    def _match(self, account: Account, taker: Order, now_ms: int) -> tuple[int, int]:
        """Take from the other side up to the limit; size and money of the executions."""
        book, filled, paid = self.books[taker.asset], 0, 0
        side = book.side(not taker.is_buy)
        while taker.left and book.is_crossing(taker.is_buy, taker.price):
            maker = side.front()
            assert maker is not None
            size = min(taker.left, maker.left)
            if maker.owner == taker.owner:
                self.withdraw(maker, "selfTradeCanceled", now_ms, is_by_venue=True)
                continue
            other = self.accounts[maker.owner]
            if maker.is_reduce_only:
                size = min(size, self._reducible(other, maker))
                if size == 0:
                    self.withdraw(maker, "reduceOnlyCanceled", now_ms, is_by_venue=True)
                    continue
            if not self._may_fill(other, maker, size):
                self.withdraw(maker, "marginCanceled", now_ms, is_by_venue=True)
                continue
            self._execute(account, taker, other, maker, size, now_ms)
            filled, paid = filled + size, paid + size * maker.price
        return filled, paid

    def _execute(
        self, account: Account, taker: Order, other: Account, maker: Order, size: int, now_ms: int
    ) -> None:
        """One execution at the maker's price."""
        tid, self._next_tid = self._next_tid, self._next_tid + 1
        digest = f"0x{self._block:032x}{tid:032x}"
        other.rest(maker.asset, maker.is_buy, -size * maker.price)
        for owner, order, rate in (
            (account, taker, self.rules.taker_ppm),
            (other, maker, self.rules.maker_ppm),
        ):
            order.left -= size
            is_taker, price = order is taker, maker.price
            fee = fee_of(price * size, rate)
            self.house += fee
            start, closed = owner.trade(order.asset, order.is_buy, price, size, fee)
            if owner.is_house:
                continue
            words = direction(start, order.is_buy, size)
            owner.fills.append(
                Fill(
                    asset=order.asset,
                    price=price,
                    size=size,
                    is_buy=order.is_buy,
                    time_ms=now_ms,
                    start_position=start,
                    direction=words,
                    closed_pnl=closed,
                    hash=digest,
                    oid=order.oid,
                    is_taker=is_taker,
                    fee=fee,
                    tid=tid,
                    cloid=order.cloid,
                )
            )
            if len(owner.fills) > 2 * self.rules.kept_fills:
                del owner.fills[: self.rules.kept_fills]
            self._happened.append(Filled(owner.address, owner.fills[-1]))
        self.last_price[maker.asset] = maker.price
        buyer, seller = (taker, maker) if taker.is_buy else (maker, taker)
        self._happened.append(
            Printed(
                asset=maker.asset,
                is_buy=taker.is_buy,
                price=maker.price,
                size=size,
                time_ms=now_ms,
                tid=tid,
                hash=digest,
                buyer=buyer.owner,
                seller=seller.owner,
            )
        )
        if maker.left == 0:
            self.withdraw(maker, "filled", now_ms)

    def _reducible(self, account: Account, order: Order) -> int:
        held = account.size(order.asset)
        return abs(held) if held and (held < 0) == order.is_buy else 0

    def _may_fill(self, account: Account, order: Order, size: int) -> bool:
        """Whether the resting side still has the margin for what it would hold."""
        if account.is_house:
            return True
        held = account.size(order.asset)
        after = held + (size if order.is_buy else -size)
        if abs(after) <= abs(held):
            return True
        return account.margin(self.marks) <= account.value(self.marks)

    def _rest(self, account: Account, order: Order, now_ms: int) -> None:
        self.books[order.asset].side(order.is_buy).add(order)
        account.rest(order.asset, order.is_buy, order.notional)
        self._open[order.owner][order.oid] = order
        order.status_ms, order.written_left = now_ms, order.left
        if not account.is_house:
            self._remember(order)
            self._happened.append(Changed(order.owner, order, "open", order.left, now_ms, False))

    def _close(self, order: Order, status: str, now_ms: int, is_by_venue: bool = False) -> None:
        order.status, order.status_ms, order.written_left = status, now_ms, order.left
        if self.accounts[order.owner].is_house:
            return
        self._remember(order)
        self._closed.append(order)
        if len(self._closed) > self.rules.kept_orders:
            old = self._closed.popleft()
            del self._by_oid[old.oid]
            if old.cloid and self._by_cloid.get((old.owner, old.cloid)) is old:
                del self._by_cloid[old.owner, old.cloid]
        changed = Changed(order.owner, order, status, order.left, now_ms, is_by_venue)
        self._happened.append(changed)

    def _remember(self, order: Order) -> None:
        self._by_oid[order.oid] = order
        if order.cloid:
            self._by_cloid[order.owner, order.cloid] = order
