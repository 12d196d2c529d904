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
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import msgspec

from . import durable


HEAD, MIDDLE, TAIL = b'{"c":"', b'","e":', b"}\n"
CRC_AT = len(HEAD)
EVENT_AT = CRC_AT + 8 + len(MIDDLE)
SUFFIX = ".jsonl"
START = b"00000000"
"""What the first line is chained to."""
MOST_BYTES = 64 * 2**20
"""Size at which a trading run begins another file."""


class JournalError(ValueError):
    """A journal that cannot be read or written; the message says where."""


class DamagedError(JournalError):
    """A journal with whole records behind a bad one."""


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

    def write(self, event: dict[str, Any]) -> int:
        """Append one event; how many bytes it took.

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
        return written

    def sync(self) -> None:
        """Return when what was written would survive a loss of power.

        Raises:
            JournalError: when the disk refuses; what is on it is then unknown, and the run ends.
        """
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror}; the run stops here") from error

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


class Segments:
    """Writer of a folder's files one after the other, each begun with the whole state.

    **Attributes:**

    - `path`: of the present file.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        first: dict[str, Any],
        state: Callable[[], dict[str, Any]],
        most_bytes: int = MOST_BYTES,
    ):
        """Begin a file behind those of earlier runs.

        Args:
            folder: of the run.
            first: its first record, the state recovered from the earlier ones.
            state: gives the first record of each later file.
            most_bytes: size at which another file is begun.

        Raises:
            JournalError: when it cannot be written.
        """
        self._folder, self._state, self._most = pathlib.Path(folder), state, most_bytes
        self._journal = self._begin(in_folder(self._folder), first)
        self._bytes = 0

    @property
    def path(self) -> pathlib.Path:
        """The present file."""
        return self._journal.path

    def write(self, event: dict[str, Any]) -> None:
        """Append one event; see `Journal.write`."""
        self._bytes += self._journal.write(event)
        if self._bytes > self._most:
            # The new file stands with its state before the old one is left.
            old = self._journal
            old.sync()
            beside = old.path.with_name(f"{int(old.path.stem) + 1:06d}{SUFFIX}")
            self._journal, self._bytes = self._begin(Journal(beside), self._state()), 0
            old.close()

    def sync(self) -> None:
        """See `Journal.sync`."""
        self._journal.sync()

    def close(self) -> None:
        """Give the file back; what was written stays and is on the disk."""
        self._journal.sync()
        self._journal.close()

    def _begin(self, new: Journal, first: dict[str, Any]) -> Journal:
        new.write(first)
        new.sync()
        try:
            durable.sync_folder(self._folder)
        except OSError as error:
            raise JournalError(f"{self._folder}: {error.strerror}") from error
        return new


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
    """Cut a journal at its first bad line; what was found, and the CRC to continue from.

    Raises:
        DamagedError: when whole lines follow a bad one. A torn write is the last of a file; this is
            damage, and what it held of our orders is lost.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return Recovered(0, 0), START
    good = [(crc, end) for _, crc, end in _good(path)]
    crc, end = good[-1] if good else (START, 0)
    size = path.stat().st_size
    if size > end and _is_damaged(path, end):
        raise DamagedError(
            f"{path}: damaged at byte {end} with whole records behind it; nothing trades on it. "
            "Look at the venue by hand, then move the file away"
        )
    if size > end:
        os.truncate(path, end)
    return Recovered(len(good), size - end), crc


def _is_damaged(path: pathlib.Path, offset: int) -> bool:
    """Whether the bad line at an offset has one in the shape of a record behind it."""
    with path.open("rb") as file:
        file.seek(offset)
        file.readline()
        return any(x.startswith(HEAD) and x.endswith(TAIL) for x in file)


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
