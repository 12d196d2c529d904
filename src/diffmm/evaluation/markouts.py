"""Markouts of our fills: what a fill was worth some seconds later, against the mid.

    markout_h = 1e4 s (p - m_{t+h}) / m_t            bp, positive is the maker's profit, before fees

Means are weighted by notional; intervals resample blocks of 60 s, because fills close in time share
one move. A fill too young for a horizon is not counted at it. Source: Huang & Stoll (1996).
"""

import collections
import dataclasses

import jax
import numpy as np

from diffmm.market import BID


NS = 1_000_000_000
BP = 1e4
HORIZONS_S = (1, 5, 10, 30, 60)
"""Ages at which fills are measured."""
BLOCK_S = 60
INTERVAL = (0.05, 0.95)
RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A weighted mean in bp, the number of fills behind it, and its 90 % interval.

    `None` where there is nothing to say: no fill, or for the interval fewer than two blocks.
    """

    value: float | None
    n: int
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Young:
    """A fill waiting for a horizon."""

    due_ns: int
    time_ns: int
    sign: int
    value2: int
    size: int
    mid2: int


class Markouts:
    """Streaming markouts of one instrument; prices and sizes in its integer units."""

    def __init__(self, horizons_s: tuple[int, ...] = HORIZONS_S):
        self.horizons_s = horizons_s
        self._mid2: int | None = None
        self._young = {h: collections.deque[Young]() for h in horizons_s}
        self._done: dict[int, list[tuple[int, float, float]]] = {h: [] for h in horizons_s}

    def advance(self, now_ns: int) -> None:
        """Time passed: every horizon that ended before now takes the mid in force."""
        for h, queue in self._young.items():
            while queue and queue[0].due_ns < now_ns:
                fill = queue.popleft()
                gain = fill.sign * (fill.value2 - fill.size * (self._mid2 or 0))
                self._done[h].append((fill.time_ns, float(gain), float(fill.size * fill.mid2)))

    def on_mid(self, time_ns: int, bid_price: int, ask_price: int) -> None:
        """The touch; a fill exactly as old as a horizon takes this mid."""
        self.advance(time_ns)
        self._mid2 = bid_price + ask_price

    def on_fills(self, time_ns: int, side: int, value: int, size: int) -> None:
        """Fills of one moment and side: `value` is the sum of price times size.

        Raises:
            ValueError: before the first book, when there is no mid to measure from.
        """
        if self._mid2 is None:
            raise ValueError("a fill before the first mid; give the markouts the book first")
        self.advance(time_ns)
        sign = -1 if side == BID else 1
        for h, queue in self._young.items():
            queue.append(Young(time_ns + h * NS, time_ns, sign, 2 * value, size, self._mid2))

    def rows(self, horizon_s: int) -> np.ndarray:
        """`[fills, 3]`: time in s, markout in bp, weight (notional in half units)."""
        done = self._done[horizon_s]
        time, gain, weight = np.array(done, np.float64).reshape(-1, 3).T
        return np.stack([time / NS, BP * gain / weight, weight], axis=1)

    def estimate(self, horizon_s: int, seed: int = 0) -> Estimate:
        """Weighted mean with a block-bootstrap interval."""
        time, value, weight = self.rows(horizon_s).T
        return weighted_mean(time, value, weight, seed)

    def estimates(self, seed: int = 0) -> dict[str, Estimate]:
        """Every horizon by its seconds."""
        return {str(h): self.estimate(h, seed) for h in self.horizons_s}


def weighted_mean(
    time_s: np.ndarray, value: np.ndarray, weight: np.ndarray, seed: int, block_s: float = BLOCK_S
) -> Estimate:
    """`sum w x / sum w`, its interval by resampling blocks of time.

    Args:
        time_s: when each observation happened.
        value: observations.
        weight: positive weights.
        seed: of the resampling; the same seed gives the same interval.
        block_s: length of a block.
    """
    n = len(value)
    if n == 0:
        return Estimate(None, 0, None, None)
    mean = float(np.sum(weight * value) / np.sum(weight))
    _, block = np.unique(np.floor_divide(time_s, block_s), return_inverse=True)
    blocks = int(block.max()) + 1
    if blocks < 2:
        return Estimate(mean, n, None, None)
    top = np.bincount(block, weight * value)
    bottom = np.bincount(block, weight)
    key = jax.random.key(seed)
    drawn = np.asarray(jax.random.randint(key, (RESAMPLES, blocks), 0, blocks))
    means = top[drawn].sum(axis=1) / bottom[drawn].sum(axis=1)
    low, high = np.quantile(means, INTERVAL)
    return Estimate(mean, n, float(low), float(high))
