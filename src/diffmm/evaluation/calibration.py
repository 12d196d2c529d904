"""Whether a number said beforehand came true: slopes, levels and skill, with block intervals.

A slope is that of the ordinary least-squares line, with intercept, of what happened on what was
said: 1 where the forecast is calibrated, below 1 where it is too spread out, 1/2 where a
probability is doubled. Intervals resample blocks of 60 s (`forecast.resampled`), because outcomes
close in time share one move. Source: Mincer & Zarnowitz (1969); Brier (1950); Guo et al. (2017) for
the calibration error.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from .forecast import resampled
from .markouts import INTERVAL


PASSES, FAILS, UNDECIDED = "passes", "fails", "undecided"
DECILE = 10
"""Parts of equally many orders by what was predicted; the first and last are compared."""
BINS = 10
"""Of the calibration error, equally many outcomes in each."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and its 90 % interval; `None` where there is nothing to say."""

    value: float | None
    low: float | None = None
    high: float | None = None


def statistic(
    time_s: np.ndarray, columns: np.ndarray, of_sums: Callable[[np.ndarray], np.ndarray], seed: int
) -> Interval:
    """A function of sums over the outcomes, and its interval over blocks of time.

    Args:
        time_s: when each outcome was begun.
        columns: `[outcomes, columns]`, to be summed.
        of_sums: `[..., columns] -> [...]`; not finite where it means nothing.
        seed: of the resampling.
    """
    if not len(time_s):
        return Interval(None)
    with np.errstate(all="ignore"):
        value = float(of_sums(columns.sum(axis=0)))
        if not np.isfinite(value):
            return Interval(None)
        drawn = resampled(time_s, columns, seed)
        if drawn is None:
            return Interval(value)
        found = of_sums(drawn)
    found = found[np.isfinite(found)]
    # A draw without a single outcome says nothing; where most say nothing, neither does the whole.
    if len(found) < len(drawn) / 2:
        return Interval(value)
    return Interval(value, *map(float, np.quantile(found, INTERVAL)))


def slope(time_s: np.ndarray, said: np.ndarray, came: np.ndarray, seed: int = 0) -> Interval:
    """Slope of the least-squares line of what came on what was said."""
    x = said - said.mean() if len(said) else said
    columns = np.stack([np.ones_like(x), x, came, x * x, x * came], axis=1)

    def of_sums(s: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, sxy = np.moveaxis(s, -1, 0)
        spread = sxx - sx * sx / n
        return np.where(spread > 0, (sxy - sx * sy / n) / spread, np.nan)

    return statistic(time_s, columns, of_sums, seed)


def level(time_s: np.ndarray, said: np.ndarray, came: np.ndarray, seed: int = 0) -> Interval:
    """Sum of what came over the sum of what was said: above 1, more came."""
    ratio = lambda s: s[..., 1] / s[..., 0]
    return statistic(time_s, np.stack([said, came], axis=1), ratio, seed)


def mean(time_s: np.ndarray, values: np.ndarray, seed: int = 0) -> Interval:
    """Mean of values."""
    ratio = lambda s: s[..., 1] / s[..., 0]
    return statistic(time_s, np.stack([np.ones_like(values), values], axis=1), ratio, seed)


def brier_skill(
    time_s: np.ndarray, said: np.ndarray, base: np.ndarray, came: np.ndarray, seed: int = 0
) -> Interval:
    """`1 - sum (said - came)^2 / sum (base - came)^2`."""
    columns = np.stack([(base - came) ** 2, (said - came) ** 2], axis=1)
    return statistic(time_s, columns, lambda s: 1 - s[..., 1] / s[..., 0], seed)


def calibration_error(
    time_s: np.ndarray, said: np.ndarray, came: np.ndarray, seed: int = 0
) -> Interval:
    """Expected calibration error: mean over bins of `|mean said - mean came|`, by their counts.

    It is at least what chance leaves in a bin, so a perfect forecast of few outcomes is not at 0.
    """
    gap = np.zeros((len(said), BINS))
    gap[np.arange(len(said)), parts(said, BINS)] = said - came
    columns = np.concatenate([np.ones((len(said), 1)), gap], axis=1)
    return statistic(time_s, columns, lambda s: np.abs(s[..., 1:]).sum(axis=-1) / s[..., 0], seed)


def top_minus_bottom(
    time_s: np.ndarray, said: np.ndarray, came: np.ndarray, seed: int = 0
) -> Interval:
    """Mean of what came in the highest tenth of what was said, less that in the lowest."""
    part = parts(said, DECILE)
    top, bottom = (part == DECILE - 1).astype(float), (part == 0).astype(float)
    columns = np.stack([top, top * came, bottom, bottom * came], axis=1)
    gap = lambda s: s[..., 1] / s[..., 0] - s[..., 3] / s[..., 2]
    return statistic(time_s, columns, gap, seed)


def parts(said: np.ndarray, count: int) -> np.ndarray:
    """Index of the part of equally many outcomes that each belongs to; ties in order of coming."""
    rank = np.empty(len(said), int)
    rank[np.argsort(said, kind="stable")] = np.arange(len(said))
    return rank * count // max(len(said), 1)


def curve(said: np.ndarray, came: np.ndarray, count: int = BINS) -> list[dict[str, Any]]:
    """What was said and what came, part by part, for a picture."""
    part = parts(said, count)
    some = [part == k for k in range(count) if (part == k).any()]
    return [
        {"said": float(said[x].mean()), "came": float(came[x].mean()), "n": int(x.sum())}
        for x in some
    ]


def within(found: Interval, low: float, high: float, *, contains: float | None = None) -> str:
    """The verdict on a bar `[low, high]`, by interval ends.

    It passes where the interval lies inside and, if asked, contains a number; it fails where the
    interval lies outside or leaves that number out; else the data do not decide.
    """
    if found.low is None or found.high is None:
        return UNDECIDED
    misses = contains is not None and not found.low <= contains <= found.high
    if misses or found.high < low or found.low > high:
        return FAILS
    return PASSES if low <= found.low and found.high <= high else UNDECIDED
