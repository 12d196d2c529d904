"""A process of its own that takes our orders off the book when the runner cannot any more.

It reads heartbeats from its standard input. The runner's death closes the pipe at once; a runner
that hangs falls silent. Either way it cancels every open order of the account until the venue has
shown none twice. After a death it looks again until nothing that was on its way can still arrive;
a runner that wakes up finds by its own clock that it slept, and reconciles before it quotes.

    python -m diffmm.live.watchdog      first line: {"http", "user", "asset", "coin", "key", ...}

The key comes over the pipe: not as an argument and not in the environment, where others could read
it. Source: ours.
"""

import json
import os
import select
import signal
import sys
import time
from typing import Any

from diffmm.venues.hyperliquid.signer import Signer

from .http import NoAnswerError, post


BEAT_S = 0.5
SILENT_S = 3.0
"""Silence after which the runner counts as hung."""
AFTER_S = 5.0
"""How long orders that were on their way may still arrive: their expiry and the clocks' skew."""
POLL_S = 0.25
HTTP_S = 2.0
FAREWELL = "bye"
"""The line with which a runner says that it has confirmed a clean book."""
MOST_CANCELS = 200


def main() -> int:
    """Watch until the runner takes leave or is gone; 0 when nothing rests."""
    # Ctrl-C is for the runner; we stay until it has ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    source = _Lines(sys.stdin.fileno())
    told = json.loads(source.next(None) or "{}")
    signer = Signer(told.pop("key"), told.pop("is_mainnet", False))
    while True:
        line = source.next(SILENT_S)
        if line == FAREWELL:
            return 0
        if line is None and not source.is_open:
            return _sweep(signer, told, AFTER_S)
        if line is None:
            _sweep(signer, told, 0.0)


class _Lines:
    """Lines of a pipe with a deadline."""

    def __init__(self, file: int):
        self._file, self._rest, self.is_open = file, b"", True

    def next(self, wait_s: float | None) -> str | None:
        """The next line; `None` after the wait, or at the end of the pipe."""
        while b"\n" not in self._rest:
            if not select.select([self._file], [], [], wait_s)[0]:
                return None
            data = os.read(self._file, 65536)
            if not data:
                self.is_open = False
                return None
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()


def _sweep(signer: Signer, told: dict[str, Any], for_s: float) -> int:
    """Cancel what is open until nothing is, and for so long at least; 1 when the venue is gone."""
    until, empty, nonce = time.monotonic() + for_s, 0, 0
    while time.monotonic() < until or empty < 2:
        if time.monotonic() > until + AFTER_S:
            return 1
        try:
            body = {"type": "openOrders", "user": told["user"]}
            status, text = post(told["http"], "/info", body, HTTP_S)
            orders = json.loads(text) if status == 200 else None
            ours = [x for x in orders or () if x["coin"] == told["coin"]]
            empty = 0 if ours or orders is None else empty + 1
            if ours:
                nonce = max(nonce + 1, time.time_ns() // 1_000_000)
                _cancel(signer, told, ours[:MOST_CANCELS], nonce)
                continue
        except (NoAnswerError, ValueError, TypeError, KeyError) as error:
            sys.stderr.write(f"watchdog {error}\n")
        time.sleep(POLL_S)
    return 0


def _cancel(signer: Signer, told: dict[str, Any], orders: list[Any], nonce: int) -> None:
    cancels = [{"a": told["asset"], "o": x["oid"]} for x in orders]
    action = {"type": "cancel", "cancels": cancels}
    signed = {"action": action, "nonce": nonce, "signature": signer.sign(action, nonce)}
    post(told["http"], "/exchange", signed, HTTP_S)


if __name__ == "__main__":
    sys.exit(main())
