"""A world's short runs as a function of some parameters: hard, and relaxed with a gradient.

`gradient_check`, `ascent` and the searches without gradients see the same function of the same
random numbers. Every block is drawn from its own seed, so a block can be drawn again at any time.
"""

import dataclasses
import functools as ft
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmm.engine import graph, run, soft_loop
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.simulation import paths, soft_fills, World
from diffmm.simulation.taker_law import Law

from . import path_likelihood
from .coordinates import Coordinates
from .path_likelihood import Grid


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

KEPT = 64
"""Blocks in memory."""
WHERE = Grid()
NS = 1e9


class Problem:
    """Utilities of blocks of runs at a vector of coordinates, compiled on first use."""

    def __init__(
        self,
        world: World,
        start: graph.Params,
        *,
        names: Sequence[str],
        asked: soft_loop.Params,
        loop: soft_loop.Config,
        account: AccountInputs,
        frames: int,
        block: int,
        lanes: int,
        devices: Sequence[Any] | None = None,
        grid: Grid = WHERE,
    ) -> None:
        """Nothing is drawn or compiled yet.

        Args:
            world: its laws.
            start: the parameters at zero.
            names: the coordinates, trainable scalars.
            asked: objective and relaxation.
            loop: sizes.
            account: what the events say of it.
            frames: of a run, a multiple of `loop.chunk`.
            block: runs of one compiled call, a multiple of `lanes`.
            lanes: runs side by side; those of one kernel are shared out among `devices`.
            devices: all that there are, if more than one is to be used.
            grid: where the likelihood is taken, if it is asked for.

        Raises:
            ValueError: for a name that is no trainable scalar, or numbers that do not divide.
        """
        if frames % loop.chunk:
            raise ValueError(f"{frames} frames, expected a multiple of {loop.chunk}")
        if block % lanes:
            raise ValueError(f"{block} runs a block, expected a multiple of {lanes} side by side")
        self.world, self.start, self.asked, self.loop = world, start, asked, loop
        self.account, self.frames, self.block, self.lanes = account, frames, block, lanes
        self.devices, self.grid = devices, grid
        self.law = Law.of(world, account.taker_fee_bp)
        self.at = Coordinates.about(start, names)
        self._drawn: dict[int, Any] = {}
        self._moments: dict[int, path_likelihood.Moments] = {}

    @ft.cached_property
    def hard(self) -> Any:
        """`(theta, block) -> utility [paths]` of hard runs; `theta` begins with z."""
        return self._compiled(ft.partial(self._utility, is_hard=True), self.draw(0))

    @ft.cached_property
    def gradient(self) -> Any:
        """`(theta, block) -> (utility [paths], gradient [paths, coordinates])`, relaxed."""
        relaxed = ft.partial(self._utility, is_hard=False)
        return self._compiled(jax.value_and_grad(relaxed), self.draw(0))

    @ft.cached_property
    def likelihood(self) -> Any:
        """`(theta, scored) -> L [paths]`, nats a moment, see `path_likelihood`."""
        return self._compiled(self._log_likelihood, self.scored(0))

    @ft.cached_property
    def likelihood_gradient(self) -> Any:
        """`(theta, scored) -> (L [paths], gradient [paths, coordinates])`."""
        return self._compiled(jax.value_and_grad(self._log_likelihood), self.scored(0))

    def _compiled(self, fn: Any, like: Any) -> Any:
        each = run.each_path(lambda theta, path: fn(*theta, path), self.lanes, self.devices)
        return each.lower(self._theta(np.zeros(len(self.at.names))), like).compile()

    def _theta(self, z: np.ndarray) -> Any:
        """What the compiled programs read: every world and every start share them."""
        return jnp.asarray(z, jnp.float32), self.at.raw, self.law, self.asked

    def _utility(
        self, z: Any, raw: Any, law: Law, asked: soft_loop.Params, given: Any, *, is_hard: bool
    ) -> Any:
        path, draws = given
        params = dataclasses.replace(self.at, raw=raw).params(z)
        fill = soft_fills.hard if is_hard else soft_fills.relaxed(asked.fills.temperature)
        choice = None if is_hard else asked.replace.temperature
        return soft_loop.play(params, asked, law, path, draws, fill, choice, config=self.loop)[0]

    def _log_likelihood(
        self, z: Any, raw: Any, law: Law, asked: soft_loop.Params, given: Any
    ) -> Any:
        params = dataclasses.replace(self.at, raw=raw).params(z)
        return path_likelihood.log_likelihood(params, *given, config=self.loop)

    def draw(self, seed: int) -> Any:
        """One block of runs and draws; the latest are kept, since they are looked at again."""
        return _kept(self._drawn, seed, self._draw)

    def scored(self, seed: int) -> Any:
        """Rows of a block and the moments in them whose future is predicted."""
        return self.draw(seed)[0].frames, _kept(self._moments, seed, self._moments_of)

    def _moments_of(self, seed: int) -> path_likelihood.Moments:
        frame_s = EncoderConfig(layout=self.loop.layout).timer_ns / NS
        frames = self.draw(seed)[0].frames
        return path_likelihood.moments(frames, self.loop.layout, self.grid, frame_s)

    def _draw(self, seed: int) -> Any:
        encoder = EncoderConfig(layout=self.loop.layout)
        found = paths.draw(self.world, seed, self.block, self.frames, self.account, encoder)
        shape = found.frames.shape[:3]
        return found, soft_fills.noise(jax.random.key(seed), shape, jnp.float32)

    def utilities(self, z: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Of the hard runs of some blocks, float64, `[paths]`."""
        at = self._theta(z)
        return np.concatenate([_float64(self.hard(at, self.draw(k))) for k in seeds])

    def slopes(self, z: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Utilities `[paths]` and gradients `[paths, coordinates]` of a relaxed block, float64."""
        found = self.gradient(self._theta(z), self.draw(seed))
        return _float64(found[0]), _float64(found[1])

    def log_likelihoods(self, z: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """L of the paths of some blocks, float64, `[paths]`."""
        at = self._theta(z)
        each = (_float64(self.likelihood(at, self.scored(k))) for k in seeds)
        return np.concatenate(list(each))

    def likelihood_slopes(self, z: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """L `[paths]` and its gradients `[paths, coordinates]` of a block, float64."""
        found = self.likelihood_gradient(self._theta(z), self.scored(seed))
        return _float64(found[0]), _float64(found[1])

    def events(self, seed: int) -> int:
        """Events of a block, without the rows that only fill a frame."""
        return int(np.sum(self.loop.layout.unpack(self.draw(seed)[0].frames).is_valid))

    def bytes_per_event(self) -> float:
        """Temporary memory of the gradient over the events of a block."""
        return self.gradient.memory_analysis().temp_size_in_bytes / self.events(0)


def _float64(out: jax.Array) -> np.ndarray:
    return run.fetch(out).astype(np.float64)


def _kept(store: dict[int, Any], seed: int, make: Callable[[int], Any]) -> Any:
    """From the store, or made and kept there; the oldest goes."""
    if seed not in store:
        while len(store) >= KEPT:
            store.pop(next(iter(store)))
        store[seed] = make(seed)
    return store[seed]
