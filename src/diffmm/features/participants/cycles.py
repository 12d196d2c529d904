"""When in its cycle a class quotes: Rayleigh statistics of candidate periods, a von Mises law.

Source: Mardia & Jupp (2000), 5.3 and 10.3; Banerjee et al. (2005), eq. 4.4.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import numerics, small

from .statistics import Classes, Marks, Params


TAU = 2 * math.pi
"""A full turn in radians."""


def rayleigh(classes: Classes) -> Float[Array, "classes periods"]:
    """Rayleigh statistic `z = n R^2` of each period; uniform phases exceed z with `exp(-z)`."""
    n = jnp.where(classes.phases > 0, classes.phases, 1)
    return (classes.cosine**2 + classes.sine**2) / n


def period_weights(params: Params, classes: Classes) -> Float[Array, "classes periods"]:
    """Belief in each candidate period, `softmax(min(z, z_most) + c log p)`.

    A cycle is as sharp at the fractions of its period and not at the multiples: of the periods that
    are beyond doubt the longest is meant.
    """
    z = jnp.minimum(rayleigh(classes), params.rayleigh_most)
    z = z + params.longer * jnp.log(params.period_s)[None, :]
    return jnp.exp(z - small.log_total(z, 1)[:, None])


def concentration(params: Params, classes: Classes) -> Float[Array, "classes periods"]:
    """Von Mises concentration by its approximation `R (2 - R^2) / (1 - R^2)` (Banerjee 2005).

    The resultant is shrunk by `phase_count` events of no phase.
    """
    length = numerics.safe_sqrt(classes.cosine**2 + classes.sine**2)
    mean = length / (classes.phases + params.phase_count)
    mean = jnp.minimum(mean, params.phase_most)
    return mean * (2 - mean**2) / (1 - mean**2)


def log_phase(params: Params, classes: Classes, seen: Marks) -> Float[Array, " classes"]:
    """Log density of the row's time under each class's cycle, over the uniform one."""
    kappa = concentration(params, classes)
    length = numerics.safe_sqrt(classes.cosine**2 + classes.sine**2)
    along = classes.cosine * seen.cosine[None, :] + classes.sine * seen.sine[None, :]
    towards = along / jnp.where(length > 0, length, 1)
    log_bessel = jnp.log(jax.scipy.special.i0e(kappa)) + kappa
    weights = period_weights(params, classes)
    return jnp.sum(weights * (kappa * towards - log_bessel), axis=1)


def phase(
    params: Params,
    classes: Classes,
    cosine: Float[Array, " periods"],
    sine: Float[Array, " periods"],
) -> Float[Array, " classes"]:
    """Turns since each class's mean phase at its likeliest period, in [0, 1); 0 without one."""
    best = jnp.argmax(rayleigh(classes), axis=1)
    pick = lambda x: jnp.take_along_axis(x, best[:, None], axis=1)[:, 0]
    c, s = pick(classes.cosine), pick(classes.sine)
    has_phase = c**2 + s**2 > 0
    c, s = jnp.where(has_phase, c, 1), jnp.where(has_phase, s, 0)
    along, across = cosine[best] * c + sine[best] * s, sine[best] * c - cosine[best] * s
    turns = jnp.arctan2(across, along) / TAU
    return jnp.where(has_phase, jnp.where(turns < 0, turns + 1, turns), 0)
