"""Arrival of takers on each side: a Hawkes process with one exponential kernel and a slow base.

`lambda(t) = (1 - n) base + n beta sum_k exp(-beta (t - t_k))`, branching ratio `n < 1`. Linear in
its weights, so the log-likelihood is concave in them. Source: Hawkes (1971), Ozaki (1979).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def decay(
    excitation: Float[Array, "*#s"], beta: Float[Array, ""], dt_s: Float[Array, ""]
) -> Float[Array, "*s"]:
    """`sum_k exp(-beta (t - t_k))` carried over `dt_s` without events."""
    return excitation * jnp.exp(-beta * dt_s)


def intensity(
    base: Float[Array, "*#s"],
    excitation: Float[Array, "*#s"],
    branching: Float[Array, ""],
    beta: Float[Array, ""],
) -> Float[Array, "*s"]:
    """Arrivals per second now, given the base rate and the decayed sum of past events."""
    return (1 - branching) * base + branching * beta * excitation


def expected(
    rate: Float[Array, "*#s"],
    base: Float[Array, "*#s"],
    branching: Float[Array, ""],
    beta: Float[Array, ""],
    after_s: Float[Array, ""],
    dt_s: Float[Array, ""],
) -> Float[Array, "*s"]:
    """`E` such that nobody comes within `dt_s`, counted from `after_s`, with chance `exp(-E)`.

        r(after) = base + (rate - base) exp(-beta (1 - n) after)
        E = calm dt + (r(after) - calm) (1 - exp(-beta dt)) / beta,   calm = (1 - n) base

    Until then people come and draw others, so the mean intensity goes back to `base` at
    `beta (1 - n)`. From then on it is the integral of the intensity given that nobody comes, which
    falls to that of a market where nobody has come for long. It is less than the mean number of
    arrivals. Source: Hawkes (1971); Daley & Vere-Jones (2003), 7.2; with the mean intensity in
    place of its distribution at `after_s`.
    """
    met = base + (rate - base) * jnp.exp(-beta * (1 - branching) * after_s)
    calm = (1 - branching) * base
    return calm * dt_s - (met - calm) / beta * jnp.expm1(-beta * dt_s)


def compensator(
    base: Float[Array, ""],
    excitation: Float[Array, ""],
    jump: Float[Array, ""],
    beta: Float[Array, ""],
    dt_s: Float[Array, ""],
) -> Float[Array, ""]:
    """Integral of `base + jump * excitation exp(-beta u)` over the next `dt_s`."""
    return base * dt_s - jump / beta * excitation * jnp.expm1(-beta * dt_s)


def log_likelihood(
    times_s: Float[Array, " n"],
    end_s: Float[Array, ""],
    base: Float[Array, ""],
    jump: Float[Array, ""],
    beta: Float[Array, ""],
) -> Float[Array, ""]:
    """Log-likelihood of event times on `[0, end_s]` for `base + jump sum exp(-beta (t - t_k))`."""

    def event(carry, time):
        last, excitation, total = carry
        grown = compensator(base, excitation, jump, beta, time - last)
        excitation = decay(excitation, beta, time - last)
        total = total + jnp.log(base + jump * excitation) - grown
        return (time, excitation + 1, total), None

    zero = jnp.zeros_like(end_s)
    (last, excitation, total), _ = jax.lax.scan(event, (zero, zero, zero), times_s)
    return total - compensator(base, excitation, jump, beta, end_s - last)
