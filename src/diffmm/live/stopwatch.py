"""How long the compiled programs take, beside a trivial one in the same process."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diffmm.engine.graph import Quotes
from diffmm.engine.loop import Record
from diffmm.engine.stepper import Decision


QUANTILES = {"p50": 0.5, "p99": 0.99}
KEPT = 200_000
"""Newest durations kept by name; a run of days must not grow without end."""


class Stopwatch:
    """Durations by name."""

    def __init__(self) -> None:
        self._taken_s: dict[str, list[float]] = {}

    def time(self, name: str, call: Callable[..., Any], *args: Any) -> Any:
        """Call, and remember how long it took."""
        started = time.perf_counter()
        out = call(*args)
        taken = self._taken_s.setdefault(name, [])
        taken.append(time.perf_counter() - started)
        if len(taken) > KEPT:
            del taken[: KEPT // 2]
        return out

    def quantiles_us(self) -> dict[str, dict[str, float]]:
        """Median and 99th percentile of each name, in microseconds."""
        return {
            name: {q: round(1e6 * float(np.quantile(taken, at)), 2) for q, at in QUANTILES.items()}
            for name, taken in self._taken_s.items()
        }


class Timed:
    """A stepper whose calls are timed; before each decision a trivial call, for the ratio."""

    def __init__(self, stepper: Any):
        self._stepper, self._stopwatch = stepper, Stopwatch()

    @property
    def stopwatch(self) -> Stopwatch:
        """Time inside the compiled calls."""
        return self._stopwatch

    def row(self, *args: Any) -> Any:
        """Fold one packed row."""
        return self._stopwatch.time("observe", self._stepper.row, *args)

    def decide(self) -> Decision:
        """Evaluate the quotes at the row just folded."""
        self._stopwatch.time("trivial", self._stepper.trivial)
        return self._stopwatch.time("decide", self._stepper.decide)

    def quotes(self, decision: Decision) -> Quotes:
        """One decision, whole."""
        return self._stepper.quotes(decision)

    def record(self, decisions: Sequence[Decision]) -> Record:
        """Decisions stacked, whole."""
        return self._stepper.record(decisions)

    def restart(self) -> None:
        """Forget the belief."""
        self._stepper.restart()
