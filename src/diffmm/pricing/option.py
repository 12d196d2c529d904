"""A resting quote as a short Bachelier option on the mid.

A quote `d` beyond fair value is picked off by a public move that passes it before our cancel lands.
Source: Copeland & Galai (1983); Bachelier (1900); the time average is derived here.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Float


ROOT_TWO_PI = (2 * jnp.pi) ** 0.5


def normal_density(z: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """The standard normal density."""
    return jnp.exp(-(z**2) / 2) / ROOT_TWO_PI


def bachelier(depth_bp: Float[Array, "*#s"], sd_bp: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """`E[(X - d)+]` for `X ~ N(0, sd^2)`: `sd (phi(z) - z Phi(-z))`, `z = d / sd`, `sd > 0`."""
    z = depth_bp / sd_bp
    return jnp.maximum(sd_bp * (normal_density(z) - z * ndtr(-z)), 0.0)


def time_average(depth_bp: Float[Array, "*#s"], sd_bp: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """Mean of `bachelier(d, sigma sqrt t)` over `t` uniform in `[0, tau]`, `sd = sigma sqrt(tau)`.

        (1 + z^2 / 3) C(|d|, sd) - sd / 3 phi(z) + (-d)+

    At `d = 0` it is two thirds of the value at tau. Inside fair value it is the option outside plus
    what is given away for sure, so nothing large cancels.
    """
    z = depth_bp / sd_bp
    outside = (1 + z**2 / 3) * bachelier(jnp.abs(depth_bp), sd_bp) - sd_bp / 3 * normal_density(z)
    return jnp.maximum(outside, 0.0) + jnp.maximum(-depth_bp, 0.0)


def time_average_chance(
    depth_bp: Float[Array, "*#s"], sd_bp: Float[Array, "*#s"]
) -> Float[Array, "*s"]:
    """Mean of `P(X > d)`, `X ~ N(0, sigma^2 t)`, over `t` uniform in `[0, tau]`.

        (1 + z^2) Phi(-|z|) - |z| phi(z),   one less it inside fair value

    The slope of `time_average` in `-d`; derived here.
    """
    z = jnp.abs(depth_bp / sd_bp)
    beyond = jnp.maximum((1 + z**2) * ndtr(-z) - z * normal_density(z), 0.0)
    return jnp.where(depth_bp < 0, 1 - beyond, beyond)


def between(
    average: Callable[[Float[Array, "*#s"], Float[Array, "*#s"]], Float[Array, "*s"]],
    depth_bp: Float[Array, "*#s"],
    sigma_bp: Float[Array, "*#s"],
    from_s: Float[Array, ""],
    tau_s: Float[Array, ""],
) -> Float[Array, "*s"]:
    """A mean over `t` uniform in `[from, from + tau]` by the same mean `A(t)` over `[0, t]`.

        ((from + tau) A(from + tau) - from A(from)) / tau

    Args:
        average: `time_average` or `time_average_chance`.
        depth_bp: d.
        sigma_bp: above zero.
        from_s: from when to when, at least 0.
        tau_s: above zero.
    """
    end_s = from_s + tau_s
    tiny = jnp.finfo(sigma_bp.dtype).eps
    at = lambda t: average(depth_bp, sigma_bp * jnp.sqrt(t) + tiny)
    # Rounding must not make a chance or a loss negative.
    return jnp.maximum(end_s * at(end_s) - from_s * at(from_s + tiny), 0.0) / tau_s


def gamma(depth_bp: Float[Array, "*#s"], sd_bp: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """Second derivative of `bachelier` in price, `phi(d / sd) / sd`, per bp."""
    return normal_density(depth_bp / sd_bp) / sd_bp


def jump_option(
    depth_bp: Float[Array, "*#s"],
    rate: Float[Array, ""],
    mean_bp: Float[Array, ""],
    tau_s: Float[Array, ""],
) -> Float[Array, "*s"]:
    """Mean over `[0, tau]` of the loss to jumps of either sign, exponential of mean `m`.

    `rate tau / 2 x 1/2 x E[(J - d)+]` with `E[(J - d)+] = m exp(-d / m)` for `d >= 0`, `m - d`
    inside.
    """
    out = jnp.maximum(depth_bp, 0.0)
    inside = jnp.maximum(-depth_bp, 0.0)
    return rate * tau_s / 4 * (mean_bp * jnp.exp(-out / mean_bp) + inside)


def jump_chance(
    depth_bp: Float[Array, "*#s"],
    rate: Float[Array, ""],
    mean_bp: Float[Array, ""],
    tau_s: Float[Array, ""],
) -> Float[Array, "*s"]:
    """Mean over `[0, tau]` of the chance that a jump has passed `d`: `rate tau / 4 exp(-d / m)`."""
    return rate * tau_s / 4 * jnp.exp(-jnp.maximum(depth_bp, 0.0) / mean_bp)
