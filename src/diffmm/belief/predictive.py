"""Where the mid will be some seconds ahead: the belief about V, and how the mid gets there.

The mid relaxes to fair value while that diffuses; it lives on a grid and often stays where it is:

    a(h)   = 1 - exp(-h / tau),   d_j = (1 - w) (fair - mid) + w (V_j - mid)
    M_j    = d_j a(h) + mu_j (1 - exp(-theta h)) / theta
    S2_j   = s [a(h)^2 (P_j + k^2 d_j^2) + sigma_j^2 (h - l tau a(h))]
    move   = sigmoid(e log(lambda h) + b + c |d| / sigma)

The filter's V lags the book by about half a second, because it must remember what our fills said;
`fair` is what the newest book says, and w is the share of V in the forecast.

With probability `1 - move` the mid is unchanged; else it is `N(M_j / move, S2_j / move)` in mode j:
the mean of the whole is M, its variance S2 plus what the chance of staying adds. `k` is there
because how far the mid follows through differs between regimes; `s` is measured (`consistency`).
Source: ours; the relaxation and the odds of a move from regressions on recorded tapes.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE, REAL, SHARE

from . import dynamics
from .dynamics import MU, V


class Params(eqx.Module):
    """How the mid follows V.

    **Attributes:**

    - `relaxation_s`: tau, in which the mid goes to V.
    - `filter_share`: w.
    - `follow_through_sd`: k, standard deviation of the share of d that comes true.
    - `lag_share`: l, share of the variance that reaches the mid only through V.
    - `move_exponent`, `move_bias`, `move_pull`: e, b, c of the odds that the mid moves at all.
    """

    relaxation_s: Float[Array, ""] = param(POSITIVE, 1.6, unit="s")
    filter_share: Float[Array, ""] = param(SHARE, 0.1)
    follow_through_sd: Float[Array, ""] = param(POSITIVE, 0.57)
    lag_share: Float[Array, ""] = param(SHARE, 0.88)
    move_exponent: Float[Array, ""] = param(POSITIVE, 1.15)
    move_bias: Float[Array, ""] = param(REAL, -0.6)
    move_pull: Float[Array, ""] = param(POSITIVE, 1.0, unit="1/s^0.5")


class Predictive(eqx.Module):
    """Distribution of the mid at a horizon, less the mid now.

    **Attributes:**

    - `move`: probability that the mid is another one.
    - `weight`: probabilities of the modes.
    - `mean_bp`, `var_bp2`: of each mode given a move.
    """

    move: Float[Array, ""]
    weight: Float[Array, "modes"]
    mean_bp: Float[Array, "modes"]
    var_bp2: Float[Array, "modes"]

    @property
    def mean(self) -> Float[Array, ""]:
        """Expected change of the mid, in bp."""
        return self.move * jnp.sum(self.weight * self.mean_bp)

    @property
    def var(self) -> Float[Array, ""]:
        """Its variance, in bp^2."""
        square = self.move * jnp.sum(self.weight * (self.var_bp2 + self.mean_bp**2))
        return square - self.mean**2

    def cdf(self, change_bp: Float[Array, ""]) -> Float[Array, ""]:
        """Probability of a smaller change, half of "unchanged" at zero."""
        inside = ndtr((change_bp - self.mean_bp) / jnp.sqrt(self.var_bp2))
        stay = (jnp.sign(change_bp) + 1) / 2
        return self.move * jnp.sum(self.weight * inside) + (1 - self.move) * stay

    def log_density(self, change_bp: Float[Array, ""], moved: Bool[Array, ""]) -> Float[Array, ""]:
        """Log probability of staying, or log density (1/bp) of a change that is a move."""
        z2 = (change_bp - self.mean_bp) ** 2 / self.var_bp2
        each = jnp.log(self.weight) - (z2 + jnp.log(2 * jnp.pi * self.var_bp2)) / 2
        moving = jnp.log(self.move) + jax.nn.logsumexp(each)
        return jnp.where(moved, moving, jnp.log1p(-self.move))


def mid_ahead(
    params: Params,
    mode_mean: Float[Array, "modes 4"],
    mode_var: Float[Array, "modes"],
    log_mode: Float[Array, "modes"],
    mode_sigma_bp: Float[Array, "modes"],
    drift_rate: Float[Array, ""],
    mid_bp: Float[Array, ""],
    fair_bp: Float[Array, ""],
    move_rate: Float[Array, ""],
    horizon_s: Float[Array, ""],
    scale: Float[Array, ""],
) -> Predictive:
    """The mid `horizon_s` after the newest information, given the belief then.

    Args:
        params: how the mid follows V.
        mode_mean: means of each mode, as in `Belief`.
        mode_var: variances of V when the newest information left the venue.
        log_mode: log probabilities of the modes.
        mode_sigma_bp: volatilities, bp per sqrt(s).
        drift_rate: reversion of mu.
        mid_bp: the mid now.
        fair_bp: fair value by the newest book.
        move_rate: lambda, changes of the sampled mid per second.
        horizon_s: from the newest information on; its measured age counts as horizon.
        scale: s, by which variances at this horizon have been off of late.
    """
    reach = -jnp.expm1(-horizon_s / params.relaxation_s)
    share = params.filter_share
    away = (1 - share) * (fair_bp - mid_bp) + share * (mode_mean[:, V] - mid_bp)
    drift = mode_mean[:, MU] * dynamics.drift_horizon_s(drift_rate, horizon_s)
    mean = reach * away + drift
    late_s = horizon_s - params.lag_share * params.relaxation_s * reach
    through = mode_var + (params.follow_through_sd * away) ** 2
    var = scale * (reach**2 * through + mode_sigma_bp**2 * late_s)
    weight = jnp.exp(log_mode)
    scale = jnp.sqrt(jnp.sum(weight * mode_sigma_bp**2)) + jnp.finfo(mid_bp.dtype).eps
    pull = jnp.abs(jnp.sum(weight * away)) / scale
    odds = params.move_exponent * jnp.log(move_rate * horizon_s) + params.move_bias
    move = jax.nn.sigmoid(odds + params.move_pull * pull)
    return Predictive(move, weight, mean / move, var / move)
