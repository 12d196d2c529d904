"""A recording of Binance's streams as lines that a tape is read from.

The lines have the form of the other venue's, so that every command opens them the same way: first
an `instrument` frame with the market's units, then books, touches and prints. What a Binance stream
leaves unsaid while nothing changes is said again every second, because its numbers prove that
nothing was missed.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator

from diffmm.market import Instrument
from diffmm.market.instrument import DECIMAL, text
from diffmm.market.messages import (
    BookMessage,
    Message,
    Notice,
    NoticeKind,
    TouchMessage,
    TradesMessage,
)

from .codec import Codec


SYMBOL = re.compile(r'"s": ?"([^"]+)"')
STARTS = re.compile(r'^\d+ \{"(?:stream|lastUpdateId)"')
PAIR = re.compile(r'\["([0-9.]+)", ?"([0-9.]+)"')
NAMED = re.compile(r'"([pqbBaA])": ?"([0-9.]+)"')
PRICES = "pba"
STAMP = re.compile(r'"E": ?(\d+)')
REPEAT_NS = 1_000_000_000
"""A standing book is told again after so long."""
LONGEST_SILENCE_NS = 60_000_000_000
"""A connection that is silent for longer has been closed by the venue, which pings more often."""
MOST_SKEW_NS = 3_600_000_000_000
"""Receive and exchange clocks farther apart are not of the same recording."""


class RecordingError(ValueError):
    """A recording that cannot be read; the message says what was found and expected."""


def is_recording(line: str) -> bool:
    """Whether a line is of a Binance stream."""
    return STARTS.match(line) is not None


def instruments(given: Iterable[str]) -> dict[str, Instrument]:
    """Units of the recorded markets: the most decimals seen, the step that divides all prices.

    A snapshot names no symbol and counts for the only one there is.
    """
    prices: dict[str, set[str]] = {}
    decimals: dict[str, int] = {}
    for line in given:
        symbol = SYMBOL.search(line)
        name = symbol[1] if symbol else ""
        told = PAIR.findall(line)
        named = NAMED.findall(line)
        seen = prices.setdefault(name, set())
        seen.update([p for p, _ in told] + [v for k, v in named if k in PRICES])
        sizes = [q for _, q in told] + [v for k, v in named if k not in PRICES]
        decimals[name] = max([decimals.get(name, 0), *map(_places, sizes)])
    unnamed, places = prices.pop("", set()), decimals.pop("", 0)
    if len(prices) == 1:
        (name,) = prices
        prices[name] |= unnamed
        decimals[name] = max(decimals[name], places)
    return {name: _instrument(name, prices[name], decimals[name]) for name in prices}


def lines(given: list[str], split) -> Iterator[str]:
    """The recording in the common form.

    Args:
        given: every line as recorded.
        split: a line's receive stamp in ns and frame, in whatever unit the file counts.

    Raises:
        RecordingError: for several markets in one file, or stamps that are not the receive time.
    """
    known = instruments(given)
    if len(known) != 1:
        raise RecordingError(f"found markets {sorted(known)}, expected one in a file")
    ((name, at),) = known.items()
    has_snapshot = any('"lastUpdateId"' in line for line in given)
    codec = Codec(known, has_snapshot)
    last_ns = split(given[0])[0]
    _check_clock(given, split)
    yield f"{last_ns} {_dump(_header(at, has_snapshot))}"
    for line in given:
        stamp, frame = split(line)
        due = range(last_ns + REPEAT_NS, min(stamp, last_ns + LONGEST_SILENCE_NS), REPEAT_NS)
        standing = [(at_ns, x) for at_ns in due for x in codec.standing(name, at_ns)]
        told = codec.decode(frame, stamp)
        is_lost = any(isinstance(x, Notice) and x.kind is not NoticeKind.OTHER for x in told)
        if not is_lost and stamp - last_ns < LONGEST_SILENCE_NS:
            for at_ns, message in standing:
                yield f"{at_ns} {_dump(_frame(message, at))}"
        for message in told:
            if (found := _frame(message, at)) is not None:
                yield f"{stamp} {_dump(found)}"
                last_ns = stamp


def _check_clock(given: list[str], split) -> None:
    """The unit of the receive stamps is right if they agree with the venue's own."""
    for line in given:
        if (told := STAMP.search(line)) is not None:
            skew = split(line)[0] - int(told[1]) * 1_000_000
            if abs(skew) > MOST_SKEW_NS:
                raise RecordingError(
                    f"receive stamp {line.split()[0]} is {skew / 1e9:.0f} s from the venue's "
                    f"{told[1]} ms; expected nanoseconds or microseconds since 1970"
                )
            return


def _header(at: Instrument, has_snapshot: bool) -> dict:
    data = {
        "coin": at.coin,
        "sizeDecimals": at.size_decimals,
        "priceDecimals": at.price_decimals,
        "tick": at.fixed_tick,
        "base": "snapshot" if has_snapshot else "updates",
    }
    return {"channel": "instrument", "data": data}


def _frame(message: Message, at: Instrument) -> dict | None:
    """A frame of the common form; `None` for what says nothing."""
    level = lambda x: {"px": text(x[0], at.price_decimals), "sz": text(x[1], at.size_decimals)}
    if isinstance(message, BookMessage):
        sides = [[{**level(x), "n": 1} for x in side] for side in (message.bids, message.asks)]
        data = {"coin": at.coin, "time": message.exchange_ms, "levels": sides}
        return {"channel": "l2Book", "data": data}
    if isinstance(message, TouchMessage):
        best = [None if x is None else level(x) for x in (message.bid, message.ask)]
        data = {"coin": at.coin, "time": message.exchange_ms, "bbo": best}
        return {"channel": "bbo", "data": data}
    if isinstance(message, TradesMessage):
        rows = [
            {
                "coin": at.coin,
                "side": "B" if one.sign > 0 else "A",
                **level((one.price, one.size)),
                "time": one.exchange_ms,
                "tid": one.tid,
            }
            for one in message.prints
        ]
        return {"channel": "trades", "data": rows}
    if isinstance(message, Notice) and message.kind in (NoticeKind.GAP, NoticeKind.BAD):
        return {"channel": "gap", "data": message.text}
    return None


def _dump(frame: dict | None) -> str:
    return json.dumps(frame, separators=(",", ":"))


def _places(number: str) -> int:
    match = DECIMAL.fullmatch(number)
    return len((match[2] or "").rstrip("0")) if match else 0


def _instrument(name: str, prices: set[str], size_decimals: int) -> Instrument:
    places = max(map(_places, prices), default=0)
    scaled = [round(float(x) * 10**places) for x in prices]
    return Instrument(name, size_decimals, places, max(math.gcd(*scaled), 1))
