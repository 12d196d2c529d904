"""Is the gradient through fills the gradient of what fills do? Against differences of hard runs.

Both of the same paths and draws: the relaxed run is differentiated once, the hard one is played at
two distances to either side of every coordinate. Sums are in float64. Source: ours.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from diffmm.core import defaults
from diffmm.engine import graph, soft_loop
from diffmm.market import AccountInputs
from diffmm.simulation import World

from .problem import NAMES, Problem


NEAR_SEED = 10_000
"""Blocks from here on lead to the near point; those before it are compared on."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How the comparison is made; nothing here reaches a quote.

    **Attributes:**

    - `frames`: of a path.
    - `distances`: of the finite differences, in coordinates.
    - `lanes`, `block`: paths side by side, and paths of one compiled call.
    - `room_usd`, `wealth_usd`: the account's; inventory matters within a short run.
    - `steps`, `learning_rate`: of Adam on the way to the near point.
    """

    frames: int = 32
    distances: tuple[float, float] = (0.1, 0.2)
    lanes: int = 16
    block: int = 64
    room_usd: float = 3_000.0
    wealth_usd: float = 3_000.0
    steps: int = 20
    learning_rate: float = 0.1


class Check:
    """A problem, and its gradient by blocks, relaxed and by differences."""

    def __init__(self, world: World, params: graph.Params, config: Config) -> None:
        self.config = config
        self.problem = Problem(
            world,
            params,
            names=NAMES,
            asked=defaults(soft_loop.Params),
            loop=soft_loop.Config.small(),
            account=AccountInputs(wealth_usd=config.wealth_usd, room_usd=config.room_usd),
            frames=config.frames,
            block=config.block,
            lanes=config.lanes,
        )

    def near(self, z: np.ndarray) -> np.ndarray:
        """Where some steps of Adam lead from `z`."""
        optimiser = optax.adam(self.config.learning_rate)
        at = jnp.asarray(z, jnp.float32)
        state = optimiser.init(at)
        for k in range(self.config.steps):
            up = self.problem.slopes(np.asarray(at), NEAR_SEED + k)[1].mean(axis=0)
            move, state = optimiser.update(jnp.asarray(-up, jnp.float32), state)
            at = at + jnp.asarray(move)
        return np.asarray(at, np.float64)

    def compare(self, z: np.ndarray, blocks: int) -> "Compared":
        """Gradients by path, `[paths, coordinates]`, relaxed and by differences."""
        found, differences = [], []
        for seed in range(blocks):
            found.append(self.problem.slopes(z, seed)[1])
            value = lambda at, seed=seed: self.problem.utilities(at, [seed])
            slopes = [
                [(value(z + h * e) - value(z - h * e)) / (2 * h) for e in np.eye(len(z))]
                for h in self.config.distances
            ]
            differences.append(np.moveaxis(np.array(slopes), 1, 2))
        return Compared(np.concatenate(found), np.concatenate(differences, axis=1))


@dataclasses.dataclass(frozen=True)
class Compared:
    """Gradients of every path.

    **Attributes:**

    - `relaxed`: `[paths, coordinates]`, USD a unit.
    - `differences`: the same of the hard runs, `[distances, paths, coordinates]`.
    """

    relaxed: np.ndarray
    differences: np.ndarray

    def summary(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The figures that are judged, against the smaller distance; the other stands beside.

        Where the two differ the mean utility bends or steps within them.
        """
        each = self.differences[0]
        ours, theirs = self.relaxed.mean(axis=0), each.mean(axis=0)
        n = np.sqrt(len(each))
        error, apart = each.std(axis=0) / n, (self.relaxed - each).std(axis=0) / n
        noise = float(np.sum(error**2))
        signal = max(float(theirs @ theirs) - noise, 0.0)
        by_distance = self.differences.mean(axis=1)
        return {
            "cosine": _cosine(ours, theirs),
            "norm_ratio": float(np.linalg.norm(ours) / np.linalg.norm(theirs)),
            "cosine_if_exact": float(np.sqrt(signal / (signal + noise))),
            "cosine_between_distances": _cosine(*by_distance),
            "cosine_by_distance": [_cosine(ours, x) for x in by_distance],
            "parameters": [
                {
                    "name": name,
                    "autodiff": float(ours[k]),
                    "finite_difference": float(theirs[k]),
                    "finite_difference_farther": float(by_distance[1][k]),
                    "standard_error": float(apart[k]),
                    "z": float((ours[k] - theirs[k]) / apart[k]) if apart[k] > 0 else None,
                }
                for k, name in enumerate(names)
            ],
            "estimator_variance": float(np.sum(self.relaxed.var(axis=0)) / (ours @ ours)),
            "difference_variance": float(np.sum(each.var(axis=0)) / (theirs @ theirs)),
        }


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
