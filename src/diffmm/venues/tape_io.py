"""Raw recordings `<ns> <json>`, one message a line, to lines and to tapes."""

import contextlib
import gzip
import json
import pathlib
import re
from collections.abc import Iterable, Iterator

import numpy as np

from diffmm.market import AccountInputs, Encoder, EncoderConfig, Instrument, Tape

from .intake import Intake


SIZE = re.compile(r'"coin":"([^"]+)"[^{}\[\]]*?"sz":"\d+(?:\.(\d+))?"')
BOOK_SIZE = re.compile(r'"sz":"\d+(?:\.(\d+))?"')
COIN = re.compile(r'"coin":\s*"([^"]+)"')
STAMP = re.compile(r"\d{16,19} ", re.ASCII)
MICROSECOND_STAMPS = 10**17
"""A receive stamp below this is in microseconds (in nanoseconds it would lie in 1973)."""


class TapeError(ValueError):
    """A recording that cannot be replayed; the message says what was found and expected."""


def read_lines(path: pathlib.Path) -> Iterator[str]:
    """Lines of a recording, plain or gzip; a truncated last line is left out.

    Raises:
        TapeError: for a file that is missing or is not a recording.
    """
    path = pathlib.Path(path)
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            with contextlib.suppress(EOFError):
                for line in file:
                    if line.endswith("\n"):
                        yield line.rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TapeError(f"{path}: {error}; expected lines '<receive ns> <json>'") from error


def split(line: str) -> tuple[int, str]:
    """Receive stamp in ns and the raw frame.

    Raises:
        TapeError: for a line without a stamp.
    """
    stamp, _, frame = line.partition(" ")
    if not stamp.isdigit():
        raise TapeError(f"found {line[:60]!r}, expected '<receive ns> <json>'")
    at = int(stamp)
    return (at * 1000 if at < MICROSECOND_STAMPS else at), frame


def is_stamped(text: str) -> bool:
    """Whether a frame is a recorded line, `<receive ns> <json>`, rather than a bare message."""
    return STAMP.match(text) is not None


def universe(lines: Iterable[str]) -> dict[str, Instrument]:
    """Instruments of a recording by the most size decimals seen, since old tapes carry no meta."""
    decimals: dict[str, int] = {}
    for line in lines:
        coin = COIN.search(line)
        if coin is None or '"sz":' not in line:
            continue
        most = max((len(x.rstrip("0")) for x in BOOK_SIZE.findall(line)), default=0)
        decimals[coin[1]] = max(decimals.get(coin[1], 0), most)
    return {coin: Instrument.hyperliquid(coin, n) for coin, n in decimals.items()}


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
