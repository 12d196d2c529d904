"""Value iteration, and the value of one policy, of the problem of getting flat.

With total rate `R = fill + add + leave` of a state under an action,

    J(b, y) = min_a [running + fill (extra + J(b-1, y)) + add J(b+1, y)
                     + sum_y' jump(y, y') J(b, y')] / (rho + R)

where at flat what is added is on either side alike, as that side sees y: a contraction in the
largest difference, of modulus `max R / (rho + R) < 1`. It is solved outside the hot path. Source:
ours; Puterman (1994), chapters 6 and 11.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from .problem import Rates


MOST_SWEEPS = 200_000
"""Many times what slow fills need; a problem that needs more is told by its residual."""
CLOSE = 4
"""The sweeps end at a change of this many rounding units of the largest value."""


class Solved(NamedTuple):
    """Where the sweeps ended.

    **Attributes:**

    - `value`: of each state.
    - `sweeps`: how many there were.
    - `residual`: largest change of the last, relative to the largest value.
    """

    value: Float[Array, "levels outside"]
    sweeps: Int32[Array, ""]
    residual: Float[Array, ""]


def modulus(r: Rates) -> Float[Array, ""]:
    """Of the contraction."""
    most = jnp.max(jnp.max(r.fill, axis=0) + _unasked_rate(r))
    return most / (r.discount + most)


def action_values(r: Rates, value: Array) -> Float[Array, "actions levels outside"]:
    """What each action costs from each state on, if `value` is what comes after it."""
    paid = r.extra[:, None, None] + _below(value)[None]
    total = r.fill * paid + (r.running + _unasked(r, value))[None]
    return total / (r.fill + (r.discount + _unasked_rate(r))[None])


def backup(r: Rates, value: Array) -> Float[Array, "levels outside"]:
    """One sweep of the optimal policy's equation."""
    return jnp.min(action_values(r, value), axis=0)


def greedy(r: Rates, value: Array) -> Int32[Array, "levels outside"]:
    """The best action of each state; of two equal ones the more patient."""
    return jnp.argmin(action_values(r, value), axis=0).astype(jnp.int32)


def solve(r: Rates) -> Solved:
    """The least discounted cost in USD, by state."""
    return _sweep(lambda value: backup(r, value), jnp.zeros_like(r.running))


def time_to_flat(r: Rates, policy: Int32[Array, "levels outside"]) -> Solved:
    """Expected seconds until a policy is flat for the first time, not discounted.

    It is finite, since every action is filled in the end and the room ends.
    """
    fill = jnp.take_along_axis(r.fill, policy[None], axis=0)[0]

    def sweep(value: Array) -> Array:
        total = 1 + fill * _below(value) + _unasked(r, value)
        return (total / (fill + _unasked_rate(r))).at[0].set(0.0)

    return _sweep(sweep, jnp.zeros_like(r.running))


def _below(value: Array) -> Array:
    return jnp.concatenate([value[:1], value[:-1]])


def _unasked_rate(r: Rates) -> Array:
    """Total rate of what no action does."""
    return r.add + jnp.sum(r.jumps, axis=1)[None]


def _unasked(r: Rates, value: Array) -> Array:
    """Rates times values of where they lead, of what no action does."""
    from_flat = (value[1:2] + value[1:2] @ r.mirror.T) / 2
    above = jnp.concatenate([from_flat, value[2:], value[-1:]])
    return r.add * above + value @ r.jumps.T


def _sweep(step: Callable[[Array], Array], start: Array) -> Solved:
    """Sweeps until nothing changes to rounding."""
    limit = CLOSE * jnp.finfo(start.dtype).eps

    def is_open(at: Solved) -> Array:
        return (at.residual > limit) & (at.sweeps < MOST_SWEEPS)

    def one(at: Solved) -> Solved:
        new = step(at.value)
        change, size = jnp.max(jnp.abs(new - at.value)), jnp.max(jnp.abs(new))
        residual = change / jnp.where(size > 0, size, 1.0)
        return Solved(new, at.sweeps + 1, residual)

    inf = jnp.full((), jnp.inf, start.dtype)
    return jax.lax.while_loop(is_open, one, Solved(start, jnp.int32(0), inf))
