"""The prices at which a ladder of known inventory cost fills its limits.

For a given Gamma price each side's total falls with `nu`. Raised to `b` it is a norm of the levels'
edges, so it is convex: Newton comes from below without overshooting, and from above it stops at the
next level that would enter. Around it a bracketed Newton for the Gamma price, whose exposure falls
too once each `nu` follows it. Source: ours, tested against a general solver.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import small

from .programme import Levels, sizes


MOST_CAP, MOST_GAMMA = 64, 64
"""Most steps for the prices of the caps and of the Gamma limit."""


class Cleared(NamedTuple):
    """Prices, and the sizes there."""

    cap: Float[Array, "side"]
    gamma: Float[Array, ""]
    y: Float[Array, "side levels"]


def clear(
    at: Levels,
    cost: Float[Array, "side levels"],
    cap: Float[Array, "side"],
    gamma: Float[Array, ""],
    close: Any,
) -> Cleared:
    """Sizes that fill no limit by more than `close`, and leave none with a price unfilled.

    Args:
        at: the programme.
        cost: `c`, inventory cost of a unit at each level.
        cap: prices of the caps to start from.
        gamma: price of the Gamma limit to start from.
        close: relative distance from a limit that counts as filling it.
    """

    def is_open(carry: Any) -> Array:
        _, _, _, gap, k = carry
        return (gap > close) & (k < MOST_GAMMA)

    def step(carry: Any) -> Any:
        last, low, high, _, k = carry
        caps, y, fall = _fill_caps(at, cost, last.cap, last.gamma, close)
        weights = jnp.stack([at.gamma * y, fall, at.gamma * fall, at.gamma**2 * fall])
        taken, total, weighted, squared = jnp.sum(weights, axis=2)
        used = small.total(taken, 0)
        is_over = used > at.limit
        low, high = jnp.where(is_over, last.gamma, low), jnp.where(is_over, high, last.gamma)
        # A bound cap gives back what its price falls by.
        bound = (caps > 0) & (total > 0)
        back = jnp.where(bound, weighted**2 / jnp.where(bound, total, 1.0), 0.0)
        newton = last.gamma + _newton(used, at.limit, small.total(squared - back, 0), at.root)
        # A free limit is tried first; then the bracket has two ends.
        middle = (low + high) / 2
        inside = (newton >= low) & (newton <= high) & (k < MOST_GAMMA // 2)
        new = jnp.where(low < 0, jnp.maximum(newton, 0.0), jnp.where(inside, newton, middle))
        gap = jnp.where((last.gamma <= 0) & ~is_over, 0.0, jnp.abs(used / at.limit - 1))
        price = jnp.where(gap > close, new, last.gamma)
        return Cleared(caps, price, y), low, high, gap, k + 1

    none, inf = jnp.zeros_like(cost), jnp.full_like(gamma, jnp.inf)
    # A Gamma price at which no level asks for anything.
    dearest = jnp.maximum(jnp.max((at.edge - cost * at.inverse) / at.reward), 0.0)
    gamma = jnp.minimum(gamma, dearest)
    start = (Cleared(cap, gamma, none), -jnp.ones_like(gamma), dearest, inf, jnp.int32(0))
    return jax.lax.while_loop(is_open, step, start)[0]


def entries(
    at: Levels, cost: Float[Array, "side levels"], gamma: Float[Array, ""]
) -> Float[Array, "side levels"]:
    """The price of the cap below which each level has a size."""
    return (at.edge - gamma * at.reward) / at.inverse - cost


def _fill_caps(
    at: Levels, cost: Array, cap: Array, gamma: Array, close: Any
) -> tuple[Array, Array, Array]:
    """Prices of both caps at a Gamma price, sizes there, and how fast they fall."""
    entry = entries(at, cost, gamma)

    def is_open(carry: Any) -> Array:
        *_, gap, k = carry
        return (gap > close) & (k < MOST_CAP)

    def step(carry: Any) -> Any:
        nu, low, high, _, _, _, k = carry
        y, fall = sizes(at, cost + nu[:, None], gamma)
        total, falls = jnp.sum(jnp.stack([y, fall]), axis=2)
        is_short = total < at.cap
        newton = nu + _newton(total, at.cap, falls, at.root)
        enters = jnp.max(jnp.where(entry < nu[:, None], entry, 0.0), axis=1)
        new = jnp.maximum(jnp.where(is_short, jnp.maximum(newton, enters), newton), 0.0)
        # Where b > 1 the total is no norm and Newton may go astray.
        low, high = jnp.where(is_short, low, nu), jnp.where(is_short, nu, high)
        strays = (new < low) | (new > high) | (k > MOST_CAP // 4)
        new = jnp.where(strays, (jnp.maximum(low, 0.0) + high) / 2, new)
        gap = jnp.where((nu <= 0) & is_short, 0.0, jnp.abs(total / at.cap - 1))
        worst = jnp.maximum(gap[0], gap[1])
        return jnp.where(gap > close, new, nu), low, high, y, fall, worst, k + 1

    none, inf = jnp.zeros_like(cost), jnp.full_like(gamma, jnp.inf)
    dearest = jnp.maximum(jnp.max(entry, axis=1), 0.0)
    cap = jnp.minimum(cap, dearest)
    start = (cap, 0 * cap - 1, dearest, none, none, inf, jnp.int32(0))
    nu, _, _, y, fall, _, _ = jax.lax.while_loop(is_open, step, start)
    return nu, y, fall


def _newton(have: Array, want: Array, falls: Array, root: Array) -> Array:
    """Change of a price so that `have^b`, nearly linear in it, becomes `want^b`; `root` is 1/b."""
    ok = (have > 0) & (falls > 0)
    safe = jnp.where(ok, have, want)
    ratio = jnp.exp(jnp.log(want / safe) / root)
    return jnp.where(ok, safe * (1 - ratio) * root / jnp.where(ok, falls, 1.0), -jnp.inf)
