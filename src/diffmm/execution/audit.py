"""Gamma exposure recomputed on the host in float64; shares no code with the allocator."""

import math
from collections.abc import Iterable


BP = 1e4


def gamma_exposure_usd(
    quotes: Iterable[tuple[float, float]],
    fair_bp: float,
    sigmas_bp: Iterable[float],
    weights: Iterable[float],
    life_s: float,
) -> float:
    """`sum n 1/2 Gamma sigma^2 tau` over quotes `(price_bp, usd)`, mixed over the modes.

    Args:
        quotes: every order that can still be filled.
        fair_bp: mean of V.
        sigmas_bp: volatility of each mode, bp per sqrt(s).
        weights: probability of each mode.
        life_s: quote life, the age of the information included.
    """
    modes = [(s * math.sqrt(life_s), w) for s, w in zip(sigmas_bp, weights, strict=True)]
    total = 0.0
    for price, usd in quotes:
        for sd, weight in modes:
            if sd > 0:
                z = (price - fair_bp) / sd
                total += weight * usd * sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / 2
    return total / BP
