"""Interacting multiple models: mixing before the step, weighing after it, in log space.

Source: Blom & Bar-Shalom (1988); Bar-Shalom, Li & Kirubarajan (2001), 11.6.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import numerics, small

from .gaussian import Gaussian


def mix(
    modes: Gaussian, log_mode: Float[Array, " modes"], transition: Float[Array, "modes modes"]
) -> tuple[Gaussian, Float[Array, " modes"]]:
    """Each mode restarts from the mixture of all that may have switched into it.

    Args:
        modes: stacked Gaussians.
        log_mode: log probabilities.
        transition: `M[i, j]`, probability of `i -> j` over the step.

    Returns:
        The mixed Gaussians and the predicted log probabilities.
    """
    joint = log_mode[:, None] + numerics.safe_log(transition)
    predicted = small.log_total(joint, 0)
    weights = jnp.exp(joint - predicted[None, :])
    mean = small.total(weights[:, :, None] * modes.mean[:, None, :], 0)
    away = modes.mean[:, None, :] - mean[None, :, :]
    each = jax.vmap(lambda g: g.cov)(modes)[:, None] + away[..., :, None] * away[..., None, :]
    cov = small.total(weights[:, :, None, None] * each, 0)
    return Gaussian(mean, jax.vmap(small.cholesky)(cov)), predicted


def moments(
    modes: Gaussian, log_mode: Float[Array, " modes"]
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Mean and covariance of the mixture."""
    weight = jnp.exp(log_mode)
    mean = small.total(weight[:, None] * modes.mean, 0)
    away = modes.mean - mean[None, :]
    each = jax.vmap(lambda g: g.cov)(modes) + away[:, :, None] * away[:, None, :]
    return mean, small.total(weight[:, None, None] * each, 0)
