"""What the signs of a drift say, by regression on drifts that were planted.

In units of the volatility the drift of a generative world is regressed through zero on the depth
ratio of the book and on the excess of takers, rows weighted by how long they last. What is left
unexplained stays for a while, so its information a second is that of its mean over blocks:
`1 / (block_s var)`, in units of what moves of the mid say. Source: ours;
`tests/training/test_trend_fit.py`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffmm import features
from diffmm.engine import graph, run
from diffmm.evaluation import forecast
from diffmm.market import Tape


SIGNS = ("lean", "flow")
"""Coefficients in `features.trend.Params`."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How a fit is made; nothing here reaches a quote.

    **Attributes:**

    - `warm_s`: start of a tape that is left out.
    - `block_s`: over which the unexplained is averaged.
    """

    warm_s: float = 120.0
    block_s: float = 60.0


def columns(params: features.Params, tape: Tape, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each sign alone at every row, `[rows, signs]`, and sigma in bp per sqrt(s).

    The observation of mu is linear in the coefficients, and sigma times a sign where that stands
    alone.
    """
    assert params.trend is not None
    stage, found = features.build(features.Config()), []
    row = [target for _, target in features.OBSERVATIONS].index(features.Target.MU)
    for sign in SIGNS:
        alone: dict[str, Any] = {name: jnp.float32(name == sign) for name in SIGNS}
        only = dataclasses.replace(
            params.trend, moves=jnp.float32(0), signs=jnp.float32(1), **alone
        )
        given = dataclasses.replace(params, trend=only, trend_precision=jnp.float32(0))
        seen = run.watch(stage, given, rows, unpack=tape.layout.unpack)
        sigma = np.asarray(seen.sigma_bp, np.float64)
        found.append(np.asarray(seen.z, np.float64)[:, row] / sigma)
    return np.stack(found, axis=1), sigma


def fit(
    params: graph.Params,
    tapes: Sequence[Tape],
    drifts_bp_s: Sequence[np.ndarray],
    to: float,
    config: Config,
) -> tuple[graph.Params, dict[str, Any]]:
    """Coefficients and information of the signs, tapes pooled, and what was found on the way.

    Args:
        params: with a trend.
        tapes: of worlds.
        drifts_bp_s: the true drift at every row of each.
        to: share of each tape that is fitted on.
        config: of the fit.

    Raises:
        ValueError: without a trend, where nothing drifts, or for a part shorter than some blocks.
    """
    if params.features.trend is None:
        raise ValueError("found no trend to fit, expected one: see `features.with_trend`")
    if not any(drift_bp_s.any() for drift_bp_s in drifts_bp_s):
        raise ValueError("found no drift in these worlds, expected some: give --for or --seeds")
    signs, drift, weight, block = [], [], [], []
    for tape, drift_bp_s in zip(tapes, drifts_bp_s, strict=True):
        if not drift_bp_s.any():
            continue
        known = forecast.path(tape)
        rows = int(np.searchsorted(known.time_s, to * known.time_s[-1], side="right"))
        x, sigma = columns(params.features, tape, tape.rows[:rows])
        time_s = known.time_s[:rows]
        signs.append(x)
        drift.append(drift_bp_s[:rows] / sigma)
        weight.append(np.diff(time_s, append=time_s[-1:]) * (time_s >= config.warm_s))
        first = block[-1].max() + 1 if block else 0
        block.append(first + (time_s // config.block_s).astype(int))
    x, y, w, where = (np.concatenate(part) for part in (signs, drift, weight, block))
    lasts = np.bincount(where, w)
    whole = lasts > config.block_s / 2
    if whole.sum() < 2:
        raise ValueError(f"found less than two blocks of {config.block_s:g} s: give a longer --for")
    gains = np.linalg.solve((x * w[:, None]).T @ x, (x * w[:, None]).T @ y)
    left = y - x @ gains
    mean = np.bincount(where, w * left)[whole] / lasts[whole]
    says = 1 / (config.block_s * float(np.mean(mean**2)))
    values = dict(zip(SIGNS, map(float, gains), strict=True)) | {"signs": says}
    trend = dataclasses.replace(
        params.features.trend, **{name: jnp.float32(x) for name, x in values.items()}
    )
    new = dataclasses.replace(params, features=dataclasses.replace(params.features, trend=trend))
    explained = 1 - float(w @ left**2) / float(w @ y**2)
    return new, {**values, "explained": explained}
