"""Control on a grid of inventories whose Bellman equation is linear after one substitution.

With fills at rate `A exp(-k depth)` the value function's exponential solves

    v' = M v  backwards from v(T),   M = diag(d) + below (q -> q - 1) + above (q -> q + 1)
    ask(q) = a + (1/k) log(v_q / v_{q-1}),   bid(q) = b + (1/k) log(v_q / v_{q+1})

At the end of the grid the side that would leave it is withdrawn: its depth is infinite.
Source: Gueant, Lehalle & Fernandez-Tapia (2013), eq. 3.10; tested against an ODE solver.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Depths(NamedTuple):
    """Distances from the mid by inventory; infinite where a side is withdrawn."""

    bid: Float[Array, "inventories"]
    ask: Float[Array, "inventories"]


def inventories(most: int, dtype: jnp.dtype | type) -> Float[Array, "inventories"]:
    """`-most, ..., most` lots."""
    return jnp.arange(-most, most + 1).astype(dtype)


def log_value(
    diagonal: Float[Array, "inventories"],
    sells: Float[Array, ""],
    buys: Float[Array, ""],
    terminal: Float[Array, "inventories"],
    horizon: Float[Array, ""],
) -> Float[Array, "inventories"]:
    """`log v` with `horizon` to go, up to a constant.

    Args:
        diagonal: d.
        sells: entry from q to q - 1, an ask that is lifted.
        buys: entry from q to q + 1.
        terminal: `log v(T)`.
        horizon: time to go.
    """
    n = len(diagonal)
    eye = jnp.eye(n, dtype=diagonal.dtype)
    below, above = jnp.eye(n, k=-1, dtype=eye.dtype), jnp.eye(n, k=1, dtype=eye.dtype)
    matrix = eye * diagonal[:, None] + sells * below + buys * above
    # No eigenvalue is beyond the largest row sum; without it the exponential overflows.
    most = jax.lax.stop_gradient(jnp.max(jnp.sum(matrix, axis=1)))
    v = jax.scipy.linalg.expm((matrix - most * eye) * horizon) @ jnp.exp(terminal)
    return jnp.log(v)


def depths(
    log_v: Float[Array, "inventories"],
    k: Float[Array, ""],
    bid: Float[Array, ""],
    ask: Float[Array, ""],
) -> Depths:
    """Quotes of a value function.

    Args:
        log_v: as `log_value`.
        k: decay of the fill rate.
        bid: b, depth of the bid without inventory's part.
        ask: a.
    """
    step = (log_v[1:] - log_v[:-1]) / k
    never = jnp.full_like(log_v[:1], jnp.inf)
    return Depths(
        jnp.concatenate([bid - step, never]),
        jnp.concatenate([never, ask + step]),
    )
