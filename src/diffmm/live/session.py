"""The only shell: a socket on one side, the engine's host on the other, a clock and a way to stop.

A feed whose lines carry receive stamps (a recording) is the clock itself, so its speed changes
nothing in the engine; a feed without stamps is stamped here as it arrives.
"""

import asyncio
import contextlib
import dataclasses
import enum
import json

from diffmm.venues.client import Feed, Frame, Joined, Lost, Silence, Word
from diffmm.venues.local import FULL_SPEED, TAPE
from diffmm.venues.tape_io import is_stamped, split

from .core import Core
from .quoter import NS
from .status import clock, Status


GRACE_S = 0.5
"""Wall time that a recorded line may be late before its silence counts."""


class End(enum.Enum):
    """Why a session ended."""

    DONE = "its time is over"
    TAPE = "the tape has ended"
    STOPPED = "stop requested"
    LOST = "no market data came within the patience"


@dataclasses.dataclass(frozen=True)
class Config:
    """How long.

    **Attributes:**

    - `for_ns`: session time; `None` runs until the feed ends or a stop.
    - `patience_s`: wall time without any frame after which the session gives up.
    """

    for_ns: int | None = None
    patience_s: float = 30.0


class Session:
    """One run over one feed."""

    def __init__(self, core: Core, feed: Feed, status: Status, config: Config):
        self.core, self.feed, self.status, self.config = core, feed, status, config
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._speed: float | None = None
        self._first_ns = self._last_ns = self._joined = 0
        self._is_stamped = self._is_rejoined = self._is_silent = False

    def request_stop(self) -> None:
        """End at the next frame; safe to call from a signal handler, before the start as well."""
        if self._loop is None or self._loop.is_closed():
            self._stop.set()
        else:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def run(self) -> End:
        """Listen until the end; no exception of the network leaves this."""
        self._loop = asyncio.get_running_loop()
        tasks = [
            asyncio.create_task(self._pump()),
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(self._report()),
        ]
        pump, stop, report = tasks
        try:
            await asyncio.wait({pump, stop, report}, return_when=asyncio.FIRST_COMPLETED)
            if report.done():
                report.result()
            end = pump.result() if pump.done() else End.STOPPED
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.core.journal.write({"t": "end", "ns": self.core.now_ns, "why": end.name})
        return end

    async def _pump(self) -> End:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        async with contextlib.aclosing(self.feed.words()) as words:
            async for word in words:
                if isinstance(word, Frame):
                    heard = loop.time()
                if loop.time() - heard > self.config.patience_s:
                    self.core.fault("gave_up", f"no frame for {self.config.patience_s:g} s")
                    return End.LOST
                if (end := self._on(word)) is not None:
                    return end
        raise AssertionError("a feed does not end by itself")

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self.status.interval_s)
            self.status.show(self.core)

    def _on(self, word: Word) -> End | None:
        if isinstance(word, Frame):
            return self._on_frame(word)
        if isinstance(word, Silence):
            return self._on_silence(word)
        if isinstance(word, Lost):
            self.core.on_lost(word.reason)
            self.status.say(
                f"feed    lost ({word.reason}); quotes pulled, again in {word.wait_s:.2f} s"
            )
        if isinstance(word, Joined):
            self._joined += 1
            self._is_rejoined = self._joined > 1
            if self._is_rejoined:
                self.core.faults["reconnects"] += 1
            self.status.say(f"feed    joined {self.feed.url} (attempt {word.attempt})")
        return None

    def _on_frame(self, frame: Frame) -> End | None:
        text, receive_ns = frame.text, frame.receive_ns
        self._is_silent = False
        if text.startswith(TAPE):
            return self._on_tape(text)
        if is_stamped(text):
            self._is_stamped = True
            receive_ns, text = split(text)
            if self._is_rejoined and receive_ns < self._last_ns:
                # A tape that starts over after a loss: this was already heard.
                return None
            self._is_rejoined = False
        elif self._is_stamped:
            receive_ns = self._last_ns
        self._first_ns = self._first_ns or receive_ns
        self._last_ns = max(self._last_ns, receive_ns)
        if self._is_over(receive_ns):
            return End.DONE
        self.core.on_line(receive_ns, text)
        return None

    def _on_silence(self, silence: Silence) -> End | None:
        if not self._is_stamped:
            self.core.on_time(silence.now_ns)
            return End.DONE if self._first_ns and self._is_over(silence.now_ns) else None
        silent_ns = self.core.intake.encoder.config.silent_feed_ns
        limit_s = silent_ns / NS / (self._speed or 1.0) + GRACE_S
        if silence.silent_s > limit_s and not self._is_silent:
            self._is_silent = True
            # One past the limit: exactly the rows that the next late stamp would make.
            self.core.on_time(self._last_ns + silent_ns + 1)
        return None

    def _on_tape(self, text: str) -> End | None:
        try:
            data = json.loads(text)["data"]
            if "end" in data:
                return End.TAPE
            speed, start = float(data["speed"]), clock(int(data["start"]))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            self.core.fault("bad_frame", f"{error!r} in {text[:200]!r}")
            return None
        self._speed = speed if speed > 0 else None
        pace = "inf" if speed >= FULL_SPEED else f"{speed:g}"
        self.status.say(f"tape    starts {start} at speed {pace}")
        return None

    def _is_over(self, now_ns: int) -> bool:
        limit = self.config.for_ns
        return limit is not None and now_ns - self._first_ns > limit
