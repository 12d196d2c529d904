"""What is made large: one number of many paths' utilities, and what each path adds to its slope.

The gradient of `f(U_1, ..., U_n)` is `sum_i w_i grad U_i` with `w_i = df / dU_i`, so the paths can
be played and differentiated in blocks, whatever f is.

    mean        1/n sum U
    log_growth  W/n sum log(1 + U / W)                     (Kelly 1956)
    cvar        mean of the k = ceil(a n) smallest U       (Rockafellar & Uryasev 2000)

To it comes, where it is asked for, a weight times the mean predictive log likelihood of the paths.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .experiment import Objective
from .problem import Problem


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


@dataclasses.dataclass(frozen=True)
class HardRuns:
    """What hard runs of some paths say of a place.

    **Attributes:**

    - `utility_usd`: `[paths]`.
    - `log_likelihood`: of the filter on them, nats a moment; `None` where it is not asked for.
    """

    utility_usd: np.ndarray
    log_likelihood: np.ndarray | None

    @classmethod
    def of(
        cls, problem: Problem, asked: Objective, z: np.ndarray, blocks: Sequence[int]
    ) -> "HardRuns":
        """Play some blocks."""
        is_asked = asked.likelihood_weight > 0
        likely = problem.log_likelihoods(z, blocks) if is_asked else None
        return cls(problem.utilities(z, blocks), likely)

    def picked(self, paths: np.ndarray) -> "HardRuns":
        """Those of some paths."""
        likely = None if self.log_likelihood is None else self.log_likelihood[paths]
        return HardRuns(self.utility_usd[paths], likely)

    def not_finite(self) -> int:
        """Paths without a finite number."""
        ok = np.isfinite(self.utility_usd)
        if self.log_likelihood is not None:
            ok &= np.isfinite(self.log_likelihood)
        return int((~ok).sum())

    def value_usd(self, asked: Objective, wealth_usd: float) -> float:
        """The objective, the likelihood's term in it.

        Raises:
            RuinError: as `value_and_weights`.
        """
        value, _ = value_and_weights(asked, self.utility_usd, wealth_usd)
        if self.log_likelihood is None:
            return value
        return value + asked.likelihood_weight * float(self.log_likelihood.mean())
