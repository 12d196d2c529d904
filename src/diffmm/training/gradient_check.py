"""Is the gradient through fills the gradient of what fills do? Against differences of hard runs.

Both of the same paths and draws: the relaxed run is differentiated once, the hard one is played at
two distances to either side of every coordinate. Sums are in float64. Source: ours.
"""

import dataclasses
import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffmm.core import defaults
from diffmm.engine import graph, run, soft_loop
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.simulation import paths, soft_fills, World
from diffmm.simulation.taker_law import Law

from .coordinates import Coordinates


NAMES = (
    "features.rate_memory_s",
    "features.prior_exposure_s",
    "features.prior_trade_share",
    "features.prior_sigma_half_spreads",
    "features.variance_memory_s",
    "features.fair_noise_spread",
    "belief.dynamics.informed_mean",
    "belief.reach.depth_decay",
    "belief.reach.queue_decay",
    "belief.reach.queue_tail",
    "belief.tail",
    "belief.signal_noise",
    "belief.informed_size",
    "belief.prior_v_half_spreads",
    "risk.kelly_fraction",
    "risk.convexity",
    "risk.holding_s",
    "pricing.cancel_latency_s",
    "pricing.wake_interval_s",
    "pricing.sniping",
    "pricing.taking",
    "pricing.impact",
    "pricing.impact_power",
    "pricing.offset_bp",
    "pricing.reference_prints",
    "allocation.message_usd",
)
"""Parameters of every stage that has some; each moves a quote of a short run."""

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
    """A world's runs; the relaxed gradient and the hard value of a block, compiled on first use."""

    def __init__(self, world: World, params: graph.Params, config: Config) -> None:
        self.config, self.loop = config, soft_loop.Config.small()
        self.account = AccountInputs(wealth_usd=config.wealth_usd, room_usd=config.room_usd)
        self.world, self.asked = world, defaults(soft_loop.Params)
        self.law = Law.of(world, self.account.taker_fee_bp)
        self.at = Coordinates.about(params, NAMES)

    @ft.cached_property
    def hard(self) -> Any:
        """`(z, block) -> utility [paths]` of hard runs."""
        return self._compiled(ft.partial(self._utility, is_hard=True))

    @ft.cached_property
    def gradient(self) -> Any:
        """`(z, block) -> gradient [paths, coordinates]` of relaxed runs."""
        return self._compiled(jax.grad(ft.partial(self._utility, is_hard=False)))

    def _compiled(self, fn: Any) -> Any:
        z = jnp.zeros(len(NAMES), jnp.float32)
        return run.each_path(fn, self.config.lanes).lower(z, self.draw(0)).compile()

    def _utility(self, z: Any, given: Any, *, is_hard: bool) -> Any:
        path, draws = given
        asked = self.asked
        fill = soft_fills.hard if is_hard else soft_fills.relaxed(asked.fills.temperature)
        choice = None if is_hard else asked.replace.temperature
        params = self.at.params(z)
        return soft_loop.play(params, asked, self.law, path, draws, fill, choice, config=self.loop)[
            0
        ]

    def draw(self, seed: int) -> Any:
        """One block of paths and draws."""
        config = self.config
        encoder = EncoderConfig(layout=self.loop.layout)
        found = paths.draw(self.world, seed, config.block, config.frames, self.account, encoder)
        shape = found.frames.shape[:3]
        return found, soft_fills.noise(jax.random.key(seed), shape, jnp.float32)

    def near(self, z: np.ndarray) -> np.ndarray:
        """Where some steps of Adam lead from `z`."""
        optimiser = optax.adam(self.config.learning_rate)
        at = jnp.asarray(z, jnp.float32)
        state = optimiser.init(at)
        for k in range(self.config.steps):
            up = self.call(self.gradient, np.asarray(at), self.draw(NEAR_SEED + k)).mean(axis=0)
            move, state = optimiser.update(jnp.asarray(-up, jnp.float32), state)
            at = at + jnp.asarray(move)
        return np.asarray(at, np.float64)

    def call(self, fn: Any, z: np.ndarray, block: Any) -> np.ndarray:
        """`hard` or `gradient` in float64."""
        return np.asarray(fn(jnp.asarray(z, jnp.float32), block), np.float64)

    def compare(self, z: np.ndarray, blocks: int) -> "Compared":
        """Gradients by path, `[paths, coordinates]`, relaxed and by differences."""
        found, differences = [], []
        for block in (self.draw(seed) for seed in range(blocks)):
            found.append(self.call(self.gradient, z, block))
            value = lambda at, block=block: self.call(self.hard, at, block)
            slopes = [
                [(value(z + h * e) - value(z - h * e)) / (2 * h) for e in np.eye(len(z))]
                for h in self.config.distances
            ]
            differences.append(np.moveaxis(np.array(slopes), 1, 2))
        return Compared(np.concatenate(found), np.concatenate(differences, axis=1))

    def bytes_per_event(self) -> float:
        """Temporary memory of the gradient over the rows of a block."""
        rows = int(np.sum(self.loop.layout.unpack(self.draw(0)[0].frames).is_valid))
        return self.gradient.memory_analysis().temp_size_in_bytes / rows


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
