"""The fill model by likelihood: what became of probe quotes against the probability said of them.

A probe is filled within its life or not, and the surface says with probability

    P = 1 - (1 - P_u) (1 - P_o)

that flow that does not snipe us, or a public move before our cancel, fills it. The law of the
queue and how it erodes, the share of takers that meet the book we saw, the share of public moves
that find us, and how often and how far the market jumps (`NAMES`) are moved uphill on the mean log
likelihood of all probes of the fitting part, coins and lives pooled; the last block of each five
minutes is left out and only scored. The decay in depth stays: on a recording the queue ahead says
nearly the same, and better.

In a generative world V is known, and with it what each fill was worth. There the decay in depth,
the share of informed takers and the noise of what they know (`EDGES`) are moved too, and the score
of a filled probe gains that of its edge, normal about

    E[edge | filled] = (P_u (edge - gm) - option) / (P_u + P_o)

with the variance that the edges have about it in the fitting part at the start. A later mid, all
that a recording has, says too little of them. What the engine saw at each probe is recorded
once, since none of these parameters reaches it but through fills of our own and public prints, and
what prints taught stays as it was recorded: where they teach, a fit is repeated on what the belief
makes of its own outcome (`diffmm fit --rounds`). Source: ours; `tests/training/test_fill_fit.py`.
"""

import dataclasses
import functools as ft
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffmm import belief
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
    "pricing.queue_erosion",
)
EDGES = ("belief.reach.depth_decay", "belief.dynamics.informed_mean", "belief.signal_noise")
"""Of a generative world, beside those."""


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
    - `edge_bp`: of what was filled, at the true V; 0 where nothing was, and without meaning on a
      recording.
    - `weight`: 1 where the probe counts, `[moments, side, depths]`.
    - `is_left_out`: by moment.
    - `has_truth`: whether the edges are at the true V.
    """

    asked: probing.Asked
    is_filled: np.ndarray
    edge_bp: np.ndarray
    weight: np.ndarray
    is_left_out: np.ndarray
    has_truth: bool = False


def sample(
    tape: Tape,
    params: graph.Params,
    rule: hard_fills.Params,
    to: float,
    config: Config,
    engine: graph.Config,
    *,
    truth_bp: np.ndarray | None = None,
) -> Sample:
    """Probes on the first share `to` of a tape's time, and what became of them.

    Args:
        tape: a market.
        params: of the engine.
        rule: latencies and the cancel split.
        to: share of the tape that is fitted on.
        config: of the fit.
        engine: static choices of its stages.
        truth_bp: true V at each row of a generative world, whose takers carry limits.

    Raises:
        ValueError: where no probe lives and dies within that part.
    """
    known, takers_have_limits = forecast.path(tape), truth_bp is not None
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
    # Only a world says what a fill was worth.
    mark_bp = np.zeros(rows) if truth_bp is None else truth_bp[:rows]
    anchor_bp = -np.cumsum(np.asarray(part.events().shift_bp, np.float64))[row]
    filled = [probe_scores.filled(placed, one, mark_bp) for one in hits]
    edge = [probe_scores.edge_bp(priced.price_bp, anchor_bp, *one) for one in filled]
    latency_s = float(rule.order_latency_ms) / resting.MS_PER_S
    until = known.time_s[row] + latency_s + max(lives) + config.probes.slack_s
    in_time = (until < known.time_s[-1])[:, None, None]
    block = (known.time_s[row] // config.block_s).astype(int) % config.folds
    return Sample(
        _asked(part, row, params, rule, lives, config, closed),
        np.stack([lots > 0 for lots, _ in filled], axis=1),
        np.stack(edge, axis=1).astype(np.float32),
        (priced.is_valid & in_time).astype(np.float32),
        block == config.folds - 1,
        takers_have_limits,
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
        Params with the leaves of `NAMES` moved, in worlds those of `EDGES` too, and the mean score
        a probe, fitted and left out, at the start and at the end.

    Raises:
        ValueError: for samples of recordings and of worlds together, or a world without a fill.
    """
    has_truth = samples[0].has_truth
    if any(x.has_truth != has_truth for x in samples):
        raise ValueError("found recordings beside worlds, expected one kind: fit them apart")
    names = NAMES + EDGES if has_truth else NAMES
    join = lambda pick: jax.tree.map(lambda *x: np.concatenate(x), *map(pick, samples))
    asked = join(lambda x: x.asked)
    filled, edge = join(lambda x: x.is_filled).astype(np.float32), join(lambda x: x.edge_bp)
    weight = join(lambda x: x.weight * ~x.is_left_out[:, None, None])
    apart = join(lambda x: x.weight * x.is_left_out[:, None, None])
    at = Coordinates.about(params, names)
    lives = jnp.asarray(lives_of(params, config), params.pricing.sniping.dtype)
    depths = filled.shape[-1]

    def said(z: Any, asked: Any) -> tuple[Any, Any]:
        moved = lambda x: _told(x, params, at.params(z))
        return jax.vmap(lambda x: outcome(at.params(z), lives, moved(x), depths, engine))(asked)

    def loss(z: Any, given: Any) -> tuple[Any, Any]:
        asked, filled, edge, weight, apart, var = given
        p, worth = said(z, asked)
        p = jnp.clip(p, config.within, 1 - config.within)
        score = filled * jnp.log(p) + (1 - filled) * jnp.log1p(-p)
        if has_truth:
            score = score - filled * ((edge - worth) ** 2 / var + jnp.log(var)) / 2
        mean = lambda w: jnp.sum(w[:, None] * score) / jnp.maximum(jnp.sum(w) * len(lives), 1)
        return -mean(weight), mean(apart)

    z = jnp.zeros(len(names), jnp.float32)
    counts = filled * weight[:, None]
    if has_truth and not counts.any():
        raise ValueError("no probe of these worlds was filled, expected some: give more --seeds")
    # The noise of an edge is what the model at the start leaves unexplained.
    off = edge - np.asarray(said(z, asked)[1]) if has_truth else edge
    var = np.float32((counts * off**2).sum() / counts.sum() if has_truth else 1.0)
    step = run.value_and_gradient(loss)
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    state, told = optimiser.init(z), []
    for _ in range(config.steps + 1):
        (value, left_out), gradient = step(z, (asked, filled, edge, weight, apart, var))
        told.append({"fitted": -float(value), "left_out": float(left_out)})
        before = z
        move, state = optimiser.update(gradient, state)
        z = z + jnp.asarray(move)
    new = at.chosen(np.asarray(before), params)
    leaves = dict(zip(names, _values(new, names), strict=True))
    return new, {"start": told[0], "end": told[-1], **leaves}


def outcome(
    params: graph.Params, lives_s: Any, asked: probing.Asked, depths: int, engine: graph.Config
) -> tuple[Any, Any]:
    """P, and the edge that a fill is said to have, of every probe of one moment.

    Both are `[lives, side, depths]`, to be differentiated; the edge is that of
    `evaluation.probe_scores`.
    """
    s = _priced(params, lives_s, asked, engine)
    ours = lambda x: x[:, :, -depths:]
    fill, sniped = ours(s.fill), ours(s.sniped)
    either = fill + sniped + jnp.finfo(fill.dtype).tiny ** 0.5
    worth = (fill * (ours(s.edge_bp) - ours(s.gm_bp)) - ours(s.option_bp)) / either
    return 1 - (1 - fill) * (1 - sniped), worth


def _told(asked: probing.Asked, before: graph.Params, after: graph.Params) -> probing.Asked:
    """What was asked, the logit of the informed about the new mean in place of the old."""
    moved = after.belief.dynamics.informed_mean - before.belief.dynamics.informed_mean
    mean = asked.belief.mean.at[belief.INFORMED].add(moved)
    return dataclasses.replace(asked, belief=dataclasses.replace(asked.belief, mean=mean))


def _priced(params: graph.Params, lives_s: Any, asked: probing.Asked, engine: graph.Config) -> Any:
    """The surface of one moment, for each life."""
    nothing = graph.init_deciding(params, config=engine).pricing
    return probing.surfaces(params, lives_s, nothing, asked, config=engine.pricing)[1]


def _values(params: graph.Params, names: Sequence[str]) -> list[float]:
    found = []
    for name in names:
        leaf: Any = params
        for part in name.split("."):
            leaf = getattr(leaf, part)
        found.append(float(leaf))
    return found
