"""Raw recordings `<ns> <json>`, one message a line, plain or gzip."""

import contextlib
import gzip
import pathlib
import re
from collections.abc import Iterator


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
