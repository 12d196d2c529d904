"""What the belief is told, remembers and says: its static choices, parameters, state, posterior."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from diffmm.core import param, POSITIVE, REAL

from . import (
    consistency,
    dynamics,
    flow_type as takers,
    predictive,
    private as premium,
    reach,
)
from .dynamics import MU, V
from .gaussian import Gaussian


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `modes`: how many of the declared modes run, in the order quiet, trending, crisis.
    - `fills`: whether there can be fills of ours; without any, the update is the same and dearer.
    """

    modes: int = 3
    fills: bool = True

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(modes=2)


class Params(eqx.Module):
    dynamics: dynamics.Params
    reach: reach.Params
    predictive: predictive.Params
    consistency: consistency.Params
    exit_rate: Float[Array, "modes"] = param(POSITIVE, (0.01, 0.03, 0.05), unit="1/s")
    tail: Float[Array, ""] = param(POSITIVE, 5.0)
    signal_noise: Float[Array, ""] = param(POSITIVE, 0.3)
    informed_size: Float[Array, ""] = param(REAL, 0.2)
    prior_v_half_spreads: Float[Array, ""] = param(POSITIVE, 1.0)
    prior_log_sigma_sd: Float[Array, ""] = param(POSITIVE, 0.5)
    prior_informed_sd: Float[Array, ""] = param(POSITIVE, 0.3)
    flow_type: takers.Params | None = None
    private: premium.Params | None = None


class State(eqx.Module):
    modes: Gaussian
    log_mode: Float[Array, "modes"]
    has_started: Bool[Array, ""]
    scored: consistency.State
    flow_type: takers.State | None = None
    private: premium.State | None = None


class Belief(eqx.Module):
    """The mixture posterior.

    **Attributes:**

    - `mean`, `cov`: moments of the mixture over `[V, mu, log sigma, informed_logit]`.
    - `log_mode`: log probabilities of the modes.
    - `mode_mean`, `mode_var`: means, and variances of V, of each mode, when the newest information
      left the venue.
    - `mode_sigma_bp`: expected volatility of each mode, bp per sqrt(s).
    - `age_s`: of the newest information.
    - `drift_rate`: reversion of mu, for `E[V at t + T]`.
    - `log_scale`: logs of what predictive variances must be multiplied by, at each horizon.
    - `informed`: probability that the next taker of typical size is informed.
    - `nis`: normalised innovation squared of the fair-value observation, mixed.
    - `log_score`: log likelihood of this event's observations and fills.
    - `is_ready`: whether there is a belief at all (a two-sided book was seen).
    - `health`: flags.
    - `flow_type`: who filled us; `None` where `Params.flow_type` is.
    """

    mean: Float[Array, "4"]
    cov: Float[Array, "4 4"]
    log_mode: Float[Array, "modes"]
    mode_mean: Float[Array, "modes 4"]
    mode_var: Float[Array, "modes"]
    mode_sigma_bp: Float[Array, "modes"]
    age_s: Float[Array, ""]
    drift_rate: Float[Array, ""]
    log_scale: Float[Array, "horizons"]
    informed: Float[Array, ""]
    nis: Float[Array, ""]
    log_score: Float[Array, ""]
    is_ready: Bool[Array, ""]
    health: UInt32[Array, ""]
    flow_type: takers.FlowType | None = None

    @property
    def sigma_bp(self) -> Float[Array, ""]:
        """Root mean square volatility over the modes."""
        return jnp.sqrt(jnp.sum(jnp.exp(self.log_mode) * self.mode_sigma_bp**2))

    def expected_v(self, horizon_s: Float[Array, ""]) -> Float[Array, ""]:
        """`E[V at t + T]`: the only place where drift enters a quote."""
        return self.mean[V] + self.mean[MU] * dynamics.drift_horizon_s(self.drift_rate, horizon_s)
