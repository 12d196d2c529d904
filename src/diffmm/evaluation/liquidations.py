"""Recorded liquidations: how far the price comes back after a large one, and how large they are.

Reversion after an impact A, both in bp and as the file signs them (against the liquidation is
positive):

    R(h) = (always + share max(A, 0)) (1 - exp(-h / time))

by least squares with weights `1 / (scale^2 + A^2)`, since what is far pushed comes back more
variously; scored on coins that were left out, against none, with intervals over coins.

Sizes: a lognormal law fitted on the earlier part, scored on the later part in nats a liquidation
against an exponential one of the same mean, with intervals over blocks of 60 s; beside it the
exponent of the tail (Hill 1975). Source: ours; tests recover planted laws.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from .markouts import BLOCK_S, INTERVAL, RESAMPLES


@dataclasses.dataclass(frozen=True)
class Config:
    """Numbers of the fits.

    **Attributes:**

    - `scale_bp`: impact beyond which the noise grows with it.
    - `times_s`: candidate times of the reversion.
    - `folds`: of coins.
    - `least_usd`: smaller sizes are dust and not spoken of.
    - `tail`: share of sizes that is the tail.
    """

    scale_bp: float = 20.0
    times_s: tuple[float, ...] = tuple(float(x) for x in np.geomspace(2.0, 2000.0, 120))
    folds: int = 5
    least_usd: float = 10.0
    tail: float = 0.05


@dataclasses.dataclass(frozen=True)
class Reversion:
    """The law `(always + share max(A, 0)) (1 - exp(-h / time))`."""

    always_bp: float
    share: float
    time_s: float

    def expected_bp(self, impact_bp: np.ndarray, horizons_s: np.ndarray) -> np.ndarray:
        """`[liquidations, horizons]`."""
        back = self.always_bp + self.share * np.maximum(impact_bp, 0.0)
        return back[:, None] * -np.expm1(-horizons_s / self.time_s)


def fit(
    impact_bp: np.ndarray, back_bp: np.ndarray, horizons_s: np.ndarray, config: Config
) -> Reversion:
    """Weighted least squares; the time over its candidates, the rest in closed form.

    Args:
        impact_bp: of each liquidation.
        back_bp: `[liquidations, horizons]`, NaN where it is not known.
        horizons_s: of the columns.
        config: of the fit.
    """
    known = np.isfinite(back_bp)
    weight = known * _weight(impact_bp, config)[:, None]
    y = np.where(known, back_bp, 0.0)
    base = np.stack([np.ones_like(impact_bp), np.maximum(impact_bp, 0.0)], axis=1)
    best, found = np.inf, Reversion(0.0, 0.0, config.times_s[0])
    for time_s in config.times_s:
        shape = -np.expm1(-horizons_s / time_s)
        normal = np.einsum("nh,h,ni,nj->ij", weight, shape**2, base, base)
        right = np.einsum("nh,h,ni,nh->i", weight, shape, base, y)
        always, share = np.linalg.lstsq(normal, right, rcond=None)[0]
        law = Reversion(float(always), float(share), time_s)
        error = np.sum(weight * (y - law.expected_bp(impact_bp, horizons_s)) ** 2)
        if error < best:
            best, found = error, law
    return found


def _weight(impact_bp: np.ndarray, config: Config) -> np.ndarray:
    return 1 / (config.scale_bp**2 + impact_bp**2)


def reversion(
    coin: np.ndarray,
    impact_bp: np.ndarray,
    back_bp: np.ndarray,
    horizons_s: np.ndarray,
    config: Config,
    seed: int = 0,
) -> dict[str, Any]:
    """The law of all, and what it is worth on coins that it was not fitted on.

    Keys: `n`, `coins`, `always_bp`, `share`, `time_s`, and `gain_vs_none` by horizon: 1 less the
    weighted squared error over that of no reversion, with a 90 % interval over coins.

    Args:
        coin: of each liquidation.
        impact_bp: of each.
        back_bp: `[liquidations, horizons]`, NaN where it is not known.
        horizons_s: of the columns.
        config: of the fit.
        seed: of the bootstrap.
    """
    names, of = np.unique(coin, return_inverse=True)
    expected = np.zeros_like(back_bp)
    for k in range(min(config.folds, len(names))):
        out = of % config.folds == k
        law = fit(impact_bp[~out], back_bp[~out], horizons_s, config)
        expected[out] = law.expected_bp(impact_bp[out], horizons_s)
    weight = _weight(impact_bp, config)
    gains = {}
    for j, horizon in enumerate(horizons_s):
        known = np.isfinite(back_bp[:, j])
        y, f = back_bp[known, j], expected[known, j]
        columns = np.stack([weight[known] * (y - f) ** 2, weight[known] * y**2], axis=1)
        gains[f"{horizon:g}"] = _share(columns, of[known], seed)
    law = fit(impact_bp, back_bp, horizons_s, config)
    told = {"n": len(coin), "coins": len(names), "gain_vs_none": gains}
    return told | dataclasses.asdict(law)


def sizes(
    time_s: np.ndarray, usd: np.ndarray, config: Config, start: float = 0.6, seed: int = 0
) -> dict[str, Any]:
    """The law of sizes and its score on the later part.

    Keys: `n_fitted`, `n`, `median_usd`, `log_sd`, `tail_exponent` of the largest, and
    `nats_vs_exponential` a liquidation with a 90 % interval over blocks of 60 s.

    Args:
        time_s: of each liquidation.
        usd: size of each.
        config: of the fit.
        start: fitted up to, and scored from, this share of them in order of time.
        seed: of the bootstrap.

    Raises:
        ValueError: where either part would hold fewer than two that are no dust.
    """
    order = np.argsort(time_s, kind="stable")
    order = order[usd[order] >= config.least_usd]
    time_s, usd = time_s[order], usd[order]
    split = round(start * len(usd))
    early, late = usd[:split], usd[split:]
    if min(len(early), len(late)) < 2:
        raise ValueError(f"sizes: {len(usd)} of {config.least_usd:g} USD or more, expected 4")
    logs = np.log(early)
    mean, sd = logs.mean(), logs.std()
    log = np.log(late)
    ours = -0.5 * ((log - mean) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi)) - log
    # Both are laws of what is at least `least_usd`; the lognormal's mass below it is negligible.
    rate = 1 / (early.mean() - config.least_usd)
    theirs = np.log(rate) - rate * (late - config.least_usd)
    gained = ours - theirs
    block = np.unique(time_s[split:] // BLOCK_S, return_inverse=True)[1]
    drawn = _resampled(np.stack([gained, np.ones_like(gained)], axis=1), block, seed)
    low, high = (None, None)
    if drawn is not None:
        low, high = map(float, np.quantile(drawn[:, 0] / drawn[:, 1], INTERVAL))
    largest = np.sort(early)[-max(round(config.tail * len(early)), 2) :]
    return {
        "n_fitted": len(early),
        "n": len(late),
        "median_usd": float(np.exp(mean)),
        "log_sd": float(sd),
        "tail_exponent": float(1 / np.mean(np.log(largest[1:] / largest[0]))),
        "nats_vs_exponential": {
            "value": float(gained.mean()),
            "low": low,
            "high": high,
            "n": len(late),
        },
    }


def _share(columns: np.ndarray, group: np.ndarray, seed: int) -> dict[str, Any]:
    """`1 - sum / sum` of two columns with a 90 % interval over groups."""
    error, base = columns.sum(axis=0)
    drawn, (low, high) = _resampled(columns, group, seed), (None, None)
    if drawn is not None:
        low, high = map(float, np.quantile(1 - drawn[:, 0] / drawn[:, 1], INTERVAL))
    value = float(1 - error / base) if base else None
    return {"value": value, "low": low, "high": high, "n": len(columns)}


def _resampled(columns: np.ndarray, group: np.ndarray, seed: int) -> np.ndarray | None:
    """Sums of the columns over groups drawn with replacement; `None` for fewer than two groups."""
    group = np.unique(group, return_inverse=True)[1]
    groups = int(group.max()) + 1
    if groups < 2:
        return None
    sums = np.stack([np.bincount(group, column) for column in columns.T], axis=1)
    drawn = np.asarray(jax.random.randint(jax.random.key(seed), (RESAMPLES, groups), 0, groups))
    return sums[drawn].sum(axis=1)
