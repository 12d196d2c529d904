"""Parameters as one vector whose every number has the same scale before anything is known.

A coordinate is the unconstrained value less that of the point, over its prior scale: near the point
a factor e for a positive parameter, one in log odds for a share, its starting value (or one) for a
real number. Farther down a positive parameter falls faster: 60 s are 0.7 s one step below.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmm.core import constrain, declarations, POSITIVE, REAL, unconstrain
from diffmm.engine import graph


@dataclasses.dataclass(frozen=True)
class Coordinates:
    """The scalar leaves of some names about a point.

    **Attributes:**

    - `names`: dotted paths.
    - `raw`: unconstrained leaves of the point.
    - `at`: which leaf each coordinate moves.
    - `scale`: unconstrained units to one of a coordinate.
    """

    names: tuple[str, ...]
    raw: graph.Params
    at: tuple[int, ...]
    scale: np.ndarray

    @classmethod
    def about(cls, params: graph.Params, names: Sequence[str]) -> "Coordinates":
        """Coordinates that are zero at `params`.

        Raises:
            ValueError: for a name that is no trainable scalar.
        """
        leaves, declared = jax.tree.leaves(params), list(declarations(params))
        places = {
            path: k
            for k, (path, told) in enumerate(declared)
            if told["trainable"] and leaves[k].ndim == 0
        }
        if unknown := sorted(set(names) - set(places)):
            raise ValueError(f"{', '.join(unknown)}: expected trainable scalars of the engine")
        at = tuple(places[name] for name in names)
        scale = [_scale(float(leaves[k]), declared[k][1]) for k in at]
        return cls(tuple(names), unconstrain(params), at, np.array(scale))

    def params(self, z: Float[Array, " n"]) -> graph.Params:
        """The parameters at a vector of coordinates; to be differentiated."""
        leaves, structure = jax.tree.flatten(self.raw)
        for k, scale, moved in zip(self.at, self.scale, z, strict=True):
            leaves[k] = leaves[k] + jnp.asarray(scale, leaves[k].dtype) * moved
        return constrain(jax.tree.unflatten(structure, leaves))

    def chosen(self, z: np.ndarray, start: graph.Params) -> graph.Params:
        """The parameters at `z`; a leaf that no coordinate moves keeps the bits of `start`.

        The way to the unconstrained line and back rounds.
        """
        moved = jax.tree.leaves(self.params(jnp.asarray(z, jnp.float32)))
        leaves, structure = jax.tree.flatten(start)
        for k in self.at:
            leaves[k] = moved[k]
        return jax.tree.unflatten(structure, leaves)


def _scale(value: float, declared: Any) -> float:
    domain = declared["domain"]
    if domain is POSITIVE:
        return value * float(jax.grad(domain.inverse)(jnp.asarray(value)))
    if domain is REAL:
        return abs(float(np.asarray(declared["default"]))) or 1.0
    return 1.0
