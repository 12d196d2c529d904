"""Growth-optimal sizes from a given covariance.

Log wealth to second order is `g = f'mu - f' Sigma f / 2` per unit of wealth, so `f* = Sigma^-1 mu`
and a fraction `c` of it grows at `c (2 - c) g*`. Source: Kelly (1956), Merton (1969), Thorp (2006);
shrink ours.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import small


def fractions(mean: Float[Array, " n"], cov: Float[Array, "n n"]) -> Float[Array, " n"]:
    """`Sigma^-1 mu`, fractions of wealth, for up to four bets."""
    factor = small.cholesky(cov)
    return small.solve_upper(factor, small.solve_lower(factor, mean))


def bets(correlation: Float[Array, ""]) -> Float[Array, ""]:
    """How many of two equal bets there are: two when they are apart, one when they are the same.

    `1' Sigma^-1 1 sigma^2 = 2 / (1 + rho)`, the total size over that of one alone.
    """
    return 2 / jnp.maximum(1 + correlation, jnp.finfo(correlation.dtype).eps)


def growth(
    f: Float[Array, " n"], mean: Float[Array, " n"], cov: Float[Array, "n n"]
) -> Float[Array, ""]:
    """Growth rate of the fractions `f`, per unit of time of `mean`."""
    return f @ mean - f @ (cov @ f) / 2


def shrink(
    theta2: Float[Array, ""], n: Float[Array, ""], samples: Float[Array, ""]
) -> Float[Array, ""]:
    """`theta^2 / (theta^2 + n / T)`: the multiplier that is best when `mu` was estimated."""
    return theta2 / (theta2 + n / samples)
