"""How long the compiled programs take, beside a trivial one in the same process."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np


QUANTILES = {"p50": 0.5, "p99": 0.99}


class Stopwatch:
    """Durations by name."""

    def __init__(self) -> None:
        self._taken_s: dict[str, list[float]] = {}

    def time(self, name: str, call: Callable[..., Any], *args: Any) -> Any:
        """Call, and remember how long it took."""
        started = time.perf_counter()
        out = call(*args)
        self._taken_s.setdefault(name, []).append(time.perf_counter() - started)
        return out

    def quantiles_us(self) -> dict[str, dict[str, float]]:
        """Median and 99th percentile of each name, in microseconds."""
        return {
            name: {q: round(1e6 * float(np.quantile(taken, at)), 2) for q, at in QUANTILES.items()}
            for name, taken in self._taken_s.items()
        }
