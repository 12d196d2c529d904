"""Inventory with and without an unwind policy on the same markets, each market its own twin.

The half-life of a first-order autoregression is badly known where inventory hardly reverts: the
share kept in a second is then close to 1 and may be above it. So the rate `-log(kept)` is told
beside it, which is finite, and both are pooled over markets in one regression. Intervals resample
markets, pairs together. Source: ours.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from . import placed


RESAMPLES = 2000
LEVEL = 0.9


@dataclasses.dataclass(frozen=True)
class Path:
    """One run on one market.

    **Attributes:**

    - `inventory_usd`: on a grid of the scored window.
    - `scores`: of `placed.scores`.
    """

    inventory_usd: np.ndarray
    scores: dict[str, Any]


def compare(without: Sequence[Path], with_it: Sequence[Path], seed: int) -> dict[str, Any]:
    """Pooled half-life, mean inventory and PnL of both, and their differences.

    Args:
        without: runs without the policy.
        with_it: runs with it, on the same markets in the same order.
        seed: of the bootstrap.

    Raises:
        ValueError: for runs that do not pair.
    """
    if len(without) != len(with_it) or not without:
        raise ValueError(f"found {len(without)} and {len(with_it)} runs; expected pairs")
    n = len(without)
    drawn = np.asarray(jax.random.randint(jax.random.key(seed), (RESAMPLES, n), 0, n))
    sums = np.stack([_sums(without), _sums(with_it)])
    kept = lambda s: s[..., 1] / np.where(s[..., 0] > 0, s[..., 0], np.inf)
    rate = lambda s: -np.log(np.maximum(kept(s), np.finfo(float).tiny)) / placed.GRID_S
    size = lambda s: np.sqrt(s[..., 0] / s[..., 2])
    pnl = lambda s: s[..., 3]
    told: dict[str, Any] = {"markets": n}
    for name, of in (("reversion_per_s", rate), ("rms_inventory_usd", size), ("pnl_usd", pnl)):
        whole = of(sums.sum(1))
        again = of(sums[:, drawn].sum(2))
        told[name] = {
            "without": float(whole[0]),
            "with": float(whole[1]),
            "difference": float(whole[1] - whole[0]),
            **_interval(again[1] - again[0], n),
        }
    halves = [placed.half_life_s(*(x.inventory_usd for x in runs)) for runs in (without, with_it)]
    before, after = halves
    told["inventory_half_life_s"] = {
        "without": before,
        "with": after,
        "change": None if before is None or after is None else after / before - 1,
    }
    return told


def _sums(runs: Sequence[Path]) -> np.ndarray:
    """`[runs, (square, crossed, moments, pnl)]`."""
    each = [x.inventory_usd for x in runs]
    return np.array(
        [
            [(q[:-1] ** 2).sum(), (q[:-1] * q[1:]).sum(), max(len(q) - 1, 1), x.scores["pnl_usd"]]
            for q, x in zip(each, runs, strict=True)
        ]
    )


def _interval(draws: np.ndarray, n: int) -> dict[str, float | None]:
    """Of the difference; none from one market."""
    if n == 1:
        return {"low": None, "high": None}
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}
