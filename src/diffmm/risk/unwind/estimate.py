"""Transitions and fill rates from counts, beside a prior.

A jump rate from i to j has a Gamma prior of `seen` jumps in `exposure_s` seconds, so

    rate_ij = (prior_ij + n_ij) / (prior_s + T_i)

and where a chain goes when it jumps, `rate_ij / sum_j rate_ij`, is the mean of the Dirichlet
posterior with prior counts `prior_ij`. A fill rate is the same in notional. Modes are never seen:
a jump counts by its probability given both filtered distributions. Source: Gelman et al. (2013),
2.6 and 3.4; the two-slice probability is the filter's own.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a stretch of time held.

    **Attributes:**

    - `jumps`: expected number of jumps, `[from, to]`, the diagonal ignored.
    - `occupied_s`: expected seconds in each state.
    """

    jumps: np.ndarray
    occupied_s: np.ndarray

    def __add__(self, other: "Counts") -> "Counts":
        """Both stretches."""
        return Counts(self.jumps + other.jumps, self.occupied_s + other.occupied_s)


@dataclasses.dataclass(frozen=True)
class Fills:
    """What the reducing side got rid of, `[actions, modes]`.

    **Attributes:**

    - `usd`: notional filled.
    - `quoted_s`: expected seconds that it was quoted.
    """

    usd: np.ndarray
    quoted_s: np.ndarray

    def __add__(self, other: "Fills") -> "Fills":
        """Both stretches."""
        return Fills(self.usd + other.usd, self.quoted_s + other.quoted_s)


def jumps(probability: np.ndarray, dt_s: np.ndarray, rate: np.ndarray) -> Counts:
    """Expected jumps between the moments of a filtered distribution.

    Between two moments the joint distribution is `p_i P_ij(dt)`, its columns scaled to the second
    moment's distribution, with the transition of one step, `P = 1 + rate dt` where that is small.

    Args:
        probability: `[moments, states]`.
        dt_s: between them, `[moments - 1]`.
        rate: of the filter's own jumps, `[states, states]`.
    """
    before, after = probability[:-1], probability[1:]
    out = rate * (1 - np.eye(len(rate)))
    stay = np.exp(-out.sum(1) * dt_s[:, None])
    share = out / np.maximum(out.sum(1, keepdims=True), np.finfo(float).tiny)
    step = (1 - stay)[:, :, None] * share + stay[:, :, None] * np.eye(len(rate))
    joint = before[:, :, None] * step
    predicted = joint.sum(1)
    ratio = after / np.maximum(predicted, np.finfo(float).tiny)
    joint = joint * ratio[:, None, :]
    occupied = (dt_s[:, None] * (before + after) / 2).sum(0)
    return Counts(joint.sum(0) * (1 - np.eye(len(rate))), occupied)


def rates(found: Counts, prior_rate: np.ndarray, prior_s: float) -> np.ndarray:
    """Posterior mean of the jump rates.

    Args:
        found: counts.
        prior_rate: what is expected before any, 1/s.
        prior_s: seconds that the prior weighs.
    """
    return (prior_rate * prior_s + found.jumps) / (prior_s + found.occupied_s[:, None])


def fill_usd_s(found: Fills, prior_usd_s: np.ndarray, prior_s: float) -> np.ndarray:
    """Posterior mean of the fill rates, USD/s."""
    return (prior_usd_s * prior_s + found.usd) / (prior_s + found.quoted_s)
