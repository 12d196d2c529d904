"""Raw recordings to instruments, thinned lines and tapes."""

import json
import re
from collections.abc import Iterable, Iterator

import numpy as np

from diffmm.market import AccountInputs, Encoder, EncoderConfig, Instrument, Tape

from .intake import Intake
from .lines import (
    is_stamped as is_stamped,
    read_lines as read_lines,
    split as split,
    TapeError as TapeError,
)


SIZE = re.compile(r'"coin":"([^"]+)"[^{}\[\]]*?"sz":"\d+(?:\.(\d+))?"')
BOOK_SIZE = re.compile(r'"sz":"\d+(?:\.(\d+))?"')
COIN = re.compile(r'"coin":\s*"([^"]+)"')
INSTRUMENT = '{"channel":"instrument"'
"""How a frame begins that tells a market's units."""
QUOTES = ("USDT", "USDC", "FDUSD", "USD")
"""Endings of a venue's symbol that its coin goes without."""
EXCHANGE_MS = re.compile(r'"time":\s*(\d{13})\b')


def universe(lines: Iterable[str]) -> dict[str, Instrument]:
    """Instruments of a recording: as it tells them, else by the most size decimals seen."""
    decimals: dict[str, int] = {}
    told: dict[str, Instrument] = {}
    for line in lines:
        if INSTRUMENT in line:
            one = json.loads(line[line.index(INSTRUMENT) :])["data"]
            units = (one["sizeDecimals"], one["priceDecimals"], one["tick"])
            told[one["coin"]] = Instrument(one["coin"], *units)
            continue
        coin = COIN.search(line)
        if coin is None or '"sz":' not in line:
            continue
        most = max((len(x.rstrip("0")) for x in BOOK_SIZE.findall(line)), default=0)
        decimals[coin[1]] = max(decimals.get(coin[1], 0), most)
    learnt = {c: Instrument.hyperliquid(c, n) for c, n in decimals.items() if c not in told}
    return told | learnt


def named(known: Iterable[str], coin: str) -> str:
    """The venue's spelling of a coin: as given, or with the one ending that makes it known."""
    if coin in (known := set(known)):
        return coin
    found = [coin + quote for quote in QUOTES if coin + quote in known]
    return found[0] if len(found) == 1 else coin


def on_exchange_clock(lines: Iterable[str]) -> list[str]:
    """The same recording as the venue lived it: each line at its newest exchange time, in order.

    A line without one keeps its place behind the line before it.
    """
    out: list[tuple[int, str]] = []
    last_ms = 0
    for line in lines:
        frame = split(line)[1]
        stamps = EXCHANGE_MS.findall(frame)
        last_ms = max(map(int, stamps)) if stamps else last_ms
        out.append((last_ms, frame))
    out.sort(key=lambda pair: pair[0])
    return [f"{at_ms * 1_000_000} {frame}" for at_ms, frame in out]


def thin(lines: Iterable[str], depth: int, every_s: float) -> Iterator[str]:
    """The same recording with books of `depth` levels at most every `every_s` a coin."""
    last: dict[str, int] = {}
    for line in lines:
        if '"l2Book"' not in line:
            yield line
            continue
        stamp, frame = split(line)
        message = json.loads(frame)
        data = message["data"]
        if stamp - last.get(data["coin"], 0) < every_s * 1e9:
            continue
        last[data["coin"]] = stamp
        data["levels"] = [side[:depth] for side in data["levels"]]
        if depth == 5:
            data["fast"] = True
        yield f"{stamp} {json.dumps(message, separators=(',', ':'))}"


def encode(
    lines: Iterable[str],
    instrument: Instrument,
    account: AccountInputs,
    config: EncoderConfig,
    reference: Instrument | None = None,
) -> tuple[Tape, Encoder, dict[str, int]]:
    """Replay the host's part of the live path over a recording.

    Returns:
        The tape, the encoder with its counters, and notices by kind.

    Raises:
        TapeError: when no line makes a row.
    """
    intake = Intake(instrument, account, config, reference)
    rows: list[np.ndarray] = []
    for line in lines:
        rows += intake.on_line(*split(line))[0]
    if not rows:
        raise TapeError(f"no row for {instrument.coin}; the recording has no two-sided book of it")
    return intake.tape(rows), intake.encoder, dict(intake.notices)
