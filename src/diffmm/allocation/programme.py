"""The concave programme of sizes, and its stationarity level by level.

    max  sum_i P_i [e_i y_i - h_i y_i^(1+b)] - sum_i m_i y_i - sum_i w_i K(N_i)
    s.t. g . y <= G,   N_M <= cap (each side),   y >= 0

with `N_i = y_1 + ... + y_i`, `w_i = P_i - P_(i+1) >= 0` and `K` convex. With `c_i` the inventory
cost of one more unit at level i, `nu` the price of the side's cap and `lambda` that of the Gamma
limit, stationarity is

    c_i = c_(i+1) + w_i K'(N_i),    c_(M+1) = 0
    y_i = [(e_i - (m_i + lambda g_i + nu + c_i) / P_i)+ / ((1+b) h_i)]^(1/b)

`clearing` finds the prices for given `c`, `coupling` how all of it answers to a change, `search`
the point where both agree. Source: ours, tested against a general solver.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import small


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


class Prices(NamedTuple):
    """A point of the search: inventory, and the prices of both caps and of the Gamma limit."""

    held: Float[Array, "side levels"]
    cap: Float[Array, "side"]
    gamma: Float[Array, ""]


class Solution(eqx.Module):
    """Sizes, the price of each side's cap, and where a search for a similar programme may start."""

    y: Float[Array, "side levels"]
    cap: Float[Array, "side"]
    prices: Prices


class Levels(NamedTuple):
    """The programme as the search reads it: `inverse` is `1 / P`, caps and limit bare."""

    edge: Array
    steep: Array
    inverse: Array
    reward: Array
    sweep: Array
    gamma: Array
    cubic: Array
    cap: Array
    limit: Array
    root: Array


def levels(p: Programme) -> Levels:
    """What does not change during a search."""
    inverse = 1 / p.fill
    steep = jnp.exp(jnp.log((1 + p.power) * p.impact) / -p.power)
    return Levels(
        p.edge - p.message * inverse,
        steep,
        inverse,
        p.gamma * inverse,
        p.sweep,
        p.gamma,
        p.cubic,
        p.cap[:, 0],
        p.gamma_limit,
        1 / p.power,
    )


def sizes(
    at: Levels, cost: Float[Array, "side levels"], gamma: Float[Array, ""]
) -> tuple[Float[Array, "side levels"], Float[Array, "side levels"]]:
    """Sizes at `nu + c` and the Gamma price, and how fast they fall with that cost."""
    u = at.edge - gamma * at.reward - cost * at.inverse
    asks = u > 0
    safe = jnp.where(asks, u, 1.0)
    y = jnp.where(asks, jnp.exp(jnp.log(safe) * at.root) * at.steep, 0.0)
    return y, y * at.inverse * at.root / safe


def inventory_cost(
    at: Levels, held: Float[Array, "side levels"]
) -> tuple[Float[Array, "side levels"], Float[Array, "side levels"]]:
    """`w K'(N)` and its slope in N; beyond the cap, which no solution passes, as at the cap."""
    n, c = jnp.clip(held, 0.0, at.cap[:, None]), at.cubic.T[:, :, None]
    value = c[0] + n * (c[1] + n * (c[2] + n * c[3]))
    slope = c[1] + n * (2 * c[2] + 3 * n * c[3])
    return at.sweep * value, at.sweep * slope


def inwards(x: Float[Array, "side levels"]) -> Float[Array, "side levels"]:
    """Sums from each level outwards to the last."""
    return small.running(x, 1, reverse=True)


def outwards(x: Float[Array, "side levels"]) -> Float[Array, "side levels"]:
    """Sums from the first level to each."""
    return small.running(x, 1)


def impact(at: Levels, y: Float[Array, "side levels"]) -> Float[Array, "side levels"]:
    """What own impact takes off the edge of one more unit, `(1 + b) h y^b`."""
    asks = y > 0
    return jnp.where(asks, jnp.exp(jnp.log(jnp.where(asks, y / at.steep, 1.0)) / at.root), 0.0)


def income(at: Levels, y: Float[Array, "side levels"]) -> Float[Array, ""]:
    """`sum P (e y - h y^(1+b)) - m y`: everything but inventory."""
    mean = impact(at, y) * at.root / (1 + at.root)
    return jnp.sum(y * (at.edge - mean) / at.inverse)


def value(at: Levels, y: Float[Array, "side levels"]) -> Float[Array, ""]:
    """What is maximised."""
    n, c = outwards(y), at.cubic.T[:, :, None]
    cost = n * (c[0] + n * (c[1] / 2 + n * (c[2] / 3 + n * c[3] / 4)))
    return income(at, y) - jnp.sum(at.sweep * cost)
