"""A websocket feed that comes back: connect, subscribe, listen, and again when it is lost.

The venue has no resume token and drops connections unannounced, so every loss is a gap: the session
is told, pulls, and starts from the next snapshot. Waits grow by powers of two up to a cap, with
jitter from a seed, and start over only once a connection has lived for a while.
"""

import asyncio
import contextlib
import dataclasses
import time
import urllib.parse
from collections.abc import AsyncGenerator, Sequence

import numpy as np
import websockets
from websockets.asyncio.client import ClientConnection, connect


PING = '{"method":"ping"}'
LOOPBACK = ("127.0.0.1", "::1", "localhost")
LONGEST_REASON = 200
"""Characters of an error that are repeated."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How patient the client is, wall seconds.

    **Attributes:**

    - `open_s`: longest connection attempt.
    - `beat_s`: how often the session hears of silence.
    - `ping_s`: silence, and then the interval, at which a ping is sent.
    - `dead_s`: silence after which the connection is given up.
    - `first_wait_s`, `most_wait_s`: wait before the first and before any later attempt, at most.
    - `stable_s`: life of a connection after which waits start over.
    - `most_bytes`: largest frame; a larger one closes the connection.
    """

    open_s: float = 5.0
    beat_s: float = 0.05
    ping_s: float = 5.0
    dead_s: float = 20.0
    first_wait_s: float = 0.25
    most_wait_s: float = 5.0
    stable_s: float = 30.0
    most_bytes: int = 4 * 2**20


@dataclasses.dataclass(frozen=True)
class Joined:
    """Connected and subscribed; `attempt` counts from 1."""

    attempt: int


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame as received, and when by this machine's clock."""

    text: str
    receive_ns: int


@dataclasses.dataclass(frozen=True)
class Silence:
    """Nothing came for so long, while the connection stands."""

    silent_s: float
    now_ns: int


@dataclasses.dataclass(frozen=True)
class Lost:
    """No connection; the next attempt follows after `wait_s`."""

    reason: str
    wait_s: float


Word = Joined | Frame | Silence | Lost


class Feed:
    """One address and what is asked of it."""

    def __init__(self, url: str, subscriptions: Sequence[str], seed: int, config: Config):
        self.url, self.subscriptions, self.config = url, subscriptions, config
        self._jitter = np.random.default_rng(seed)
        self._failures = self._attempts = 0

    async def words(self) -> AsyncGenerator[Word, None]:
        """Everything the feed does, for ever; close the iterator to leave."""
        loop = asyncio.get_running_loop()
        while True:
            self._attempts += 1
            started = loop.time()
            try:
                async with self._open() as socket:
                    for one in self.subscriptions:
                        await socket.send(one)
                    yield Joined(self._attempts)
                    async with contextlib.aclosing(self._listen(socket)) as heard:
                        async for word in heard:
                            yield word
            except (OSError, websockets.WebSocketException) as error:
                # A timeout is an OSError; both say why in words of their own.
                reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
            else:
                reason = f"silent for {self.config.dead_s:g} s"
            stable = loop.time() - started > self.config.stable_s
            wait_s = self._wait_s(stable)
            yield Lost(reason, wait_s)
            await asyncio.sleep(wait_s)

    def _open(self) -> connect:
        # The venue's own JSON ping keeps the line alive; protocol pings are not documented there.
        return connect(
            self.url,
            open_timeout=self.config.open_s,
            close_timeout=1.0,
            proxy=None if urllib.parse.urlsplit(self.url).hostname in LOOPBACK else True,
            ping_interval=None,
            compression=None,
            max_size=self.config.most_bytes,
        )

    async def _listen(self, socket: ClientConnection) -> AsyncGenerator[Frame | Silence, None]:
        """Frames and silences until the connection breaks (raises) or has died (returns)."""
        loop, config = asyncio.get_running_loop(), self.config
        heard = pinged = loop.time()
        while loop.time() - heard < config.dead_s:
            try:
                text = await asyncio.wait_for(socket.recv(), config.beat_s)
            except TimeoutError:
                now = loop.time()
                if now - max(heard, pinged) > config.ping_s:
                    pinged = now
                    await socket.send(PING)
                yield Silence(now - heard, time.time_ns())
                continue
            heard = loop.time()
            if isinstance(text, bytes):
                text = text.decode(errors="replace")
            yield Frame(text, time.time_ns())

    def _wait_s(self, stable: bool) -> float:
        """Capped exponential wait, half of it jitter."""
        self._failures = 1 if stable else self._failures + 1
        config = self.config
        longest = min(config.first_wait_s * 2 ** min(self._failures - 1, 32), config.most_wait_s)
        return longest * (1 + self._jitter.random()) / 2
