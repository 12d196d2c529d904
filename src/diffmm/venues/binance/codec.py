"""Binance `bookTicker` and `trade` frames (spot and USD-M) to typed messages.

Spot tickers carry no time; the update id orders them, so it stands in for the exchange stamp.
"""

import msgspec

from diffmm.market.instrument import Instrument, units
from diffmm.market.messages import (
    Message,
    Notice,
    NoticeKind,
    Print,
    TouchMessage,
    TradesMessage,
)


class _Stream(msgspec.Struct, gc=False):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


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


class Codec:
    """Decoder for the given symbols, named as the venue names them (`BTCUSDT`)."""

    def __init__(self, instruments: dict[str, Instrument]):
        self.instruments = instruments
        self._stream = msgspec.json.Decoder(_Stream)
        self._ticker = msgspec.json.Decoder(_Ticker)
        self._trade = msgspec.json.Decoder(_Trade)

    def decode(self, frame: str | bytes) -> list[Message]:
        """Messages of one text frame; streams that are not read are notices."""
        try:
            envelope = self._stream.decode(frame)
            name = envelope.stream.partition("@")[2]
            if name == "bookTicker":
                return self._touch(self._ticker.decode(envelope.data))
            if name == "trade":
                return self._print(self._trade.decode(envelope.data))
        except (msgspec.DecodeError, ValueError) as error:
            return [Notice(NoticeKind.BAD, str(error))]
        return [Notice(NoticeKind.OTHER, envelope.stream)]

    def _touch(self, told: _Ticker) -> list[Message]:
        at = self.instruments.get(told.s)
        if at is None:
            return [Notice(NoticeKind.OTHER, told.s)]
        price = lambda text: units(text, at.price_decimals)
        size = lambda text: units(text, at.size_decimals)
        bid, ask = (price(told.b), size(told.B)), (price(told.a), size(told.A))
        whole = lambda level: level if min(level) > 0 else None
        return [TouchMessage(told.s, told.u if told.T is None else told.T, whole(bid), whole(ask))]

    def _print(self, told: _Trade) -> list[Message]:
        at = self.instruments.get(told.s)
        # Liquidations and insurance-fund trades are not on the book.
        if at is None or told.X != "MARKET":
            return [Notice(NoticeKind.OTHER, told.s)]
        price, size = units(told.p, at.price_decimals), units(told.q, at.size_decimals)
        sign = -1 if told.m else 1
        return [TradesMessage(told.s, (Print(sign, price, size, told.T, told.t),))]
