"""The I/O around the trading core: it moves bytes, carries out actions, and decides nothing.

One thread runs the core; HTTP requests wait in threads of their own. An action list is carried out
in its order, and nothing leaves before the durable records in front of it are on the disk.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import json
import secrets
import time
import traceback
import urllib.parse
from collections.abc import Callable
from typing import Any, Protocol

import websockets
from websockets.asyncio.client import connect

from diffmm.venues.client import LOOPBACK
from diffmm.venues.hyperliquid.signer import Signer

from . import events
from .http import NoAnswerError, post
from .journal import JournalError
from .trader import Trader


TICK_S = 0.025
HTTP_S = 3.0
OPEN_S = 5.0
FLUSH_S = 1.0
"""Patience for what was sent last to leave, when a run ends."""
HTTP_THREADS = 8
MOST_FRAME = 4 * 2**20
MOST_QUEUED = 4096


class Sink(Protocol):
    """Where records go."""

    def write(self, event: dict[str, Any]) -> object:
        """Append."""
        ...

    def sync(self) -> None:
        """Make what was written durable."""
        ...


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where a venue is.

    **Attributes:**

    - `http`: base of `/info` and `/exchange`, no trailing slash.
    - `ws`: of the websocket.
    """

    http: str
    ws: str

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        return urllib.parse.urlsplit(self.http).hostname in LOOPBACK


@dataclasses.dataclass
class _Connection:
    socket: Any
    queue: asyncio.Queue[str]


class Shell:
    """One run of a core at a venue.

    **Attributes:**

    - `trader`: the core.
    - `ended`: its last action.
    """

    def __init__(
        self,
        trader: Trader,
        journal: Sink,
        signer: Signer,
        at: Endpoint,
        latch: Callable[[str], object],
        say: Callable[[str], object],
    ):
        self.trader, self.ended = trader, None
        self._journal, self._signer, self._at = journal, signer, at
        self._latch, self._say = latch, say
        self._begun_ns, self._begun = time.time_ns(), time.monotonic_ns()
        self._connections: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._threads = concurrent.futures.ThreadPoolExecutor(HTTP_THREADS, "http")
        self._done = asyncio.Event()
        self._is_dirty = self._is_broken = False

    def now_ns(self) -> int:
        """Wall time at the start, and since then a clock that nobody sets."""
        return self._begun_ns + time.monotonic_ns() - self._begun

    def command(self, command: events.Command, reason: str = "") -> None:
        """Hand a command to the core; from the loop's thread."""
        self._feed(events.Commanded(command, reason))

    def stop(self) -> None:
        """End the run cleanly; from the loop's thread."""
        self.command(events.Command.STOP)

    async def run(self) -> events.End:
        """Until the core ends the run."""
        self._feed(events.Started(secrets.randbits(64)))
        try:
            while not self._done.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._done.wait(), TICK_S)
                self._feed(events.Ticked())
            await self._flush()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self.ended is None:
            raise AssertionError("the core ends every run with a word")
        return self.ended

    def _feed(self, event: events.Event) -> None:
        try:
            self._perform(self.trader.on(event, self.now_ns()))
        except JournalError as error:
            # What follows in the list has not left: the core learns of it as of anything lost.
            self._is_broken = True
            self._break(f"journal: {error}")
        except Exception as error:
            # Whatever went wrong inside, what stands at the venue must go.
            if isinstance(event, events.Broken):
                raise
            self._say(traceback.format_exc())
            self._break(f"{type(error).__name__}: {error}")

    def _break(self, reason: str) -> None:
        self._say(f"error   {reason}")
        self._perform(self.trader.on(events.Broken(reason), self.now_ns()))

    def _perform(self, actions: list[events.Action]) -> None:
        for action in actions:
            if isinstance(action, events.Write):
                if not self._is_broken:
                    self._journal.write(action.record)
                    self._is_dirty |= action.is_durable
                continue
            if self._is_dirty:
                self._journal.sync()
                self._is_dirty = False
            self._carry_out(action)

    def _carry_out(self, action: events.Action) -> None:
        if isinstance(action, events.Send):
            self._queue(action.epoch, action.text)
        elif isinstance(action, events.Act):
            self._act(action)
        elif isinstance(action, events.Ask):
            self._spawn(self._post(action.id, "/info", action.body))
        elif isinstance(action, events.Open):
            self._spawn(self._connect(action.epoch, action.wait_ns))
        elif isinstance(action, events.Close):
            self._spawn(self._close(action.epoch))
        elif isinstance(action, events.Latch):
            self._latch(action.reason)
        elif isinstance(action, events.Say):
            self._say(action.words)
        elif isinstance(action, events.End):
            self.ended = action
            self._done.set()

    def _act(self, action: events.Act) -> None:
        signature = self._signer.sign(action.action, action.nonce, None, action.expires_ms)
        payload = {
            "action": action.action,
            "nonce": action.nonce,
            "signature": signature,
            "vaultAddress": None,
            "expiresAfter": action.expires_ms,
        }
        if action.epoch is None:
            self._spawn(self._post(action.id, "/exchange", payload))
            return
        request = {"type": "action", "payload": payload}
        frame = {"method": "post", "id": action.id, "request": request}
        self._queue(action.epoch, json.dumps(frame, separators=(",", ":")))

    def _queue(self, epoch: int, text: str) -> None:
        connection = self._connections.get(epoch)
        # A frame for a connection that is gone is as lost as one that was on its way.
        if connection is not None and connection.queue.qsize() < MOST_QUEUED:
            connection.queue.put_nowait(text)

    async def _post(self, id: int, path: str, body: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        try:
            status, text = await loop.run_in_executor(
                self._threads, post, self._at.http, path, body, HTTP_S
            )
        except NoAnswerError as error:
            self._feed(events.Unanswered(id, str(error)))
            return
        self._feed(events.Answered(id, status, text))

    async def _connect(self, epoch: int, wait_ns: int) -> None:
        await asyncio.sleep(wait_ns / 1e9)
        reason = "closed"
        try:
            socket = await connect(
                self._at.ws,
                open_timeout=OPEN_S,
                close_timeout=1.0,
                proxy=None if self._at.is_loopback else True,
                ping_interval=None,
                compression=None,
                max_size=MOST_FRAME,
            )
            connection = _Connection(socket, asyncio.Queue())
            self._connections[epoch] = connection
            writer = asyncio.create_task(self._write(connection))
            try:
                self._feed(events.Opened(epoch))
                async for text in socket:
                    words = text if isinstance(text, str) else text.decode(errors="replace")
                    self._feed(events.Heard(epoch, words))
            finally:
                del self._connections[epoch]
                writer.cancel()
                await socket.close()
        except (OSError, websockets.WebSocketException) as error:
            reason = f"{type(error).__name__}: {error}"[:200]
        self._feed(events.Lost(epoch, reason))

    async def _write(self, connection: _Connection) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                text = await connection.queue.get()
                await connection.socket.send(text)
                connection.queue.task_done()

    async def _close(self, epoch: int) -> None:
        if (connection := self._connections.get(epoch)) is not None:
            await connection.socket.close()

    async def _flush(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                for connection in list(self._connections.values()):
                    await connection.queue.join()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self.ended is None:
            self._break(f"a task died: {error!r}")
