"""A recording as rows of one coin, on the clock and at the cadence that is asked for."""

import argparse
import dataclasses
import pathlib
from typing import Any

from .replay import CADENCES


CLOCKS = ("exchange", "receive")
NS = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Recording:
    """A tape, when it starts in absolute time, and what was odd on the way."""

    tape: Any
    start_ns: int
    counters: dict[str, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How a recording is read."""
    add = parser.add_argument
    add("--reference", metavar="COIN", help="market of the same recording that leads; itself: none")
    add("--clock", choices=CLOCKS, default="exchange", help="when a line counts as known")
    add("--books", choices=CADENCES, default="full", help="thin the books to a cadence")


def read(path: str, coin: str, reference: str | None, clock: str, books: str) -> Recording:
    """One coin of a recording.

    Raises:
        TapeError: for a file or a coin that is not there.
    """
    from diffmm.market import AccountInputs, EncoderConfig
    from diffmm.venues import tape_io

    lines = list(tape_io.read_lines(pathlib.Path(path)))
    known = tape_io.universe(lines)
    coin = tape_io.named(known, coin)
    reference = tape_io.named(known, reference) if reference else None
    reference = reference if reference != coin else None
    for name in filter(None, (coin, reference)):
        if name not in known:
            raise tape_io.TapeError(f"no coin {name!r} in {path}; it has {sorted(known)}")
    if cadence := CADENCES[books]:
        lines = list(tape_io.thin(lines, *cadence))
    config = EncoderConfig()
    if clock == "exchange":
        # Nothing is older than it is: the line is known when the venue made it.
        lines, config = tape_io.on_exchange_clock(lines), EncoderConfig(base_latency_s=0.0)
    tape, encoder, _ = tape_io.encode(
        lines, known[coin], AccountInputs(), config, known[reference] if reference else None
    )
    span_s = float(tape.events().dt_s.astype("float64").sum())
    start_ns = encoder.now_ns - round(span_s * NS)
    return Recording(tape, start_ns, dataclasses.asdict(encoder.counters))
