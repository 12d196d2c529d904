"""Ctrl-C once ends a run cleanly, twice at once."""

import contextlib
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


CLEAN, AGAIN = 0, 130
"""Exit codes."""


class Stopper:
    """Handler of SIGINT and SIGTERM for as long as the context lasts.

    **Attributes:**

    - `is_asked`: whether a signal came.
    """

    def __init__(self) -> None:
        self._stop: Callable[[], object] | None = None
        self.is_asked = False
        self._before: dict[int, Any] = {}

    def watch(self, stop: Callable[[], object]) -> None:
        """What the first signal calls; before this is set, it leaves at once."""
        self._stop = stop

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            raise SystemExit(AGAIN)
        self.is_asked = True
        if self._stop is None:
            # Nothing has begun that would need an end.
            raise SystemExit(CLEAN)
        with contextlib.suppress(RuntimeError):
            # The loop may have ended by itself; then there is nothing left to end.
            self._stop()
