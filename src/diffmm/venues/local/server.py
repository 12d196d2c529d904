"""The embedded venue on one loopback port: `POST /info`, `POST /exchange`, websocket `/ws`.

Only moves bytes and tells the time; everything the venue knows is in `Venue`. Should the venue
itself fail, the server stops and says why rather than go on with half a block.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from .events import (
    Answer,
    Close,
    Connected,
    Disconnected,
    Event,
    Received,
    Reply,
    Request,
    Send,
    Time,
)
from .venue import Venue


LOOPBACK = "127.0.0.1"
LONGEST_BODY = 2**20
"""Bytes of a request's body or of a frame."""
UNSENT_FRAMES = 20_000
"""A peer that has read none of so many frames is gone."""
SHUTDOWN_S = 1.0


class Shell:
    """One venue and the peers that are connected to it.

    **Attributes:**

    - `failed`: done, with the error, once the venue itself failed.
    """

    def __init__(self, venue: Venue, clock_ns: "Clock"):
        self.venue, self._clock_ns = venue, clock_ns
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._peers: dict[int, asyncio.Queue[Answer]] = {}
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._conns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._on(Time())

    def _on(self, event: Event) -> None:
        """Tell the venue, carry out what it answers, and set the alarm for its next wish."""
        if self.failed.done():
            return
        try:
            answers = self.venue.on(event, self._clock_ns())
            due_ns = self.venue.next_due_ns()
        except Exception as error:
            self.failed.set_exception(error)
            return
        for answer in answers:
            self._deliver(answer)
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(due_ns - self._clock_ns(), 0) * 1e-9
        self._timer = self._loop.call_later(wait_s, self._on, Time())

    def _deliver(self, answer: Answer) -> None:
        if isinstance(answer, Reply):
            waiting = self._waiting.pop(answer.conn, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
            return
        queue = self._peers.get(answer.conn)
        if queue is None:
            return
        if queue.qsize() >= UNSENT_FRAMES:
            answer = Close(answer.conn, aiohttp.WSCloseCode.POLICY_VIOLATION, "Too slow")
        queue.put_nowait(answer)

    async def post(self, request: web.Request) -> web.Response:
        """One HTTP request; an action is answered after its block."""
        body = (await request.read()).decode(errors="replace")
        conn = self._conns = self._conns + 1
        waiting = self._waiting[conn] = self._loop.create_future()
        self._on(Request(conn, request.path, body))
        try:
            reply = await waiting
        finally:
            self._waiting.pop(conn, None)
        kind = "application/json" if reply.status == 200 else "text/plain"
        return web.Response(status=reply.status, text=reply.body, content_type=kind)

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One websocket, for as long as it lasts."""
        socket = web.WebSocketResponse(compress=False, max_msg_size=LONGEST_BODY, timeout=1.0)
        await socket.prepare(request)
        conn = self._conns = self._conns + 1
        queue = self._peers[conn] = asyncio.Queue()
        writer = asyncio.create_task(_write(socket, queue))
        self._on(Connected(conn))
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._on(Received(conn, message.data))
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self._on(Received(conn, message.data.decode(errors="replace")))
        finally:
            del self._peers[conn]
            self._on(Disconnected(conn))
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    async def stop(self, app: web.Application) -> None:
        """End every websocket as a server that goes away does."""
        if self._timer is not None:
            self._timer.cancel()
        for conn, queue in self._peers.items():
            queue.put_nowait(Close(conn, aiohttp.WSCloseCode.GOING_AWAY, "Server stopped"))
        for waiting in self._waiting.values():
            waiting.cancel()
        await asyncio.sleep(0)


class Clock:
    """Wall time that never runs backwards."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        return self._offset_ns + time.monotonic_ns()


@contextlib.asynccontextmanager
async def serve_venue(
    venue: Venue, clock_ns: Clock, port: int = 0
) -> AsyncIterator[tuple[str, asyncio.Future[None]]]:
    """Serve a venue until the context ends.

    Args:
        venue: started at a time of `clock_ns`.
        clock_ns: what the time is.
        port: 0 lets the system choose.

    Yields:
        The base address, `http://127.0.0.1:PORT`, and a future that fails if the venue does.

    Raises:
        OSError: the port is taken.
    """
    shell = Shell(venue, clock_ns)
    app = web.Application(client_max_size=LONGEST_BODY)
    app.add_routes(
        [
            web.post("/info", shell.post),
            web.post("/exchange", shell.post),
            web.get("/ws", shell.websocket),
        ]
    )
    app.on_shutdown.append(shell.stop)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}", shell.failed
    finally:
        await runner.cleanup()


async def _write(socket: web.WebSocketResponse, queue: asyncio.Queue[Answer]) -> None:
    """Send what the venue says to one peer, in order."""
    # A peer that is gone hears nothing; the reader notices it too.
    with contextlib.suppress(ConnectionError):
        while True:
            answer = await queue.get()
            if isinstance(answer, Close):
                await socket.close(code=answer.code, message=answer.reason.encode())
                return
            if isinstance(answer, Send):
                await socket.send_str(answer.text)
