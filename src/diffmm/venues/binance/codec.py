"""Binance frames (spot and USD-M) to typed messages: touches, prints, and the book from updates.

A REST snapshot names no symbol; it belongs to the one market that is read. Spot tickers carry no
time. Where receive stamps are given, a ticker counts from its receive time less the smallest lag
seen; without them its update number stands in for the stamp, since it orders tickers.
"""

import msgspec

from diffmm.market.book import Level
from diffmm.market.instrument import Instrument, units
from diffmm.market.messages import (
    BookMessage,
    Message,
    Notice,
    NoticeKind,
    Print,
    TouchMessage,
    TradesMessage,
)

from .depth import DepthBook, Joined, Update


DEPTH = 20
"""Levels a side that a book message carries."""
NS_PER_MS = 1_000_000
Pairs = list[tuple[str, str]]


class _Frame(msgspec.Struct, gc=False):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    lastUpdateId: int | None = None
    E: int = 0
    bids: Pairs = []
    asks: Pairs = []


class _Ticker(msgspec.Struct, gc=False):
    s: str
    b: str
    B: str
    a: str
    A: str
    u: int
    T: int | None = None


class _Trade(msgspec.Struct, gc=False):
    s: str
    p: str
    q: str
    t: int
    T: int
    m: bool
    X: str = "MARKET"


class _Depth(msgspec.Struct, gc=False):
    s: str
    E: int
    U: int
    u: int
    b: Pairs
    a: Pairs
    pu: int | None = None


class Codec:
    """Decoder for the given symbols, named as the venue names them (`BTCUSDT`).

    **Attributes:**

    - `books`: what updates have told, by symbol.
    """

    def __init__(self, instruments: dict[str, Instrument], has_snapshot: bool = True):
        """A decoder that has seen nothing.

        Args:
            instruments: markets to read.
            has_snapshot: whether a snapshot will come; without one the book grows from updates
                and tickers, and levels that nobody told of yet are missing.
        """
        self.instruments = instruments
        self.books = {name: DepthBook(not has_snapshot) for name in instruments}
        self._has_snapshot = has_snapshot
        self._tickers: dict[str, _Ticker] = {}
        self._stamps: dict[str, int] = dict.fromkeys(instruments, 0)
        self._lag_ms: float | None = None
        self._frame = msgspec.json.Decoder(_Frame)
        self._ticker = msgspec.json.Decoder(_Ticker)
        self._trade = msgspec.json.Decoder(_Trade)
        self._depth = msgspec.json.Decoder(_Depth)

    def decode(self, frame: str | bytes, receive_ns: int | None = None) -> list[Message]:
        """Messages of one text frame; streams that are not read are notices.

        Args:
            frame: a combined-stream frame, or a REST snapshot as it came.
            receive_ns: receive stamp of the line.
        """
        try:
            told = self._frame.decode(frame)
            name = told.stream.partition("@")[2].partition("@")[0]
            if name == "bookTicker":
                return self._on_ticker(self._ticker.decode(told.data), receive_ns)
            if name == "trade":
                return self._on_trade(self._trade.decode(told.data), receive_ns)
            if name == "depth":
                return self._on_depth(self._depth.decode(told.data), receive_ns)
            if told.lastUpdateId is not None:
                return self._on_snapshot(told)
        except (msgspec.DecodeError, ValueError) as error:
            return [Notice(NoticeKind.BAD, str(error))]
        return [Notice(NoticeKind.OTHER, told.stream)]

    def standing(self, symbol: str, receive_ns: int) -> list[Message]:
        """The book as it stands, told again; nothing where none is known."""
        if self.books[symbol].last is None:
            return []
        return self._whole(symbol, self._present(symbol, receive_ns))

    def _on_ticker(self, told: _Ticker, receive_ns: int | None) -> list[Message]:
        at = self.instruments.get(told.s)
        if at is None:
            return [Notice(NoticeKind.OTHER, told.s)]
        newest = self._tickers.get(told.s)
        book = self.books[told.s]
        if told.u < max(newest.u if newest else 0, book.last or 0):
            return [Notice(NoticeKind.OTHER, f"{told.s}: ticker {told.u} is older than the book")]
        bid, ask = _best(told, at)
        self._tickers[told.s] = told
        if not self._has_snapshot and book.last is not None:
            book.assume((bid, ask))
        if receive_ns is None:
            return [TouchMessage(told.s, told.u if told.T is None else told.T, bid, ask)]
        if told.T is None:
            stamp = self._present(told.s, receive_ns)
        else:
            stamp = self._told(told.s, told.T, receive_ns)
        return [TouchMessage(told.s, stamp, bid, ask)]

    def _on_trade(self, told: _Trade, receive_ns: int | None) -> list[Message]:
        at = self.instruments.get(told.s)
        # Liquidations and insurance-fund trades are not on the book.
        if at is None or told.X != "MARKET":
            return [Notice(NoticeKind.OTHER, told.s)]
        self._told(told.s, told.T, receive_ns)
        price, size = units(told.p, at.price_decimals), units(told.q, at.size_decimals)
        sign = -1 if told.m else 1
        return [TradesMessage(told.s, (Print(sign, price, size, told.T, told.t),))]

    def _on_depth(self, told: _Depth, receive_ns: int | None) -> list[Message]:
        at = self.instruments.get(told.s)
        if at is None:
            return [Notice(NoticeKind.OTHER, told.s)]
        sides = (_levels(told.b, at), _levels(told.a, at))
        book = self.books[told.s]
        expected = book.last
        done = book.update(Update(told.U, told.u, told.pu, told.E, sides))
        stamp = self._told(told.s, told.E, receive_ns)
        if done is Joined.GAP:
            where = f"update {told.U}..{told.u} after {expected}"
            return [Notice(NoticeKind.GAP, f"{told.s}: {where}; waiting for a snapshot")]
        if done is not Joined.APPLIED:
            return [Notice(NoticeKind.OTHER, f"{told.s}: update {told.u} is {done.value}")]
        return self._whole(told.s, stamp)

    def _on_snapshot(self, told: _Frame) -> list[Message]:
        if len(self.instruments) != 1:
            names = sorted(self.instruments)
            raise ValueError(f"a snapshot names no symbol and {names} are read; read one")
        ((name, at),) = self.instruments.items()
        sides = (_levels(told.bids, at), _levels(told.asks, at))
        assert told.lastUpdateId is not None
        done = self.books[name].snapshot(told.lastUpdateId, sides, told.E)
        if done is Joined.GAP:
            text = f"{name}: no update continues snapshot {told.lastUpdateId}"
            return [Notice(NoticeKind.GAP, f"{text}; waiting for another")]
        if done is Joined.STALE:
            return [Notice(NoticeKind.OTHER, f"{name}: snapshot {told.lastUpdateId} is old")]
        self._stamps[name] = max(self._stamps[name], told.E)
        return self._whole(name, self._stamps[name])

    def _whole(self, symbol: str, stamp: int) -> list[Message]:
        """The book's best levels, under the touch of a ticker that is newer than them."""
        book, ticker = self.books[symbol], self._tickers.get(symbol)
        if not self._has_snapshot and ticker is None:
            return []
        sides = [book.levels(side, DEPTH) for side in (0, 1)]
        if ticker is not None and ticker.u > (book.last or 0):
            for side, best in enumerate(_best(ticker, self.instruments[symbol])):
                sides[side] = _under(side, best, sides[side])
        return [BookMessage(symbol, stamp, tuple(sides[0]), tuple(sides[1]), DEPTH)]

    def _told(self, symbol: str, exchange_ms: int, receive_ns: int | None) -> int:
        """A stamp of the venue's; one market's stamps never run backwards."""
        if receive_ns is not None:
            lag = receive_ns / NS_PER_MS - exchange_ms
            self._lag_ms = lag if self._lag_ms is None else min(self._lag_ms, lag)
        self._stamps[symbol] = max(self._stamps[symbol], exchange_ms)
        return self._stamps[symbol]

    def _present(self, symbol: str, receive_ns: int) -> int:
        """Exchange time of what came without one, by the smallest lag so far."""
        at_ms = round(receive_ns / NS_PER_MS - (self._lag_ms or 0.0))
        self._stamps[symbol] = max(self._stamps[symbol], at_ms)
        return self._stamps[symbol]


def _best(told: _Ticker, at: Instrument) -> tuple[Level | None, Level | None]:
    price = lambda text: units(text, at.price_decimals)
    size = lambda text: units(text, at.size_decimals)
    whole = lambda level: level if min(level) > 0 else None
    return whole((price(told.b), size(told.B))), whole((price(told.a), size(told.A)))


def _levels(pairs: Pairs, at: Instrument) -> list[Level]:
    return [(units(p, at.price_decimals), units(q, at.size_decimals)) for p, q in pairs]


def _under(side: int, best: Level | None, levels: list[Level]) -> list[Level]:
    """Levels behind a newer best one."""
    if best is None:
        return []
    behind = [x for x in levels if (x[0] < best[0] if side == 0 else x[0] > best[0])]
    return [best, *behind][:DEPTH]
