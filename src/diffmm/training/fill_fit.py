"""The fill model by likelihood: what became of probe quotes against the probability said of them.

A probe is filled within its life or not, and the surface says with probability

    P = 1 - (1 - P_u) (1 - P_o)

that flow that does not snipe us, or a public move before our cancel, fills it. The law of the
queue, the share of takers that meet the book we saw, the share of public moves that find us, and
how often and how far the market jumps (`NAMES`) are moved uphill on the mean log likelihood of all
probes of the fitting part, coins and lives pooled; the last block of each five minutes is left out
and only scored. The decay in depth stays: the queue ahead says nearly the same, and better. What
the engine saw at each probe is recorded once, since none of these parameters reaches it but through
fills of our own, and a probe has none. Source: ours; `tests/training/test_fill_fit.py`.
"""

import dataclasses
import functools as ft
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffmm.engine import chunks, graph, loop, probe_run, probing, run
from diffmm.evaluation import forecast, probe_scores
from diffmm.market import Tape
from diffmm.simulation import hard_fills, resting

from .coordinates import Coordinates


NAMES = (
    "belief.reach.queue_decay",
    "belief.reach.queue_tail",
    "pricing.takers_met",
    "pricing.sniping",
    "pricing.jump_rate",
    "pricing.jump_sigmas",
)


@dataclasses.dataclass(frozen=True)
class Config:
    """How a fit is made; nothing here reaches a quote.

    **Attributes:**

    - `lives_s`: of the probes, beside the engine's own quote life.
    - `probes`: where and how often they are placed.
    - `folds`, `block_s`: one block of time in so many is left out.
    - `steps`, `learning_rate`: of Adam, in prior scales.
    - `within`: most a chance may lack of certainty.
    """

    lives_s: tuple[float, ...] = (5.0,)
    probes: probe_run.Config = dataclasses.field(
        default_factory=lambda: probe_run.Config(every_s=2.0)
    )
    folds: int = 5
    block_s: float = 60.0
    steps: int = 200
    learning_rate: float = 0.2
    within: float = 1e-6


@dataclasses.dataclass(frozen=True)
class Sample:
    """Probes of one tape's fitting part.

    **Attributes:**

    - `asked`: what the surface is asked, stacked, one a moment.
    - `is_filled`: `[moments, lives, side, depths]`.
    - `weight`: 1 where the probe counts, `[moments, side, depths]`.
    - `is_left_out`: by moment.
    """

    asked: probing.Asked
    is_filled: np.ndarray
    weight: np.ndarray
    is_left_out: np.ndarray


def sample(
    tape: Tape,
    params: graph.Params,
    rule: hard_fills.Params,
    to: float,
    config: Config,
    engine: graph.Config,
    *,
    takers_have_limits: bool = False,
) -> Sample:
    """Probes on the first share `to` of a tape's time, and what became of them.

    Raises:
        ValueError: where no probe lives and dies within that part.
    """
    known = forecast.path(tape)
    end_s = to * known.time_s[-1]
    rows = int(np.searchsorted(known.time_s, end_s, side="right"))
    part = dataclasses.replace(tape, rows=tape.rows[:rows])
    known = forecast.path(part)
    lives = lives_of(params, config)
    fills = hard_fills.Config(tape.layout.slots, takers_have_limits=takers_have_limits)
    closed = loop.Config(engine, fills, tape.layout, tape.frame_rows)
    row, priced = probe_run.priced_rows(part, params, rule, lives, known, config.probes, closed)
    if not len(row):
        raise ValueError(f"{tape.instrument.coin}: no probe within {end_s:.0f} s")
    lot_usd = np.asarray(part.events().rules.lot_usd, np.float64)
    moment = np.floor(known.time_s[row] / config.probes.every_s).astype(int)
    phases = probe_run.phases(rule, lives, config.probes)
    placed = probe_run.place(row, priced, lot_usd, moment, phases)
    split = float(rule.queue_cancel_ahead)
    hits, _ = probe_run.fill(
        part, rule, placed, priced, lives, split, False, config.probes, takers_have_limits
    )
    nothing = np.zeros(len(known.time_s))
    filled = [probe_scores.filled(placed, one, nothing)[0] > 0 for one in hits]
    latency_s = float(rule.order_latency_ms) / resting.MS_PER_S
    until = known.time_s[row] + latency_s + max(lives) + config.probes.slack_s
    in_time = (until < known.time_s[-1])[:, None, None]
    block = (known.time_s[row] // config.block_s).astype(int) % config.folds
    return Sample(
        _asked(part, row, params, rule, lives, config, closed),
        np.stack(filled, axis=1),
        (priced.is_valid & in_time).astype(np.float32),
        block == config.folds - 1,
    )


def lives_of(params: graph.Params, config: Config) -> tuple[float, ...]:
    """The lives that are fitted: those asked for, and the engine's own."""
    own = float(params.pricing.cancel_latency_s + params.pricing.wake_interval_s)
    return (*config.lives_s, own)


def _asked(
    tape: Tape,
    row: np.ndarray,
    params: graph.Params,
    rule: hard_fills.Params,
    lives: tuple[float, ...],
    config: Config,
    closed: loop.Config,
) -> probing.Asked:
    """What the surface is asked at each probe."""
    stage = _watching(closed, config.probes.grid)
    given = probing.Params(params, rule, jnp.asarray(lives, params.pricing.sniping.dtype))
    parts = []
    for part, out in chunks.fold(stage, given, tape, unpack=chunks.as_packed()):
        here = row[(row >= part.start) & (row < part.stop)] - part.start
        parts.append(jax.tree.map(lambda x, here=here: x[here], out))
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


@ft.cache
def _watching(config: loop.Config, grid: probing.Grid) -> Any:
    return probing.build(config, grid, is_priced=False)


def fit(
    params: graph.Params, samples: Sequence[Sample], config: Config, engine: graph.Config
) -> tuple[graph.Params, dict[str, Any]]:
    """The parameters of the fill model that made the probes' fates likeliest.

    Returns:
        Params with the leaves of `NAMES` moved, and the mean log likelihood a probe, fitted and
        left out, at the start and at the end.
    """
    join = lambda pick: jax.tree.map(lambda *x: np.concatenate(x), *map(pick, samples))
    asked = join(lambda x: x.asked)
    filled = join(lambda x: x.is_filled).astype(np.float32)
    weight = join(lambda x: x.weight * ~x.is_left_out[:, None, None])
    apart = join(lambda x: x.weight * x.is_left_out[:, None, None])
    at = Coordinates.about(params, NAMES)
    lives = jnp.asarray(lives_of(params, config), params.pricing.sniping.dtype)
    depths = filled.shape[-1]

    def loss(z: Any, given: Any) -> tuple[Any, Any]:
        asked, filled, weight, apart = given
        p = jax.vmap(lambda x: chance(at.params(z), lives, x, depths, engine))(asked)
        p = jnp.clip(p, config.within, 1 - config.within)
        score = filled * jnp.log(p) + (1 - filled) * jnp.log1p(-p)
        mean = lambda w: jnp.sum(w[:, None] * score) / jnp.maximum(jnp.sum(w) * len(lives), 1)
        return -mean(weight), mean(apart)

    step = run.value_and_gradient(loss)
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    z = jnp.zeros(len(NAMES), jnp.float32)
    state, told = optimiser.init(z), []
    for _ in range(config.steps + 1):
        (value, left_out), gradient = step(z, (asked, filled, weight, apart))
        told.append({"fitted": -float(value), "left_out": float(left_out)})
        before = z
        move, state = optimiser.update(gradient, state)
        z = z + jnp.asarray(move)
    new = at.chosen(np.asarray(before), params)
    leaves = dict(zip(NAMES, _values(new), strict=True))
    return new, {"start": told[0], "end": told[-1], **leaves}


def chance(
    params: graph.Params, lives_s: Any, asked: probing.Asked, depths: int, engine: graph.Config
) -> Any:
    """P of every probe of one moment, `[lives, side, depths]`; to be differentiated."""
    s = _priced(params, lives_s, asked, engine)
    ours = lambda x: x[:, :, -depths:]
    return 1 - (1 - ours(s.fill)) * (1 - ours(s.sniped))


def _priced(params: graph.Params, lives_s: Any, asked: probing.Asked, engine: graph.Config) -> Any:
    """The surface of one moment, for each life."""
    nothing = graph.init_deciding(params, config=engine).pricing
    return probing.surfaces(params, lives_s, nothing, asked, config=engine.pricing)[1]


def _values(params: graph.Params) -> list[float]:
    found = []
    for name in NAMES:
        leaf: Any = params
        for part in name.split("."):
            leaf = getattr(leaf, part)
        found.append(float(leaf))
    return found
