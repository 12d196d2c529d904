"""How the state moves between events, and how much it may.

State `x = [V, mu, log sigma, informed_logit]`:

    dV = mu dt + sigma dW,   dmu = -theta mu dt + ...,   d logit = -theta_I (logit - mean) dt + ...
    d log sigma = -theta_s (log sigma - level) dt + ...

Every transition is exact for any `dt`, so two half steps equal one. The noise of V is the lognormal
moment `dt exp(2 E[log sigma] + 2 Var[log sigma])`: sigma points cannot see it, since price and
log-volatility are uncorrelated under them. Source: exact OU discretisation; lognormal moment, ours.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE, REAL

from .gaussian import from_points, Gaussian, points


V, MU, LOG_SIGMA, INFORMED = 0, 1, 2, 3


class Params(eqx.Module):
    """Rates and noises; a vector has one entry a mode.

    **Attributes:**

    - `drift_rate`: reversion theta of mu.
    - `drift_vol`: stationary standard deviation of mu, in units of sigma per sqrt(s).
    - `sigma_scale`: the mode's volatility over exp(log sigma).
    - `log_sigma_rate`: reversion of log sigma to the level that the tape shows.
    - `log_sigma_vol`: noise of log sigma per sqrt(s).
    - `informed_rate`, `informed_mean`, `informed_vol`: OU of the informed logit.
    """

    drift_rate: Float[Array, ""] = param(POSITIVE, 0.3, unit="1/s")
    drift_vol: Float[Array, "modes"] = param(POSITIVE, (0.02, 0.15, 0.1), unit="1/s^0.5")
    sigma_scale: Float[Array, "modes"] = param(POSITIVE, (0.8, 1.0, 2.5))
    log_sigma_rate: Float[Array, ""] = param(POSITIVE, 0.01, unit="1/s")
    log_sigma_vol: Float[Array, "modes"] = param(POSITIVE, (0.02, 0.03, 0.1), unit="1/s^0.5")
    informed_rate: Float[Array, ""] = param(POSITIVE, 0.01, unit="1/s")
    informed_mean: Float[Array, ""] = param(REAL, -1.0)
    informed_vol: Float[Array, ""] = param(POSITIVE, 0.05, unit="1/s^0.5")


def drift_horizon_s(rate: Float[Array, ""], dt_s: Float[Array, ""]) -> Float[Array, ""]:
    """`(1 - exp(-theta dt)) / theta`: what a unit of drift adds to V over `dt`."""
    return -jnp.expm1(-rate * dt_s) / rate


def predict(
    params: Params,
    g: Gaussian,
    dt_s: Float[Array, ""],
    drift_vol: Float[Array, ""],
    sigma_scale: Float[Array, ""],
    log_sigma_vol: Float[Array, ""],
    log_sigma_level: Float[Array, ""],
    of_v: Float[Array, ""] | float = 1.0,
    of_drift: Float[Array, ""] | float = 1.0,
) -> Gaussian:
    """One mode over `dt_s`: cubature points through the drift, analytic process noise.

    `of_v` is what the noise of V is of the mode's volatility, where most of that is public, and
    `of_drift` the share of the drift that V has not yet taken in with the mid's own moves.
    """
    x = points(g)
    keep_mu = jnp.exp(-params.drift_rate * dt_s)
    keep_log = jnp.exp(-params.log_sigma_rate * dt_s)
    keep_logit = jnp.exp(-params.informed_rate * dt_s)
    moved = jnp.stack(
        [
            x[V] + of_drift * x[MU] * drift_horizon_s(params.drift_rate, dt_s),
            x[MU] * keep_mu,
            log_sigma_level + (x[LOG_SIGMA] - log_sigma_level) * keep_log,
            params.informed_mean + (x[INFORMED] - params.informed_mean) * keep_logit,
        ]
    )
    scale = sigma_scale * jnp.exp(g.mean[LOG_SIGMA] + g.var(LOG_SIGMA))
    root_dt = jnp.sqrt(dt_s + jnp.finfo(dt_s.dtype).eps)
    spread = lambda rate: jnp.sqrt(-jnp.expm1(-2 * rate * dt_s) + jnp.finfo(dt_s.dtype).eps)
    noise = jnp.stack(
        [
            of_v * scale * root_dt,
            drift_vol * scale * spread(params.drift_rate),
            log_sigma_vol / jnp.sqrt(2 * params.log_sigma_rate) * spread(params.log_sigma_rate),
            params.informed_vol / jnp.sqrt(2 * params.informed_rate) * spread(params.informed_rate),
        ]
    )
    return from_points(moved, jnp.diag(noise))


def sigma_bp(g: Gaussian, sigma_scale: Float[Array, ""]) -> Float[Array, ""]:
    """`E[sigma]` of a mode in bp per sqrt(s), the lognormal mean."""
    return sigma_scale * jnp.exp(g.mean[LOG_SIGMA] + g.var(LOG_SIGMA) / 2)
