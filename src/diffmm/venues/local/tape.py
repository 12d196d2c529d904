"""A recorded market with our orders in it: displayed size is in front of us, prints fill us.

    display   sets the size of others at each price; what is added stands behind us, what leaves
              without a print leaves from the back
    print     takes better prices of ours first, then its own price in order of arrival

so an order of ours fills when a print goes through its price, or at its price once what stood in
front is used up. A level that the recording shows beyond an order of ours is not put on the book:
only prints fill. What we take comes back with the next display: we leave no impact.
"""

import collections
import itertools
import math
import pathlib
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from diffmm.venues.lines import read_lines, split, TapeError

from .account import Account
from .book import Order, Tif
from .exchange import Exchange, NewOrder
from .flow import house_address, HOUSE_CASH
from .gateway import Run, Turn
from .listing import Listing, PERP_DECIMALS, units


FRAME_COIN = re.compile(r'"coin":\s*"([^"]+)"')
SIZE = re.compile(r'"sz":\s*"\d+(?:\.(\d+))?"')
SCANNED = 20_000
"""Lines from which decimals are learnt, since recordings carry no metadata."""

Level = tuple[int, int]
"""Price and size in the listing's units."""


def find_listings(path: pathlib.Path, coins: Sequence[str]) -> tuple[Listing, ...]:
    """Listings of a recording's coins, by the most size decimals seen.

    Raises:
        TapeError: for a coin that is not there.
    """
    decimals: dict[str, int] = collections.defaultdict(int)
    for line in itertools.islice(read_lines(path), SCANNED):
        coin = FRAME_COIN.search(line)
        if coin is not None and '"sz":' in line:
            most = max(len(x.rstrip("0")) for x in SIZE.findall(line))
            decimals[coin[1]] = min(max(decimals[coin[1]], most), PERP_DECIMALS)
    missing = [x for x in coins if x not in decimals]
    if missing:
        raise TapeError(f"no coin {missing[0]!r} in {path}; it has {sorted(decimals)}")
    return tuple(Listing(x, decimals[x]) for x in coins)


class TapeMarket:
    """One recording; it stands still at its last book once it has ended."""

    def __init__(self, path: pathlib.Path, speed: float = 1.0):
        self._path, self._speed = path, speed
        self._lines: Iterator[tuple[int, str]] = iter(())
        self._next: tuple[int, str] | None = None
        self._start_ns = self._first_ns = 0
        self._assets: dict[str, int] = {}
        self._has_history: set[int] = set()
        self._has_oracle: set[int] = set()

    def open(self, exchange: Exchange, now_ns: int) -> None:
        """The first book of every coin; the tape's clock starts there.

        Raises:
            TapeError: for a recording without a two-sided book of each.
        """
        for who in ("others", "printer"):
            exchange.open_account(house_address(who), HOUSE_CASH, is_house=True)
        self._assets = {x.coin: i for i, x in enumerate(exchange.listings)}
        self._lines = (split(x) for x in read_lines(self._path))
        self._read()
        while any(x.mid2() is None for x in exchange.books):
            if self._next is None:
                raise TapeError(f"{self._path} has no two-sided book of {sorted(self._assets)}")
            self._start_ns, self._first_ns = now_ns, self._next[0]
            for _, run in self.act(exchange, now_ns):
                run(now_ns)

    def next_ns(self) -> int | None:
        """When the next recorded line is due, wall time."""
        if self._next is None:
            return None
        return self._start_ns + round((self._next[0] - self._first_ns) / self._speed)

    def act(self, exchange: Exchange, now_ns: int) -> list[tuple[Turn, Run]]:
        """One line, in the order of the recording."""
        assert self._next is not None
        _, frame = self._next
        self._read()
        try:
            told = msgspec.json.decode(frame)
            run = self._run(exchange, told["channel"], told.get("data"))
        except (msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError):
            # What a recorder caught that is no market data moves no market.
            return []
        return [] if run is None else [(Turn.CROSSING, run)]

    def _read(self) -> None:
        self._next = next(self._lines, None)

    def _run(self, exchange: Exchange, channel: str, data: Any) -> Run | None:
        """What a frame does to the market."""
        first = data[0] if channel == "trades" else data
        asset = self._assets.get(first["coin"])
        if asset is None:
            return None
        listing = exchange.listings[asset]
        if channel == "l2Book":
            sides = [_levels(side, listing) for side in data["levels"]]
            return partial(self._show, exchange, asset, sides, True)
        if channel == "bbo":
            sides = [_levels([x] if x else [], listing) for x in data["bbo"]]
            return partial(self._show, exchange, asset, sides, False)
        if channel == "trades":
            if asset not in self._has_history:
                # The first frame of prints is history.
                self._has_history.add(asset)
                return None
            prints = [(x["side"] == "B", *_levels([x], listing)[0]) for x in data]
            return partial(self._print, exchange, asset, prints)
        if channel == "activeAssetCtx":
            oracle = units(data["ctx"]["oraclePx"], listing.price_decimals)
            if oracle:
                self._has_oracle.add(asset)
                exchange.oracles[asset] = oracle
        return None

    def _show(
        self,
        exchange: Exchange,
        asset: int,
        sides: list[list[Level]],
        is_whole: bool,
        now_ns: int,
    ) -> None:
        """Make the others' display what was recorded; a touch leaves deeper levels as they are."""
        now_ms, wanted = now_ns // 1_000_000, [dict(side) for side in sides]
        for i, is_buy in enumerate((True, False)):
            outward = -1 if is_buy else 1
            told = [outward * p for p in wanted[i]]
            # Of what is deeper than it shows, the recording says nothing.
            edge = (max(told) if is_whole else min(told)) if told else math.inf
            for price in exchange.books[asset].side(is_buy).prices():
                if price not in wanted[i] and outward * price <= edge:
                    self._resize(exchange, asset, is_buy, price, 0, now_ms)
        for i, is_buy in enumerate((True, False)):
            for price, size in wanted[i].items():
                self._resize(exchange, asset, is_buy, price, size, now_ms)
        if asset not in self._has_oracle and (twice := exchange.books[asset].mid2()) is not None:
            exchange.oracles[asset] = twice // 2
        exchange.marks[asset] = exchange.marks[asset] or exchange.oracles[asset]

    def _print(
        self, exchange: Exchange, asset: int, prints: list[tuple[bool, int, int]], now_ns: int
    ) -> None:
        """Recorded executions meet our orders first where ours are better, then in the queue."""
        now_ms, printer = now_ns // 1_000_000, exchange.accounts[house_address("printer")]
        for is_buy, price, size in prints:
            inward = 1 if is_buy else -1
            for better in exchange.books[asset].side(not is_buy).prices():
                if inward * better >= inward * price:
                    break
                # It traded at this price, so nothing of the others' was left at a better one.
                self._resize(exchange, asset, not is_buy, better, 0, now_ms)
            shown = sum(x.left for x in self._others(exchange, asset, not is_buy, price))
            if shown < size:
                self._resize(exchange, asset, not is_buy, price, size, now_ms)
            taking = NewOrder(asset, is_buy, price, size, Tif.IOC)
            exchange.place(printer, taking, now_ms)

    def _others(self, exchange: Exchange, asset: int, is_buy: bool, price: int) -> list[Order]:
        """The market's own orders at a price, the first in the queue first."""
        at, owner = exchange.books[asset].side(is_buy).at(price), house_address("others")
        return [x for x in at if x.owner == owner]

    def _resize(
        self, exchange: Exchange, asset: int, is_buy: bool, price: int, size: int, now_ms: int
    ) -> None:
        """Let the others show so much at a price."""
        standing = self._others(exchange, asset, is_buy, price)
        more = size - sum(x.left for x in standing)
        if more > 0 and not exchange.books[asset].is_crossing(is_buy, price):
            account: Account = exchange.accounts[house_address("others")]
            exchange.lay(account, NewOrder(asset, is_buy, price, more, Tif.GTC), now_ms)
        for order in reversed(standing):
            if more >= 0:
                break
            cut = min(-more, order.left)
            exchange.shrink(order, cut, now_ms)
            more += cut


def _levels(rows: Any, listing: Listing) -> list[Level]:
    """Levels or prints in exact units; sizes below the smallest unit are left out."""
    out = []
    for row in rows:
        price = units(row["px"], listing.price_decimals)
        size = units(row["sz"], listing.size_decimals)
        if price and size:
            out.append((price, size))
    return out
