"""Helpers over whole pytrees."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool


T = TypeVar("T")


def where(pred: Bool[Array, ""], on_true: T, on_false: T) -> T:
    """Select a whole pytree by one scalar predicate."""
    return jax.tree.map(lambda a, b: jnp.where(pred, a, b), on_true, on_false)


def all_finite(tree: object) -> Bool[Array, ""]:
    """Whether every floating leaf holds finite numbers only."""
    floating = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    if not floating:
        return jnp.array(True)
    # One reduction: each has a price in a live call.
    return jnp.all(jnp.isfinite(jnp.concatenate([jnp.ravel(x) for x in floating])))
