"""A trade's half spread, its price impact, and how much of that stays.

    effective = realised + impact,   impact(tau) = P + T exp(-kappa tau)

Source: Huang & Stoll (1996); Golub & Pereyra (1973) for the variable projection.
"""

from typing import NamedTuple

import numpy as np


GRID = 64
GOLDEN = (5**0.5 - 1) / 2
REFINEMENTS = 60


class HalfSpreads(NamedTuple):
    """`effective = realised + impact`, in the unit of the prices; realised is the maker's share."""

    effective: np.ndarray
    realised: np.ndarray
    impact: np.ndarray


class Impact(NamedTuple):
    """What stays, what decays (negative: still to come), and the rate at which it does, 1/s."""

    permanent: float
    transient: float
    decay: float


def half_spreads(
    taker_sign: np.ndarray, price: np.ndarray, mid: np.ndarray, later_mid: np.ndarray
) -> HalfSpreads:
    """Decompose trades; `taker_sign` +1 for a buying taker, `mid` just before the trade."""
    return HalfSpreads(
        taker_sign * (price - mid), taker_sign * (price - later_mid), taker_sign * (later_mid - mid)
    )


def fit_impact(tau_s: np.ndarray, impact: np.ndarray, weight: np.ndarray | None = None) -> Impact:
    """Least squares of `P + T exp(-kappa tau)`: linear in P and T once kappa is given.

    Args:
        tau_s: ages; at least three different ones, two of them positive.
        impact: mean impact at each age.
        weight: precision of each mean; equal where not given.

    Raises:
        ValueError: when the ages cannot tell the three numbers apart.
    """
    tau_s = np.asarray(tau_s, np.float64)
    positive = np.unique(tau_s[tau_s > 0])
    if len(np.unique(tau_s)) < 3 or len(positive) < 2:
        raise ValueError(f"ages {tau_s.tolist()}: expected three different ones, two positive")
    root = np.sqrt(np.ones_like(tau_s) if weight is None else np.asarray(weight, np.float64))

    def project(log_decay: float) -> tuple[float, np.ndarray]:
        design = np.stack([np.ones_like(tau_s), np.exp(-np.exp(log_decay) * tau_s)], axis=1)
        design = design * root[:, None]
        coefficients = np.linalg.lstsq(design, impact * root, rcond=None)[0]
        return float(np.sum((design @ coefficients - impact * root) ** 2)), coefficients

    # Outside these rates an exponential is a constant or a spike at these ages.
    grid = np.linspace(-np.log(positive[-1]), -np.log(positive[0]), GRID)
    best = int(np.argmin([project(x)[0] for x in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    for _ in range(REFINEMENTS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, right) if project(left)[0] < project(right)[0] else (left, high)
    decay = (low + high) / 2
    permanent, transient = project(decay)[1]
    return Impact(float(permanent), float(transient), float(np.exp(decay)))
