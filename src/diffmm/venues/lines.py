"""Raw recordings `<ns> <json>`, one message a line, plain or gzip."""

import contextlib
import gzip
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator

from . import pairs
from .binance import recording


STAMP = re.compile(r"\d{16,19} ", re.ASCII)
MICROSECOND_STAMPS = 10**17
"""A receive stamp below this is in microseconds (in nanoseconds it would lie in 1973)."""


class TapeError(ValueError):
    """A recording that cannot be replayed; the message says what was found and expected."""


def read_lines(path: pathlib.Path) -> Iterator[str]:
    """Lines of a recording or a table of pairs, plain or gzip; a truncated last one is left out.

    A recording of Binance's streams comes in the common form, its instrument first.

    Raises:
        TapeError: for a file that is missing or is not a recording.
    """
    path = pathlib.Path(path)
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            whole = _whole(file)
            first = next(whole, "")
            given = itertools.chain([first] if first else [], whole)
            if first.startswith(pairs.HEADER):
                given = pairs.lines(given)
            elif recording.is_recording(first):
                given = recording.lines(list(given), split)
            yield from given
    except (OSError, UnicodeDecodeError, pairs.TableError, recording.RecordingError) as error:
        raise TapeError(f"{path}: {error}; expected lines '<receive ns> <json>'") from error


def _whole(file: Iterable[str]) -> Iterator[str]:
    with contextlib.suppress(EOFError):
        for line in file:
            if line.endswith("\n"):
                yield line.rstrip("\n")


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
