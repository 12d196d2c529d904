"""The concave programme of sizes, and its stationarity as a recursion along the ladder.

    max  sum_i P_i [e_i y_i - h_i y_i^(1+b)] - sum_i m_i y_i - sum_i w_i K(N_i)
    s.t. g . y <= G,   N_M <= cap (each side),   y >= 0

with `N_i = y_1 + ... + y_i`, `w_i = P_i - P_(i+1) >= 0` and `K` convex. Let `r_i` be the marginal
cost of one more unit at level i. Stationarity runs from the outermost level inwards,

    r_i = r_(i+1) + w_i K'(N_i)
    y_i = [(e_i - (m_i + lambda g_i + r_i) / P_i)+ / ((1+b) h_i)]^(1/b)
    N_(i-1) = N_i - y_i

started at the side's total `N_M = t` with `r_(M+1) = nu`, the price of the cap. What is left at the
inner end, `N_0`, must vanish; it grows in `t` with slope at least one, and in `nu`. `search` finds
the three unknowns: one number a side, and the Gamma price `lambda`. Source: ours, tested against a
general solver.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Programme(eqx.Module):
    """Data of one programme, sizes in units of the inventory room, values in bp times that unit.

    **Attributes:**

    - `fill`: P_i, above zero, not increasing outwards.
    - `edge`: e_i in bp, bounded below.
    - `impact`: h_i in bp at unit size.
    - `power`: b > 0.
    - `message`: m in bp.
    - `sweep`: w_i.
    - `cubic`: coefficients of `K'(N)` in powers of N, in bp.
    - `gamma`: g_i in bp.
    - `gamma_limit`: G in bp units.
    - `cap`: largest N_M of each side.
    """

    fill: Float[Array, "side levels"]
    edge: Float[Array, "side levels"]
    impact: Float[Array, "side levels"]
    power: Float[Array, ""]
    message: Float[Array, "side levels"]
    sweep: Float[Array, "side levels"]
    cubic: Float[Array, "side 4"]
    gamma: Float[Array, "side levels"]
    gamma_limit: Float[Array, ""]
    cap: Float[Array, "side 1"]


class Prices(eqx.Module):
    """Where the recursion starts: `s` of each side, and the price of the Gamma limit."""

    s: Float[Array, "side"]
    gamma: Float[Array, ""]


class Solution(eqx.Module):
    """Sizes, the price of each side's cap, and where a search for a similar programme may start."""

    y: Float[Array, "side levels"]
    cap: Float[Array, "side"]
    prices: Prices


class Levels(NamedTuple):
    """What the recursion reads at each level, levels first."""

    edge: Array
    steep: Array
    inverse: Array
    reward: Array
    sweep: Array
    gamma: Array


class Ends(NamedTuple):
    """What the recursion leaves: `N_0` of each side and the Gamma exposure of each side."""

    left: Array
    used: Array


def marginal(p: Programme, n: Float[Array, "side lanes"]) -> Float[Array, "side lanes"]:
    """`K'(N)` in bp: a cubic in N, since gamma(q) is quadratic."""
    c = p.cubic[:, :, None]
    return c[:, 0] + n * (c[:, 1] + n * (c[:, 2] + n * c[:, 3]))


def objective(p: Programme, y: Float[Array, "side levels"]) -> Float[Array, ""]:
    """The value maximised, for tests against a general solver."""
    n = jnp.cumsum(y, axis=1)
    c = p.cubic[:, :, None]
    cost = n * (c[:, 0] + n * (c[:, 1] / 2 + n * (c[:, 2] / 3 + n * c[:, 3] / 4)))
    gain = p.fill * (p.edge * y - p.impact * y ** (1 + p.power)) - p.message * y
    return jnp.sum(gain - p.sweep * cost)


def levels(p: Programme) -> Levels:
    inverse = 1 / p.fill
    steep = ((1 + p.power) * p.impact) ** (-1 / p.power)
    first = lambda x: x.T[:, :, None]
    return Levels(
        first(p.edge - p.message * inverse),
        first(steep),
        first(inverse),
        first(p.gamma * inverse),
        first(p.sweep),
        first(p.gamma),
    )


def shoot(
    p: Programme,
    levels: Levels,
    total: Float[Array, "side lanes"],
    nu: Float[Array, "side lanes"],
    price: Float[Array, " lanes"],
) -> tuple[Float[Array, "levels side lanes"], Ends]:
    """Sizes by the recursion, and what is left at the inner end."""

    def level(carry, at: Levels):
        n, r, used = carry
        # Below zero K goes on as a straight line: still convex, and what is left stays monotone.
        r = r + at.sweep * marginal(p, jnp.maximum(n, 0.0))
        u = at.edge - price[None] * at.reward - r * at.inverse
        y = jnp.exp(jnp.log(jnp.where(u > 0, u, 1.0)) / p.power) * at.steep
        y = jnp.where(u > 0, y, 0.0)
        return (n - y, r, used + at.gamma * y), y

    start = (total, nu, jnp.zeros_like(total))
    (left, _, used), y = jax.lax.scan(level, start, levels, reverse=True)
    return y, Ends(left, used)


def ends_at(s: Float[Array, "side lanes"], p: Programme) -> tuple[Array, Array]:
    """The side's total and the price of its cap: `s` up to the cap, then the price in its range."""
    return jnp.minimum(s, p.cap), jnp.maximum(s / p.cap - 1, 0.0) * highest(p)


def highest(p: Programme) -> Float[Array, "side 1"]:
    """A price of the cap at which nothing is worth a unit."""
    best = p.fill * (p.edge - marginal(p, jnp.zeros_like(p.cap))) - p.message
    return jnp.maximum(jnp.max(best, axis=1, keepdims=True), jnp.finfo(p.edge.dtype).tiny)


def dearest(p: Programme) -> Float[Array, ""]:
    """A Gamma price at which nothing is worth a unit."""
    best = p.fill * (p.edge - marginal(p, jnp.zeros_like(p.cap))) - p.message
    return jnp.maximum(jnp.max(best / p.gamma), 0.0)
