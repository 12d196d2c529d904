"""What is made large: one number of many paths' utilities, and what each path adds to its slope.

The gradient of `f(U_1, ..., U_n)` is `sum_i w_i grad U_i` with `w_i = df / dU_i`, so the paths can
be played and differentiated in blocks, whatever f is.

    mean        1/n sum U
    log_growth  W/n sum log(1 + U / W)                     (Kelly 1956)
    cvar        mean of the k = ceil(a n) smallest U       (Rockafellar & Uryasev 2000)
"""

import math

import numpy as np

from .experiment import Objective


class RuinError(ValueError):
    """A path that lost all wealth: its log growth is no number."""


def value_and_weights(
    asked: Objective, utility_usd: np.ndarray, wealth_usd: float
) -> tuple[float, np.ndarray]:
    """The objective in USD and its slope in each path's utility; the weights are positive.

    Args:
        asked: which.
        utility_usd: `[paths]`, finite.
        wealth_usd: W.

    Raises:
        RuinError: where log growth is asked of a path that lost all of W.
    """
    n = utility_usd.size
    if asked.kind == "cvar":
        worst = np.argsort(utility_usd, kind="stable")[: math.ceil(asked.tail_share * n)]
        weights = np.zeros(n)
        weights[worst] = 1 / worst.size
        return float(utility_usd[worst].mean()), weights
    if asked.kind == "log_growth":
        share = utility_usd / wealth_usd
        if share.min() <= -1:
            raise RuinError(
                f"a path lost {-utility_usd.min():.0f} USD of {wealth_usd:.0f}, so its log growth "
                "is no number; give it more wealth, less room, or ask for another objective"
            )
        return float(wealth_usd * np.log1p(share).mean()), 1 / (1 + share) / n
    return float(utility_usd.mean()), np.full(n, 1 / n)
