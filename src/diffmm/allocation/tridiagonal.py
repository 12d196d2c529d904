"""Symmetric tridiagonal systems by parallel cyclic reduction: `log2 n` vector steps, no LAPACK.

Source: Hockney (1965); stable without pivoting for diagonally dominant matrices.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def solve(
    diagonal: Float[Array, "*s n"],
    below: Float[Array, "*s n"],
    rhs: Float[Array, "k *s n"],
) -> Float[Array, "k *s n"]:
    """`x` with `below[i] x[i-1] + diagonal[i] x[i] + below[i+1] x[i+1] = rhs[i]`.

    Args:
        diagonal: main diagonal, positive and dominant.
        below: sub-diagonal; `below[..., 0]` is ignored.
        rhs: right-hand sides, stacked first.
    """
    n = diagonal.shape[-1]
    shift = lambda x, by, fill: _shift(x, by, fill)
    lower = jnp.concatenate([jnp.zeros_like(below[..., :1]), below[..., 1:]], axis=-1)
    upper = shift(lower, -1, 0.0)
    step = 1
    while step < n:
        alpha = -lower / shift(diagonal, step, 1.0)
        gamma = -upper / shift(diagonal, -step, 1.0)
        rhs = rhs + alpha[None] * shift(rhs, step, 0.0) + gamma[None] * shift(rhs, -step, 0.0)
        diagonal = diagonal + alpha * shift(upper, step, 0.0) + gamma * shift(lower, -step, 0.0)
        lower, upper = alpha * shift(lower, step, 0.0), gamma * shift(upper, -step, 0.0)
        step *= 2
    return rhs / diagonal[None]


def _shift(x: Float[Array, "*s n"], by: int, fill: float) -> Float[Array, "*s n"]:
    """`y[i] = x[i - by]`, `fill` where there is none."""
    pad = jnp.full((*x.shape[:-1], abs(by)), fill, x.dtype)
    if by > 0:
        return jnp.concatenate([pad, x[..., :-by]], axis=-1)
    return jnp.concatenate([x[..., -by:], pad], axis=-1)
