"""A pytree as one vector and back: one buffer crosses into a compiled step, not a hundred.

Dispatch costs by the leaf, and a loop over one vector compiles into one kernel. Integers are ticks,
lots and flags below the largest integer that the vector's dtype holds exactly.
"""

import dataclasses
import functools as ft
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Packing:
    """Shapes and dtypes of a tree's leaves, and its structure."""

    leaves: tuple[jax.ShapeDtypeStruct, ...]
    structure: Any

    @classmethod
    def of(cls, tree: Any) -> "Packing":
        """The packing of trees shaped like this one; only shapes and dtypes are read."""
        leaves, structure = jax.tree.flatten(tree)
        shapes = tuple(jax.ShapeDtypeStruct(np.shape(x), x.dtype) for x in leaves)
        return cls(shapes, structure)

    @property
    def width(self) -> int:
        """Length of the vector."""
        return sum(math.prod(x.shape) for x in self.leaves)

    @property
    def shapes(self) -> Any:
        """A tree of shapes and dtypes."""
        return jax.tree.unflatten(self.structure, self.leaves)

    def pack(self, tree: Any, dtype: Any) -> Float[Array, " width"]:
        """The leaves one after the other, inside a trace."""
        return jnp.concatenate([jnp.ravel(x).astype(dtype) for x in jax.tree.leaves(tree)])

    def pack_host(self, tree: Any, dtype: Any) -> np.ndarray:
        """The same on the host."""
        leaves = [np.ravel(x).astype(dtype) for x in jax.tree.leaves(tree)]
        return np.concatenate([np.zeros(0, dtype), *leaves])

    @ft.cached_property
    def _parts(self) -> tuple[tuple[slice, tuple[int, ...], np.dtype], ...]:
        parts, at = [], 0
        for leaf in self.leaves:
            end = at + math.prod(leaf.shape)
            parts.append((slice(at, end), leaf.shape, np.dtype(leaf.dtype)))
            at = end
        return tuple(parts)

    def split(self, vector: Any) -> list[Any]:
        """A vector, or a batch with the vector last, to the leaves; on the host or in a trace."""
        out, batch = [], vector.shape[:-1]
        for at, shape, dtype in self._parts:
            part = vector[..., at].reshape(batch + shape)
            if dtype != vector.dtype:
                part = part != 0 if dtype == np.bool_ else part.astype(dtype)
            out.append(part)
        return out

    def unpack(self, vector: Any) -> Any:
        """A vector, or a batch with the vector last, to the tree; on the host or in a trace."""
        return jax.tree.unflatten(self.structure, self.split(vector))
