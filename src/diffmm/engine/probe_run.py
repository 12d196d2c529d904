"""Probe quotes over a whole tape: priced by the surface, then filled under every stated rule."""

import dataclasses
import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmm.evaluation import forecast, probe_scores
from diffmm.evaluation.probe_scores import Hits, Outcomes, Placed, Said
from diffmm.market import Kind, Layout, Tape
from diffmm.simulation import hard_fills, quote_probes, resting

from . import chunks, graph, loop, probing


@dataclasses.dataclass(frozen=True)
class Config:
    """How probes are placed, and the fill rules they are tried under.

    **Attributes:**

    - `grid`: where.
    - `every_s`: distance of the moments; a probe is placed at the first wake after each.
    - `warm_s`: start of a tape that the belief needs.
    - `slack_s`: a lane is free this long after its probe's life, for the lag of the feed.
    - `splits`: shares of cancels in front of us.
    - `on_touch`: whether an opposite touch that reaches us fills us too.
    """

    grid: probing.Grid = dataclasses.field(default_factory=probing.Grid)
    every_s: float = 1.0
    warm_s: float = 30.0
    slack_s: float = 2.0
    splits: tuple[float, ...] = (0.0, 0.5, 1.0)
    on_touch: tuple[bool, ...] = (False, True)


@dataclasses.dataclass(frozen=True)
class Marks:
    """What a fill at each row is marked at, in the coordinate of `forecast.Path.mid_bp`.

    **Attributes:**

    - `bp`: by row.
    - `after_s`: how long after a fill the mark is known.
    """

    bp: np.ndarray
    after_s: float


@dataclasses.dataclass(frozen=True)
class Rule:
    """One way to fill: a life, who is filled by what, and the cancel split."""

    life_s: float
    on_touch: bool
    split: float


@dataclasses.dataclass(frozen=True)
class Window:
    """Which probes count: placed from `start_s`, everything about them known by `end_s`."""

    start_s: float
    end_s: float


def marks_at_mid(known: forecast.Path, after_s: float) -> Marks:
    """The mid `after_s` after each row."""
    return Marks(known.mid_bp[known.row_at(known.time_s + after_s)], after_s)


def run_probes(
    tape: Tape,
    params: graph.Params,
    rule: hard_fills.Params,
    marks: Marks,
    lives_s: tuple[float, ...],
    window: Window,
    *,
    config: Config,
    engine: graph.Config,
    takers_have_limits: bool,
    group: int = 0,
) -> tuple[dict[Rule, Outcomes], dict[str, Any]]:
    """Outcomes by rule, and counts.

    Probes placed before the window are there too, not scored: references are fitted on them.

    Args:
        tape: a market.
        params: of the engine.
        rule: latencies; its cancel split is replaced.
        marks: of fills.
        lives_s: quote lives, above the engine's cancel latency.
        window: what is scored.
        config: where, when and under which rules.
        engine: static choices of its stages.
        takers_have_limits: whether the tape is a generative world's.
        group: number of this market among those pooled.
    """
    known = forecast.path(tape)
    event = tape.events()
    fills = hard_fills.Config(tape.layout.slots, takers_have_limits=takers_have_limits)
    closed = loop.Config(engine, fills, tape.layout, tape.frame_rows)
    row, priced = _priced(tape, params, rule, lives_s, known, config, closed)
    lot_usd = np.asarray(event.rules.lot_usd, np.float64)
    moment = np.floor(known.time_s[row] / config.every_s).astype(int)
    placed = _place(row, priced, lot_usd, moment, _phases(rule, lives_s, config))
    anchor_bp = -np.cumsum(np.asarray(event.shift_bp, np.float64))
    latency_s = float(rule.order_latency_ms) / resting.MS_PER_S
    broken = np.asarray(event.restart) | (
        (np.asarray(event.kind) == int(Kind.ANCHOR)) & (np.asarray(event.shift_ticks) == 0)
    )
    broken_s = known.time_s[broken]
    time_s = known.time_s[placed.row]
    out: dict[Rule, Outcomes] = {}
    told: dict[str, Any] = {"probes": 2 * len(placed.row) * config.grid.total}
    for on_touch in config.on_touch:
        for split in config.splits:
            hits, refused = _fill(
                tape, rule, placed, priced, lives_s, split, on_touch, config, takers_have_limits
            )
            for k, life_s in enumerate(lives_s):
                told_until = time_s + latency_s + life_s + config.slack_s
                is_whole = np.searchsorted(broken_s, time_s, "right") == np.searchsorted(
                    broken_s, told_until, "right"
                )
                in_time = told_until + marks.after_s <= window.end_s
                is_before = told_until + marks.after_s <= window.start_s
                is_scored = time_s >= window.start_s
                out[Rule(life_s, on_touch, split)] = probe_scores.outcomes(
                    _said(priced, k),
                    placed,
                    probe_scores.filled(placed, hits[k], marks.bp),
                    time_s=time_s,
                    anchor_bp=anchor_bp[placed.row],
                    mid_bp=known.mid_bp[placed.row],
                    # A probe that straddles the start belongs to neither part.
                    is_kept=is_whole & in_time & (is_scored | is_before),
                    is_scored=is_scored,
                    group=group,
                )
            told["refused"] = [int(x) for x in refused]
    told["size_usd"] = float(np.median(priced.size_usd[:, 0])) if len(placed.row) else 0.0
    return out, told


def _priced(
    tape: Tape,
    params: graph.Params,
    rule: hard_fills.Params,
    lives_s: tuple[float, ...],
    known: forecast.Path,
    config: Config,
    closed: loop.Config,
) -> tuple[np.ndarray, probing.Priced]:
    """Rows of the probes, the first wake after each moment, and the surface there."""
    lives = jnp.asarray(lives_s, params.pricing.cancel_latency_s.dtype)
    asked = probing.Params(params, rule, lives)
    stage = _pricing_stage(closed, config.grid)
    rows, kept, last = [], [], -1
    for part, out in chunks.fold(stage, asked, tape, unpack=chunks.as_packed()):
        time_s = known.time_s[part]
        at = np.flatnonzero(out.is_priced & (time_s >= config.warm_s))
        moment = np.floor(time_s[at] / config.every_s).astype(int)
        at = at[np.diff(moment, prepend=last) > 0]
        last = int(moment.max(initial=last))
        rows.append(part.start + at)
        kept.append(jax.tree.map(lambda x, at=at: x[at], out))
    return np.concatenate(rows), jax.tree.map(lambda *x: np.concatenate(x), *kept)


@ft.cache
def _pricing_stage(config: loop.Config, grid: probing.Grid) -> Any:
    return probing.build(config, grid)


@ft.cache
def _filling_stage(config: hard_fills.Config, phases: int, depths: int) -> Any:
    return quote_probes.build(config, phases, depths)


@ft.cache
def _as_placing(layout: Layout) -> Any:
    return lambda row: quote_probes.Placing(layout.unpack(row[0]), *row[1:])


def _phases(rule: hard_fills.Params, lives_s: tuple[float, ...], config: Config) -> int:
    """Lanes by turns, so that one is free again when its turn comes."""
    busy_s = float(rule.order_latency_ms) / resting.MS_PER_S + max(lives_s) + config.slack_s
    return int(np.ceil(busy_s / config.every_s)) + 1


def _place(
    row: np.ndarray, priced: probing.Priced, lot_usd: np.ndarray, moment: np.ndarray, phases: int
) -> Placed:
    """Probes of the reference size, in whole lots and at least one."""
    lots = np.maximum(np.floor(np.asarray(priced.size_usd, np.float64)[:, 0] / lot_usd[row]), 1)
    return Placed(row, moment % phases, lots[:, None, None] * np.ones(priced.ticks.shape[1:]))


def _fill(
    tape: Tape,
    rule: hard_fills.Params,
    placed: Placed,
    priced: probing.Priced,
    lives_s: tuple[float, ...],
    split: float,
    on_touch: bool,
    config: Config,
    takers_have_limits: bool,
) -> tuple[list[Hits], np.ndarray]:
    """What was filled, by life; and orders refused by life."""
    fills = hard_fills.Config(1, fill_on_touch=on_touch, takers_have_limits=takers_have_limits)
    stage = _filling_stage(fills, _phases(rule, lives_s, config), config.grid.total)
    one = rule.queue_cancel_ahead
    rule = dataclasses.replace(rule, queue_cancel_ahead=jnp.asarray(split, one.dtype))
    asked = quote_probes.Params(rule, jnp.asarray(lives_s, one.dtype))
    n, shape = len(tape.rows), priced.ticks.shape[1:]
    phase, ticks = np.full(n, -1, np.int32), np.zeros((n, *shape), np.int32)
    lots = np.zeros((n, *shape), np.float32)
    phase[placed.row], ticks[placed.row] = placed.phase, priced.ticks
    lots[placed.row] = placed.lots
    unpack = _as_placing(tape.layout)
    hits: list[list[Hits]] = [[] for _ in lives_s]
    refused = np.zeros(len(lives_s), int)
    for part, out in chunks.fold(stage, asked, tape, (phase, ticks, lots), unpack=unpack):
        refused += out.refused.sum(axis=(0, 2, 3))
        for k in range(len(lives_s)):
            hits[k].append(probe_scores.hits(out.lots[:, k], part.start))
    return [Hits.join(x) for x in hits], refused


def _said(priced: probing.Priced, life: int) -> Said:
    """The surface at the probes, for one life, in float64."""
    once = ("is_valid", "price_bp")
    pick = lambda x, name: x if name in once else x[:, life]
    told = {
        name: np.asarray(pick(getattr(priced, name), name), np.float64) for name in Said._fields
    }
    return Said(**told)._replace(is_valid=np.asarray(priced.is_valid))
