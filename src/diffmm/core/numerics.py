"""Functions whose value and gradient stay finite where the textbook form does not."""

import functools as ft

import jax.numpy as jnp
from jaxtyping import Array, Float

from . import small


LOG_WEIGHT_FLOOR = -700.0
"""Floor of a log weight: `exp` of it underflows to zero in float64 while gradients stay finite."""


def safe_sqrt(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`sqrt(max(x, 0))` with zero gradient at and below zero."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def safe_log(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log x` floored at `LOG_WEIGHT_FLOOR`, with zero gradient at and below zero."""
    positive = x > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1.0)), LOG_WEIGHT_FLOOR)


def smooth_abs(x: Float[Array, "*s"], scale: Float[Array, ""]) -> Float[Array, "*s"]:
    """`sqrt(x^2 + scale^2) - scale`: |x| without the kink, zero at zero."""
    return jnp.sqrt(x**2 + scale**2) - scale


def log_normalise(log_weights: Float[Array, " n"]) -> Float[Array, " n"]:
    """Log weights summing to one, each at least `LOG_WEIGHT_FLOOR` before normalising."""
    top = ft.reduce(jnp.maximum, [log_weights[i] for i in range(log_weights.shape[0])])
    floored = jnp.maximum(log_weights, top + LOG_WEIGHT_FLOOR)
    return floored - small.log_total(floored, 0)
