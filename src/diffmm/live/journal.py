"""Append-only record of a run: one JSON object a line, each chained to the one before by its CRC.

    {"c":"<crc32 of the previous c and of e>","e":{...}}

A line is written with one unbuffered write, so a killed process leaves at most one torn line, which
recovery truncates together with everything behind it. Source: ours; the chain is the one of a
write-ahead log.
"""

import dataclasses
import os
import pathlib
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import msgspec


HEAD, MIDDLE, TAIL = b'{"c":"', b'","e":', b"}\n"
CRC_AT = len(HEAD)
EVENT_AT = CRC_AT + 8 + len(MIDDLE)
SUFFIX = ".jsonl"
START = b"00000000"
"""What the first line is chained to."""


class JournalError(ValueError):
    """A journal that cannot be read or written; the message says where."""


@dataclasses.dataclass(frozen=True)
class Recovered:
    """What a journal held when it was opened.

    **Attributes:**

    - `events`: good lines, kept.
    - `dropped_bytes`: torn or changed tail that was cut off.
    """

    events: int
    dropped_bytes: int


class Journal:
    """Writer of one file; reopening one continues its chain behind the last good line."""

    def __init__(self, path: pathlib.Path):
        """Recover what is there, then append.

        Raises:
            JournalError: when the file cannot be opened for writing.
        """
        self.path = pathlib.Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.recovered, self._crc = recover(self.path)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise JournalError(
                f"{self.path}: {error.strerror}; choose another --name or free the folder"
            ) from error

    def write(self, event: dict[str, Any]) -> None:
        """Append one event.

        Raises:
            JournalError: when the whole line could not be written; nothing may go on without it.
        """
        payload = msgspec.json.encode(event)
        self._crc = _crc(self._crc, payload)
        line = HEAD + self._crc + MIDDLE + payload + TAIL
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror}; the run stops here") from error
        if written != len(line):
            raise JournalError(f"{self.path}: wrote {written} of {len(line)} bytes; disk full?")

    def close(self) -> None:
        """Give the file back; what was written stays."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def in_folder(folder: pathlib.Path) -> Journal:
    """A new file behind those of earlier runs, of which the newest is recovered first."""
    earlier = sorted(pathlib.Path(folder).glob(f"*{SUFFIX}"))
    if earlier:
        recover(earlier[-1])
    number = int(earlier[-1].stem) + 1 if earlier else 1
    return Journal(pathlib.Path(folder) / f"{number:06d}{SUFFIX}")


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Events of a journal up to the first bad line; the file is left as it is."""
    return [msgspec.json.decode(payload) for payload, _, _ in _good(pathlib.Path(path))]


def recover(path: pathlib.Path) -> tuple[Recovered, bytes]:
    """Cut a journal at its first bad line; what was found, and the CRC to continue from."""
    path = pathlib.Path(path)
    if not path.exists():
        return Recovered(0, 0), START
    good = [(crc, end) for _, crc, end in _good(path)]
    crc, end = good[-1] if good else (START, 0)
    size = path.stat().st_size
    if size > end:
        os.truncate(path, end)
    return Recovered(len(good), size - end), crc


def _good(path: pathlib.Path) -> Iterator[tuple[bytes, bytes, int]]:
    """Payload, CRC and end offset of each line up to the first that does not fit the chain."""
    crc, end = START, 0
    with path.open("rb") as file:
        for line in file:
            payload, found = line[EVENT_AT : -len(TAIL)], line[CRC_AT : CRC_AT + 8]
            crc = _crc(crc, payload)
            if line != HEAD + crc + MIDDLE + payload + TAIL or found != crc:
                return
            end += len(line)
            yield payload, crc, end


def _crc(previous: bytes, payload: bytes) -> bytes:
    return b"%08x" % zlib.crc32(payload, zlib.crc32(previous))
