"""The runner's end of its watchdog: started with the run, fed while it lives, told good-bye."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from .watchdog import BEAT_S, FAREWELL


class Guard:
    """A watchdog process; a pipe that breaks with us is its alarm."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self._process = process

    def beat(self) -> None:
        """We live."""
        self.say("beat")

    def leave(self) -> None:
        """Nothing rests; it may go."""
        self.say(FAREWELL)

    async def beats(self) -> None:
        """Beat for ever, from the loop that trades: a loop that hangs falls silent."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_S)

    def say(self, line: str) -> None:
        """One line over the pipe; a watchdog that is gone hears nothing."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()


@contextlib.contextmanager
def watched(told: dict[str, Any]) -> Iterator[Guard]:
    """A watchdog for as long as the context lasts; left without good-bye it sweeps by itself.

    Args:
        told: `http, user, asset, coin, key, is_mainnet`; goes over the pipe alone.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmm.live.watchdog"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    guard = Guard(process)
    try:
        guard.say(json.dumps(told))
        yield guard
    finally:
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
