"""How sizes, inventory along the ladder and the prices answer together: one block Newton step.

Linearised at a point, `d c_i = d c_(i+1) + k_i d N_i - miss_i` and
`d N_i = d N_(i-1) - f_i (d c_i + d nu + g_i d lambda)`: tridiagonal, with what happens outside a
level summarised by `d c_(i+1) = a d N_i + ...`. The sweep inwards adds and divides positive numbers
only, so single precision holds however strongly the levels are coupled. Source: ours; the sweep is
the Riccati recursion of linear-quadratic control.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import small

from .programme import inventory_cost, inwards, Levels, outwards, Prices, sizes


class Point(NamedTuple):
    """The ladder at prices, and by how much inventory cost is not what its inventory says."""

    cost: Float[Array, "side levels"]
    y: Float[Array, "side levels"]
    held: Float[Array, "side levels"]
    miss: Float[Array, "side levels"]


class Step(NamedTuple):
    """Changes of inventory, cost and prices."""

    held: Float[Array, "side levels"]
    cost: Float[Array, "side levels"]
    cap: Float[Array, "side"]
    gamma: Float[Array, ""]


def point(at: Levels, prices: Prices) -> Point:
    """The ladder at a point of the search, whose cost is a number without a gradient."""
    cost = jax.lax.stop_gradient(inwards(inventory_cost(at, prices.held)[0]))
    y, _ = sizes(at, cost + prices.cap[:, None], prices.gamma)
    return around(at, cost, y)


def around(at: Levels, cost: Float[Array, "side levels"], y: Float[Array, "side levels"]) -> Point:
    """The ladder at sizes that were found for a cost."""
    held = outwards(y)
    beyond = jnp.concatenate([cost[:, 1:], jnp.zeros_like(cost[:, :1])], axis=1)
    return Point(cost, y, held, cost - beyond - inventory_cost(at, held)[0])


def newton(at: Levels, prices: Prices, now: Point, frozen: Levels) -> Step:
    """The step to the solution for the limits that have a price; the matrix carries no gradient.

    Args:
        at: the programme, differentiable.
        prices: with which `now` was made.
        now: the ladder there, differentiable in the programme.
        frozen: the programme of the matrix.
    """
    held, cost, caps, gamma = jax.lax.stop_gradient((now.held, now.cost, prices.cap, prices.gamma))
    _, fall = sizes(frozen, cost + caps[:, None], gamma)
    slope = jnp.maximum(inventory_cost(frozen, held)[1], 0.0)
    one, none = jnp.ones_like(frozen.cap), jnp.zeros_like(frozen.cap)

    def inward(carry: tuple[Array, Array], x: tuple[Array, ...]) -> tuple[Any, Any]:
        a, by = carry
        f, k, g, miss = x
        a = a + k
        by = by - jnp.stack([miss, none, none])
        d = 1 / (1 + f * a)
        new = d[None] * by - (a * d * f)[None] * jnp.stack([none, g, one])
        return (a * d, new), (a, d, by)

    fall, gammas = fall.T, frozen.gamma.T
    xs = (fall, slope.T, gammas, now.miss.T)
    start = (none, jnp.stack([none, none, none]))
    _, (a, d, by) = jax.lax.scan(inward, start, xs, reverse=True)
    pushed = by + jnp.stack([jnp.zeros_like(fall), gammas, jnp.ones_like(fall)], axis=1)

    def outward(held: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        d, moved = x
        held = d * (held - moved)
        return held, held

    moved = fall[:, None] * pushed
    _, along = jax.lax.scan(outward, start[1], (d[:, None], moved))
    sized = -fall[:, None] * (a[:, None] * along + pushed)
    lack = at.cap - now.held[:, -1]
    room = at.limit - jnp.sum(at.gamma * now.y)
    d_cap, d_gamma = _limits(
        along[-1], jnp.sum(gammas[:, None] * sized, axis=0), lack, room, caps > 0, gamma > 0
    )
    by_price = jnp.stack([one, d_gamma * one, d_cap])
    held = small.total(along * by_price[None], 1)
    cost = a * held + small.total(by * by_price[None], 1)
    return Step(held.T, cost.T, d_cap, d_gamma)


def _limits(
    total: Float[Array, "3 side"],
    used: Float[Array, "3 side"],
    lack: Float[Array, "side"],
    room: Float[Array, ""],
    is_capped: Array,
    is_bound: Array,
) -> tuple[Float[Array, "side"], Float[Array, ""]]:
    """Price changes that fill each limit with a price; rows: as it is, by Gamma price, by cap's."""
    capped = is_capped & (total[2] < 0)
    by_cap = jnp.where(capped, total[2], -1.0)
    fixed = jnp.where(capped, (lack - total[0]) / by_cap, 0.0)
    follows = jnp.where(capped, -total[1] / by_cap, 0.0)
    falls = small.total(used[1] + used[2] * follows, 0)
    bound = is_bound & (falls < 0)
    d_gamma = jnp.where(
        bound,
        (room - small.total(used[0] + used[2] * fixed, 0)) / jnp.where(bound, falls, -1.0),
        0.0,
    )
    return fixed + follows * d_gamma, d_gamma
