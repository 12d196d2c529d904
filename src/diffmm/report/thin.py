"""Fewer points, the same picture: what is drawn is bounded by pixels, not by the run."""

import numpy as np


def column_of(x: np.ndarray, low: float, high: float, count: int) -> np.ndarray:
    """Column of each x when `[low, high]` is cut into `count` equal ones."""
    share = (x - low) / (high - low)
    return np.clip((share * count).astype(np.int64), 0, count - 1)


def extremes(x: np.ndarray, y: np.ndarray, low: float, high: float, count: int) -> np.ndarray:
    """Row numbers of the smallest and the largest finite y of each column, in order of x.

    The first and last finite rows stay, so that a line keeps its ends.
    """
    rows = np.flatnonzero(np.isfinite(y) & np.isfinite(x))
    if rows.size <= 2 * count:
        return rows
    column = column_of(x[rows], low, high, count)
    order = np.lexsort((y[rows], column))
    sorted_column = column[order]
    is_first = np.concatenate([[True], sorted_column[1:] != sorted_column[:-1]])
    is_last = np.concatenate([is_first[1:], [True]])
    chosen = np.concatenate([order[is_first], order[is_last], [0, rows.size - 1]])
    return rows[np.unique(chosen)]


def reduce_columns(
    column: np.ndarray, values: np.ndarray, count: int, how: str, hold: bool = True
) -> np.ndarray:
    """Mean, smallest or largest finite value of each column.

    Args:
        column: column of each row, ascending.
        values: `[rows]`.
        count: columns.
        how: `mean`, `min` or `max`.
        hold: an empty column repeats the one before it; else it is NaN.
    """
    keep = np.isfinite(values)
    column, values = column[keep], np.asarray(values, float)[keep]
    out = np.full(count, np.nan)
    if how == "mean":
        n = np.bincount(column, minlength=count)
        total = np.bincount(column, weights=values, minlength=count)
        np.divide(total, n, out=out, where=n > 0)
    else:
        extreme = np.fmin if how == "min" else np.fmax
        extreme.at(out, column, values)
    return fill_forward(out) if hold else out


def fill_forward(values: np.ndarray) -> np.ndarray:
    """NaN takes the last value before it; a leading NaN stays."""
    at = np.where(np.isnan(values), -1, np.arange(len(values)))
    last = np.maximum.accumulate(at) if len(at) else at
    return np.where(last < 0, np.nan, values[np.maximum(last, 0)]) if len(at) else values
