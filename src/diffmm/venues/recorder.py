"""Market data to a file that replay reads: `<receive ns> <json>`, one frame a line.

The file is written in pieces that are whole by themselves (gzip members, or lines), so a killed
recorder leaves at most one torn piece, which the next start cuts off before it appends. A lost
connection is a line too, where it happened. No key, no account: public feeds only.
"""

import asyncio
import contextlib
import dataclasses
import gzip
import os
import pathlib
import zlib

from .client import Feed, Frame, Lost, Silence, Word
from .intake import gap
from .local import TAPE
from .tape_io import is_stamped, split


NS = 1_000_000_000
GZIP = 31
"""zlib's word for a gzip member."""
PIECE_BYTES = 1 << 18
"""Text that is held back at most before it is written."""
PIECE_S = 5.0
"""Wall time that a line is held back at most."""
CHUNK_BYTES = 1 << 20


class RecordingError(OSError):
    """A file that cannot be recorded into; the message says why."""


class Recording:
    """An append-only recording, plain or `.gz`.

    **Attributes:**

    - `path`: the file.
    - `dropped_bytes`: torn end that was cut off when it was opened.
    - `is_continued`: whether something was there before.
    """

    def __init__(self, path: pathlib.Path):
        """Cut off a torn end, then append.

        Raises:
            RecordingError: when the file cannot be read or written, or is no recording.
        """
        self.path = pathlib.Path(path)
        self._is_gzip = self.path.suffix == ".gz"
        self._held: list[str] = []
        self._held_chars = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.dropped_bytes = self._recover()
            self.is_continued = self.path.exists() and self.path.stat().st_size > 0
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise RecordingError(f"{self.path}: {error.strerror or error}") from error

    def write(self, receive_ns: int, frame: str) -> None:
        """One line; a line break inside a frame is white space in JSON and becomes a blank."""
        line = f"{receive_ns} {' '.join(frame.splitlines())}\n"
        self._held.append(line)
        self._held_chars += len(line)
        if self._held_chars > PIECE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held back as one whole piece.

        Raises:
            RecordingError: when it could not be written whole.
        """
        if not self._held:
            return
        piece = "".join(self._held).encode()
        if self._is_gzip:
            piece = gzip.compress(piece, mtime=0)
        self._held, self._held_chars = [], 0
        try:
            written = os.write(self._file, piece)
        except OSError as error:
            raise RecordingError(f"{self.path}: {error.strerror}") from error
        if written != len(piece):
            raise RecordingError(f"{self.path}: wrote {written} of {len(piece)} bytes; disk full?")

    def close(self) -> None:
        """Write the rest and give the file back."""
        self.flush()
        os.close(self._file)

    def _recover(self) -> int:
        """Bytes cut off the end of an earlier recording."""
        if not self.path.exists():
            return 0
        size = self.path.stat().st_size
        good = _whole_members(self.path) if self._is_gzip else _whole_lines(self.path)
        if size and not good:
            raise OSError(f"{size} bytes that are no recording; choose another file")
        if good < size:
            os.truncate(self.path, good)
        return size - good


@dataclasses.dataclass
class Recorded:
    """What was recorded in one run.

    **Attributes:**

    - `lines`, `gaps`: frames kept, and places marked as gaps.
    - `first_ns`, `last_ns`: receive stamps.
    - `last_loss`: why the newest connection ended.
    """

    lines: int = 0
    gaps: int = 0
    first_ns: int = 0
    last_ns: int = 0
    last_loss: str = ""


class Recorder:
    """One run of recording."""

    def __init__(self, recording: Recording, for_s: float | None, patience_s: float):
        """Nothing heard yet.

        Args:
            recording: where to.
            for_s: time by the lines' own stamps; `None` has no end.
            patience_s: wall time to wait for a first frame; later losses are waited out.
        """
        self.told = Recorded()
        self._recording, self._for_s, self._patience_s = recording, for_s, patience_s
        self._gap = "the recorder was started again" if recording.is_continued else ""
        self._is_stamped = False

    async def run(self, feed: Feed, stop: asyncio.Event) -> Recorded:
        """Record until the time is over, a served tape ends, or a stop."""
        tasks = [asyncio.create_task(self._listen(feed)), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._recording.flush()
        return self.told

    async def _listen(self, feed: Feed) -> None:
        loop = asyncio.get_running_loop()
        started = flushed = loop.time()
        async with contextlib.aclosing(feed.words()) as words:
            async for word in words:
                now = loop.time()
                if now - flushed > PIECE_S:
                    self._recording.flush()
                    flushed = now
                is_in_vain = not self.told.lines and now - started > self._patience_s
                if is_in_vain or self._on(word):
                    return

    def _on(self, word: Word) -> bool:
        """Take one word; whether it is the last."""
        told = self.told
        if isinstance(word, Frame):
            if word.text.startswith(TAPE):
                return '"end"' in word.text
            self._keep(word)
        elif isinstance(word, Lost):
            told.last_loss = word.reason
            self._gap = self._gap or word.reason
        elif isinstance(word, Silence) and told.lines and not self._is_stamped:
            return self._is_over(word.now_ns)
        return self._is_over(told.last_ns)

    def _keep(self, frame: Frame) -> None:
        """A line as it came where it is stamped already, else with the stamp of its arrival."""
        text, at_ns = frame.text, frame.receive_ns
        if is_stamped(text):
            self._is_stamped = True
            at_ns, text = split(text)
        if not text.startswith("{"):
            # The greeting of old servers is no message.
            return
        told = self.told
        at_ns = max(at_ns, told.last_ns)
        if self._gap:
            self._recording.write(told.last_ns or at_ns, gap(self._gap))
            told.gaps += 1
            self._gap = ""
        self._recording.write(at_ns, text)
        told.lines += 1
        told.first_ns, told.last_ns = told.first_ns or at_ns, at_ns

    def _is_over(self, now_ns: int) -> bool:
        return self._for_s is not None and now_ns - self.told.first_ns > self._for_s * NS


def _whole_lines(path: pathlib.Path) -> int:
    """Bytes up to the last line break."""
    end = at = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            last = chunk.rfind(b"\n")
            end = at + last + 1 if last >= 0 else end
            at += len(chunk)
    return end


def _whole_members(path: pathlib.Path) -> int:
    """Bytes up to the end of the last whole gzip member."""
    end = at = 0
    unpack = zlib.decompressobj(GZIP)
    with path.open("rb") as file, contextlib.suppress(zlib.error):
        while chunk := file.read(CHUNK_BYTES):
            at += len(chunk)
            while chunk:
                unpack.decompress(chunk)
                chunk = unpack.unused_data
                if unpack.eof:
                    end = at - len(chunk)
                    unpack = zlib.decompressobj(GZIP)
    return end
