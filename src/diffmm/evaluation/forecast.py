"""What the mid did after each moment of a tape, on a grid of times, and scores of a forecast of it.

All is relative to the mid in force at the moment; prices in bp, free of the moves of the anchor.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from diffmm.market import Event, Tape

from .markouts import BLOCK_S, INTERVAL, RESAMPLES


HORIZONS_S = (1, 5, 10)
"""Horizons at which fair value is judged."""
GRID_S = 0.1
"""Distance of the moments at which squared errors are taken."""


@dataclasses.dataclass(frozen=True)
class Path:
    """The mid of a tape.

    **Attributes:**

    - `time_s`: of each row since the first.
    - `mid_bp`: mid in force at the row, anchor moves taken out; the last known one.
    - `half_spread_bp`, `tick_bp`: the same way.
    - `weighted_bp`: size-weighted mid less mid.
    - `has_book`: whether the row has a two-sided book.
    """

    time_s: np.ndarray
    mid_bp: np.ndarray
    half_spread_bp: np.ndarray
    tick_bp: np.ndarray
    weighted_bp: np.ndarray
    has_book: np.ndarray

    def row_at(self, time_s: np.ndarray) -> np.ndarray:
        """Last row not after each time."""
        return np.maximum(np.searchsorted(self.time_s, time_s, side="right") - 1, 0)


@dataclasses.dataclass(frozen=True)
class Moments:
    """Moments of a tape and what came after.

    **Attributes:**

    - `time_s`, `row`: of each moment.
    - `change_bp`: `[moments, horizons]`, mid then less mid now.
    - `moved`: whether that is another mid.
    """

    time_s: np.ndarray
    row: np.ndarray
    change_bp: np.ndarray
    moved: np.ndarray


def path(tape: Tape) -> Path:
    """The mid at every row, from the exact ticks."""
    return path_of(tape.events())


def path_of(event: Event) -> Path:
    """The same of events stacked on the first axis."""
    book = event.book
    ticks, usd = np.asarray(book.ticks[:, :, 0]), np.asarray(book.usd[:, :, 0], np.float64)
    has_book = np.asarray(book.is_valid[:, :, 0]).all(axis=1) & (ticks[:, 0] < ticks[:, 1])
    known = np.maximum.accumulate(np.where(has_book, np.arange(len(has_book)), 0))
    anchor_bp = -np.cumsum(np.asarray(event.shift_bp, np.float64))
    price = np.asarray(book.price_bp[:, :, 0], np.float64) + anchor_bp[:, None]
    half = (price[:, 1] - price[:, 0]) / 2
    total = usd.sum(axis=1)
    tilt = np.where(total > 0, (usd[:, 0] - usd[:, 1]) / np.where(total > 0, total, 1.0), 0.0)
    return Path(
        np.cumsum(np.asarray(event.dt_s, np.float64)),
        price.mean(axis=1)[known],
        half[known],
        np.asarray(event.rules.tick_bp, np.float64),
        (half * tilt)[known],
        has_book,
    )


def moments(
    known: Path, start_s: float, end_s: float, every_s: float, truth: Path | None = None
) -> Moments:
    """The grid of moments in `[start, end]` that leave room for every horizon and have a book.

    Args:
        known: what the forecaster saw.
        start_s: first moment, in the tape's time.
        end_s: end of the tape that may be looked at.
        every_s: distance of the moments.
        truth: mids to be predicted, on the same time axis; by default those seen.
    """
    truth = truth or known
    first = np.ceil(max(start_s, known.time_s[known.has_book][0]) / every_s)
    last = np.floor((end_s - max(HORIZONS_S)) / every_s)
    time_s = np.arange(first, last + 1) * every_s
    row = known.row_at(time_s)
    time_s, row = time_s[known.has_book[row]], row[known.has_book[row]]
    later = truth.mid_bp[truth.row_at(time_s[:, None] + np.array(HORIZONS_S)[None, :])]
    change = later - known.mid_bp[row][:, None]
    # A mid lives on half ticks; less than half of one is rounding.
    return Moments(time_s, row, change, np.abs(change) > known.tick_bp[row][:, None] / 4)


def gain(
    at: Moments, horizon: int, forecast_bp: np.ndarray, base_bp: Any = 0.0, seed: int = 0
) -> dict[str, Any]:
    """`1 - sum (y - forecast)^2 / sum (y - base)^2` with a 90 % interval over blocks of 60 s."""
    y = at.change_bp[:, horizon]
    error, base = (y - forecast_bp) ** 2, (y - base_bp) ** 2
    if not len(y) or not base.sum():
        return {"value": None, "low": None, "high": None, "n": len(y)}
    drawn = resampled(at.time_s, np.stack([error, base], axis=1), seed)
    low, high = (None, None)
    if drawn is not None:
        low, high = map(float, np.quantile(1 - drawn[:, 0] / drawn[:, 1], INTERVAL))
    value = float(1 - error.sum() / base.sum())
    return {"value": value, "low": low, "high": high, "n": len(y)}


def resampled(time_s: np.ndarray, columns: np.ndarray, seed: int) -> np.ndarray | None:
    """Sums of the columns over blocks of time drawn with replacement, `[draws, columns]`.

    `None` where there are fewer than two blocks.
    """
    _, block = np.unique(np.floor_divide(time_s, BLOCK_S), return_inverse=True)
    blocks = int(block.max()) + 1
    if blocks < 2:
        return None
    sums = np.stack([np.bincount(block, column) for column in columns.T], axis=1)
    key = jax.random.key(seed)
    drawn = np.asarray(jax.random.randint(key, (RESAMPLES, blocks), 0, blocks))
    return sums[drawn].sum(axis=1)


def uniform_distance(share: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of a sample in `[0, 1]` from the uniform law."""
    ordered, n = np.sort(share), len(share)
    above = np.arange(1, n + 1) / n - ordered
    return float(max(above.max(), (1 / n - above).max()))


def level_bp(of: Tape, other: Tape) -> float:
    """What brings mids of another tape of the same market onto this one's first anchor."""
    mine, theirs = of.anchors[0][1], other.anchors[0][1]
    return float(1e4 * np.log(theirs / mine))
