"""A loopback websocket that streams a recorded tape, at recorded or accelerated time.

Each frame is the recorded line, `<receive ns> <json>`, so that the session's clock runs on recorded
stamps and the speed changes nothing in the engine. The first frame announces the tape's start and
the speed, the last one its end.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable

import websockets
from websockets.asyncio.server import serve, Server, ServerConnection


LOOPBACK = "127.0.0.1"
TAPE = '{"channel": "tape"'
"""How the frames begin that say something of the tape itself."""
FULL_SPEED = 1e9
"""What is announced in place of infinity, which JSON has not."""


async def stream(socket: ServerConnection, lines: Iterable[str], speed: float) -> int:
    """Send every line at its recorded time over `speed`; the number of lines sent.

    Args:
        socket: an open connection.
        lines: `<ns> <json>` lines in order of their stamps.
        speed: recorded seconds per wall second; `inf` sends as fast as the peer reads.
    """
    loop = asyncio.get_running_loop()
    sent, first_ns, started = 0, 0, loop.time()
    for line in lines:
        stamp_ns = int(line.split(" ", 1)[0])
        if sent == 0:
            first_ns, started = stamp_ns, loop.time()
            await socket.send(_control("start", stamp_ns, speed))
        wait_s = (stamp_ns - first_ns) * 1e-9 / speed - (loop.time() - started)
        if wait_s > 0:
            # A peer that leaves must not have to wait for the next line.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(socket.wait_closed(), wait_s)
        await socket.send(line)
        sent += 1
    await socket.send(_control("end", first_ns, speed))
    return sent


@contextlib.asynccontextmanager
async def serve_tape(
    lines: Iterable[str], *, speed: float = 1.0, port: int = 0
) -> AsyncIterator[str]:
    """Serve a tape to any number of loopback clients; yields the `ws://` address.

    Args:
        lines: re-iterable `<ns> <json>` lines; each client gets them from the start.
        speed: recorded seconds per wall second, above zero.
        port: 0 lets the system choose.

    Raises:
        ValueError: for a speed that is not above zero.
    """
    if not speed > 0:
        raise ValueError(f"speed must be above zero; found {speed}; 1 is recorded time")

    async def client(socket: ServerConnection) -> None:
        # A client that leaves early is its own choice, not the feed's failure.
        with contextlib.suppress(websockets.ConnectionClosed):
            await stream(socket, lines, speed)

    server: Server = await serve(client, LOOPBACK, port, compression=None, ping_interval=None)
    async with server:
        yield f"ws://{LOOPBACK}:{next(iter(server.sockets)).getsockname()[1]}"


def _control(what: str, start_ns: int, speed: float) -> str:
    return json.dumps(
        {"channel": "tape", "data": {what: start_ns, "speed": min(speed, FULL_SPEED)}}
    )
