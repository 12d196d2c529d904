"""A Gaussian held as mean and square root, and its conditioning on one component.

Everything that the belief learns is about one component at a time: a measurement, or a fill whose
posterior is matched in moments. Both are the same step: component `i` takes a new mean and
variance, the others follow through the covariance. With `P = S S'`, `phi = S' e_i`,
`K = S phi / P_ii`:

    x' = x + K (m' - x_i),   S' = S + (sqrt(P'_ii / P_ii) - 1) / P_ii (S phi) phi'

so `P' = P - K (P_ii - P'_ii) K'` holds exactly and stays positive, also when the variance rises.
Source: Potter's square-root update (Bierman 1977, II.3), generalised; tested against Joseph's form.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import small


class Gaussian(eqx.Module):
    """`N(mean, root root')`; `root` is any square root, not always triangular."""

    mean: Float[Array, "*modes n"]
    root: Float[Array, "*modes n n"]

    @property
    def cov(self) -> Float[Array, "n n"]:
        """The covariance matrix."""
        return small.total(self.root[:, None, :] * self.root[None, :, :], 2)

    def var(self, i: int) -> Float[Array, ""]:
        """Variance of one component."""
        return small.total(self.root[i] ** 2, 0)


def condition(g: Gaussian, i: int, mean: Float[Array, ""], var: Float[Array, ""]) -> Gaussian:
    """Give component `i` a new mean and variance, the others follow by regression on it."""
    row = g.root[i]
    old = small.total(row**2, 0)
    along = small.total(g.root * row[None, :], 1)
    return Gaussian(
        g.mean + along * ((mean - g.mean[i]) / old),
        g.root + along[:, None] * row[None, :] * ((jnp.sqrt(var / old) - 1) / old),
    )


def measure(
    g: Gaussian,
    i: int,
    z: Float[Array, ""],
    precision: Float[Array, ""],
    tail: Float[Array, ""],
) -> tuple[Gaussian, Float[Array, ""], Float[Array, ""]]:
    """A scalar observation of component `i` with Student-t weight; precision 0 changes nothing.

    Args:
        g: prior.
        i: observed component.
        z: observation.
        precision: `1 / R`.
        tail: degrees of freedom nu; the precision is scaled by `(nu + 1) / (nu + v^2 / S)`.

    Returns:
        The posterior, the log likelihood up to a constant that does not depend on the prior, and
        the normalised innovation squared `v^2 / S` (0 where the precision is).
    """
    prior = g.var(i)
    ratio = precision / (precision * prior + 1)
    expected = g.mean[i]
    surprise = (z - expected) ** 2 * ratio
    weighted = precision * (tail + 1) / (tail + surprise)
    gain = weighted * prior / (weighted * prior + 1)
    mean = expected + gain * (z - expected)
    var = prior / (weighted * prior + 1)
    log_likelihood = -(jnp.log1p(precision * prior) + (tail + 1) * jnp.log1p(surprise / tail)) / 2
    return condition(g, i, mean, var), log_likelihood, surprise


def points(g: Gaussian) -> Float[Array, "n points"]:
    """The `2 n` cubature points, each of weight `1 / 2n` (Arasaratnam & Haykin 2009)."""
    n = g.mean.shape[0]
    step = g.root * n**0.5
    return jnp.concatenate([g.mean[:, None] + step, g.mean[:, None] - step], axis=1)


def from_points(columns: Float[Array, "n points"], noise_root: Float[Array, "n n"]) -> Gaussian:
    """Moments of transformed cubature points plus independent noise, root re-triangularised."""
    mean = small.total(columns, 1) / columns.shape[1]
    spread = (columns - mean[:, None]) / columns.shape[1] ** 0.5
    return Gaussian(mean, small.square_root(jnp.concatenate([spread, noise_root], axis=1)))
