"""Hyperliquid websocket frames to typed messages, prices and sizes in exact integers.

A frame that cannot be read becomes a `Notice` that says what was found; nothing raises.
"""

import itertools
import json
import math

import msgspec

from diffmm.market.instrument import Instrument, units
from diffmm.market.messages import (
    BookMessage,
    ContextMessage,
    Message,
    Notice,
    NoticeKind,
    Print,
    TouchMessage,
    TradesMessage,
)


FULL_DEPTH, FAST_DEPTH = 20, 5
"""Levels a side in the slow and the fast `l2Book`."""
FEEDS = ("bbo", "l2Book", "trades", "activeAssetCtx")
INTEREST_8H, CLAMP_8H, CAP_1H, HOURS = 1e-4, 5e-4, 0.04, 8
"""The venue's funding rule: interest of eight hours, how far it reaches, the largest rate."""
LONGEST_QUOTE = 200
"""Characters of an unreadable frame that a notice repeats."""


class _Envelope(msgspec.Struct, gc=False):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Level(msgspec.Struct, gc=False):
    px: str
    sz: str


class _Book(msgspec.Struct, gc=False):
    coin: str
    time: int
    levels: tuple[list[_Level], list[_Level]]
    fast: bool = False


class _Bbo(msgspec.Struct, gc=False):
    coin: str
    time: int
    bbo: tuple[_Level | None, _Level | None]


class _Trade(msgspec.Struct, gc=False):
    coin: str
    side: str
    px: str
    sz: str
    time: int
    tid: int


class _Ctx(msgspec.Struct, gc=False):
    funding: str = "0"
    openInterest: str = "0"
    markPx: str | None = None
    premium: str | None = None


class _AssetCtx(msgspec.Struct, gc=False):
    coin: str
    ctx: _Ctx


class Codec:
    """Decoder for the given instruments; frames of other coins are notices."""

    def __init__(self, instruments: dict[str, Instrument]):
        self.instruments = instruments
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._book = msgspec.json.Decoder(_Book)
        self._bbo = msgspec.json.Decoder(_Bbo)
        self._trades = msgspec.json.Decoder(list[_Trade])
        self._context = msgspec.json.Decoder(_AssetCtx)

    def decode(self, frame: str | bytes) -> list[Message]:
        """Messages of one text frame, without its receive stamp."""
        try:
            envelope = self._envelope.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [_unreadable(frame)]
        try:
            return self._message(envelope)
        except (msgspec.DecodeError, ValueError, OverflowError) as error:
            return [Notice(NoticeKind.BAD, f"{envelope.channel}: {error}"[:LONGEST_QUOTE])]

    def _message(self, envelope: _Envelope) -> list[Message]:
        channel, data = envelope.channel, envelope.data
        if channel == "bbo":
            bbo = self._bbo.decode(data)
            at = self.instruments.get(bbo.coin)
            if at is None:
                return [_unknown(bbo.coin)]
            bid, ask = (None if x is None else _level(x, at) for x in bbo.bbo)
            return [TouchMessage(bbo.coin, bbo.time, bid, ask)]
        if channel == "l2Book":
            book = self._book.decode(data)
            at = self.instruments.get(book.coin)
            if at is None:
                return [_unknown(book.coin)]
            bids, asks = (tuple(_level(x, at) for x in side) for side in book.levels)
            if any(a[0] <= b[0] for a, b in itertools.pairwise(bids)) or any(
                a[0] >= b[0] for a, b in itertools.pairwise(asks)
            ):
                raise ValueError(f"{book.coin}: levels are not sorted from the touch outwards")
            depth = FAST_DEPTH if book.fast else FULL_DEPTH
            return [BookMessage(book.coin, book.time, bids, asks, depth)]
        if channel == "trades":
            return self._prints(self._trades.decode(data))
        if channel == "activeAssetCtx":
            told = self._context.decode(data)
            at = self.instruments.get(told.coin)
            if at is None:
                return [_unknown(told.coin)]
            # The mark may have more digits than a price on the book.
            mark = told.ctx.markPx and round(float(told.ctx.markPx) * 10**at.price_decimals)
            funding, interest = float(told.ctx.funding), float(told.ctx.openInterest)
            if not abs(funding) < 1 or not 0 <= interest < float("inf"):
                raise ValueError(f"{told.coin}: funding {funding}, open interest {interest}")
            premium = None if told.ctx.premium is None else hourly_rate(float(told.ctx.premium))
            return [ContextMessage(told.coin, funding, interest, mark or None, premium)]
        kinds = {
            "pong": NoticeKind.PONG,
            "subscriptionResponse": NoticeKind.ACK,
            "error": NoticeKind.ERROR,
        }
        text = bytes(data).decode(errors="replace")[:LONGEST_QUOTE]
        return [Notice(kinds.get(channel, NoticeKind.OTHER), f"{channel} {text}")]

    def _prints(self, trades: list[_Trade]) -> list[Message]:
        out: dict[str, list[Print]] = {}
        for one in trades:
            at = self.instruments.get(one.coin)
            if at is None:
                continue
            if one.side not in ("A", "B"):
                raise ValueError(f"{one.coin}: side {one.side!r}, expected 'A' or 'B'")
            price, size = _level(one, at)
            sign = 1 if one.side == "B" else -1
            out.setdefault(one.coin, []).append(Print(sign, price, size, one.time, one.tid))
        return [TradesMessage(coin, tuple(prints)) for coin, prints in out.items()]


def hourly_rate(premium: float) -> float:
    """Hourly funding rate of a premium over the oracle that lasts.

    `(P + clamp(1e-4 - P, -5e-4, 5e-4)) / 8`, at most 4 %. Markets whose deployer set another
    interest or multiplier have another. Source: the venue's documentation.

    Raises:
        ValueError: for a premium that is no finite number.
    """
    if not math.isfinite(premium):
        raise ValueError(f"premium {premium}, expected a finite number")
    rate = (premium + min(max(INTEREST_8H - premium, -CLAMP_8H), CLAMP_8H)) / HOURS
    return min(max(rate, -CAP_1H), CAP_1H)


def subscriptions(coin: str) -> list[str]:
    """The frames that subscribe to everything the engine reads of one coin, both cadences."""
    wanted: list[dict] = [{"type": feed, "coin": coin} for feed in FEEDS]
    wanted.append({"type": "l2Book", "coin": coin, "fast": True})
    return [json.dumps({"method": "subscribe", "subscription": one}) for one in wanted]


def _level(level: _Level | _Trade, at: Instrument) -> tuple[int, int]:
    price, size = units(level.px, at.price_decimals), units(level.sz, at.size_decimals)
    if price <= 0 or size <= 0:
        raise ValueError(f"price {level.px!r} size {level.sz!r}, expected both above zero")
    return price, size


def _unknown(coin: str) -> Notice:
    return Notice(NoticeKind.OTHER, f"coin {coin!r} was not asked for")


def _unreadable(frame: str | bytes) -> Notice:
    text = frame.decode(errors="replace") if isinstance(frame, bytes) else frame
    if text.startswith("Websocket connection"):
        return Notice(NoticeKind.GREETING, text[:LONGEST_QUOTE])
    return Notice(NoticeKind.BAD, f"not a JSON object with a channel: {text[:LONGEST_QUOTE]!r}")
