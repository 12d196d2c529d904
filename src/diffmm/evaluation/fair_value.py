"""Scores of the belief as a forecast of the mid: against the mid, the size-weighted mid, a ridge.

    gain = 1 - sum (mid_{t+h} - forecast)^2 / sum (mid_{t+h} - mid_t)^2

and calibration of the whole predictive distribution, at every whole second: mean of the normalised
squared error, distance of the probability integral transform from the uniform law (randomised
within a half tick, where the mid lives), and log score.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmm import belief, features

from . import forecast
from .forecast import HORIZONS_S, Moments, Path, resampled
from .markouts import INTERVAL


RIDGE_PENALTY = 1e-2
"""Share of each input's own power; the baseline is not tuned on what it is scored on."""


@dataclasses.dataclass(frozen=True)
class Ahead:
    """Predictive distributions at moments, `[moments, horizons]`, and their modes' parts."""

    each: belief.predictive.Predictive
    mean_bp: np.ndarray
    var_bp2: np.ndarray


def ahead(params: belief.Params, told: Any, seen: Any, row: np.ndarray) -> Ahead:
    """The belief at some rows of a stacked trace, as distributions of the mid's change."""
    now = jax.tree.map(lambda x: x[row], (told, seen))
    horizons = jnp.array(HORIZONS_S, jnp.float32)

    def one(told: belief.Belief, seen: features.Features) -> Any:
        each = jax.vmap(lambda h: belief.mid_ahead(params, told, seen, h))(horizons)
        return each, jax.vmap(lambda x: (x.mean, x.var))(each)

    each, (mean, var) = jax.vmap(one)(*now)
    return Ahead(each, np.asarray(mean, np.float64), np.asarray(var, np.float64))


def by_horizon(of: Any) -> dict[str, Any]:
    """A function of the horizon's index, by its seconds."""
    return {str(h): of(k) for k, h in enumerate(HORIZONS_S)}


def calibration(found: Ahead, at: Moments, tick_bp: np.ndarray, seed: int) -> dict[str, Any]:
    """`nis_mean`, `pit_ks`, `log_score` (nats, bp) by horizon, and the transforms themselves."""
    error2 = (at.change_bp - found.mean_bp) ** 2 / found.var_bp2
    pit = transform(found, at, tick_bp, seed)
    change = jnp.asarray(at.change_bp, jnp.float32)
    score = jax.vmap(jax.vmap(lambda d, x, m: d.log_density(x, m)))
    log_score = np.asarray(score(found.each, change, jnp.asarray(at.moved)), np.float64)
    return {
        "n": len(at.row),
        "nis_mean": by_horizon(lambda k: float(error2[:, k].mean())),
        "pit_ks": by_horizon(lambda k: forecast.uniform_distance(pit[:, k])),
        "log_score": by_horizon(lambda k: float(log_score[:, k].mean())),
        "pit": pit,
    }


def transform(found: Ahead, at: Moments, tick_bp: np.ndarray, seed: int) -> np.ndarray:
    """Where each outcome lies in its distribution, uniform if that is right, `[moments, horizons]`.

    The mid lives on half ticks: the outcome stands for the half tick around it, and its place in
    it is drawn.
    """
    cell = jnp.asarray(tick_bp / 4, jnp.float32)[:, None]
    cdf = jax.vmap(jax.vmap(lambda d, x: d.cdf(x)))
    change = jnp.asarray(at.change_bp, jnp.float32)
    low, high = cdf(found.each, change - cell), cdf(found.each, change + cell)
    drawn = jax.random.uniform(jax.random.key(seed), low.shape)
    return np.asarray(low + drawn * (high - low), np.float64)


def ridge_inputs(seen: Any, path: Path) -> np.ndarray:
    """What a plain linear model of one coin is given at every row, `[rows, inputs]`, in bp."""
    half, sigma = path.half_spread_bp, np.asarray(seen.sigma_bp, np.float64)
    past = [path.mid_bp - path.mid_bp[path.row_at(path.time_s - lag)] for lag in (0.5, 2.0, 10.0)]
    tilt = path.weighted_bp / half
    return np.stack([path.weighted_bp, tilt * sigma, tilt**3 * half, *past], axis=1)


def ridge(inputs: np.ndarray, train: Moments, test: Moments) -> np.ndarray | None:
    """Forecasts `[moments, horizons]` of a ridge fitted on the earlier moments; `None` of few."""
    if len(train.row) < 10 * inputs.shape[1]:
        return None
    x, y = inputs[train.row], train.change_bp
    square = x.T @ x
    beta = np.linalg.solve(square + RIDGE_PENALTY * np.diag(np.diag(square)), x.T @ y)
    return inputs[test.row] @ beta


def feature_table(
    names: Sequence[str], columns: np.ndarray, sigma_bp: np.ndarray, train: Moments, test: Moments
) -> list[dict[str, Any]]:
    """Held-out log score of each term alone, and lost when it alone is left out, in millinats.

    Every subset is fitted on the earlier moments and scored on the later, as a Gaussian forecast of
    the first horizon whose error is in proportion to the volatility; intervals are of the mean over
    blocks of 60 s.

    Args:
        names: of the terms.
        columns: `[rows, terms]` in bp.
        sigma_bp: volatility at each row.
        train: moments to fit on.
        test: moments to score.
    """
    every = np.arange(len(names))
    score = lambda which: _log_scores(columns[:, which], sigma_bp, train, test)
    nothing, whole = score(every[:0]), score(every)
    rows = []
    for k, name in enumerate(names):
        single, without = score(every[k : k + 1]), score(np.delete(every, k))
        rows.append(
            {
                "feature": name,
                "single": _millinats(test, single - nothing),
                "incremental": _millinats(test, whole - without),
            }
        )
    return rows


def _log_scores(
    columns: np.ndarray, sigma_bp: np.ndarray, train: Moments, test: Moments
) -> np.ndarray:
    scaled = lambda at: (
        columns[at.row] / sigma_bp[at.row, None],
        at.change_bp[:, 0] / sigma_bp[at.row],
    )
    (x, y), (x_new, y_new) = scaled(train), scaled(test)
    square = x.T @ x
    beta = np.linalg.solve(square + RIDGE_PENALTY * np.diag(np.diag(square)), x.T @ y)
    variance = np.mean((y - x @ beta) ** 2)
    return -((y_new - x_new @ beta) ** 2) / variance / 2 - np.log(variance) / 2


def _millinats(at: Moments, gained: np.ndarray) -> dict[str, Any]:
    """Mean and 90 % interval of a gain in log score."""
    drawn = resampled(at.time_s, np.stack([gained, np.ones_like(gained)], axis=1), seed=0)
    low, high = (None, None)
    if drawn is not None:
        low, high = map(float, np.quantile(1e3 * drawn[:, 0] / drawn[:, 1], INTERVAL))
    return {"value": float(1e3 * gained.mean()), "low": low, "high": high, "n": len(gained)}
