"""Probe quotes by the hard fill rule: each alone on the market, for a life known beforehand.

A lane is one order a side that no other order of ours competes with. It is placed at a row, joins
`order_latency_ms` later, and its cancel is sent so that it takes effect exactly one life after it
joined, both in exchange time: `hard_fills` with a cancel that is sent at once and takes the order
latency and the life. An order that would cross when it joins is refused and stays unfilled. Lanes
of different phases let lives overlap. Source: ours; tested in
`tests/simulation/test_quote_probes.py`.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from diffmm.core import Stage, where
from diffmm.market import Event

from . import hard_fills, resting


class Placing(eqx.Module):
    """What a row brings: its event, and the probes that are placed after it.

    **Attributes:**

    - `event`: of the market.
    - `phase`: which phase places here; -1 for none.
    - `ticks`, `lots`: of the probes; zero lots for none.
    """

    event: Event
    phase: Int32[Array, ""]
    ticks: Int32[Array, "side depths"]
    lots: Float[Array, "side depths"]


class Outcome(eqx.Module):
    """What a row did to the probes: lots filled, and orders refused because they would cross."""

    lots: Int32[Array, "lives phases depths side"]
    refused: Int32[Array, "lives phases depths"]


class Params(eqx.Module):
    """The fill rule and the lives of the probes."""

    rule: hard_fills.Params
    lives_s: Float[Array, "lives"]


def init(
    params: Params, *, config: hard_fills.Config, phases: int, depths: int
) -> hard_fills.State:
    """No order in any lane, `[lives, phases, depths]`."""
    one = hard_fills.init(params.rule, config=config)
    short = lambda x: x[:, :1, :1] if x.ndim == 3 else x
    one = dataclasses.replace(one, orders=jax.tree.map(short, one.orders))
    lanes = (len(params.lives_s), phases, depths)
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (*lanes, *x.shape)), one)


def update(
    params: Params, state: hard_fills.State, row: Placing, *, config: hard_fills.Config
) -> tuple[hard_fills.State, Outcome]:
    """One market row through every lane, then the probes placed after it."""
    shape = state.rejects.shape
    life_ms = params.rule.order_latency_ms + resting.MS_PER_S * params.lives_s

    def lane(
        cancel_ms: Array, phase: Array, ticks: Array, lots: Array, old: hard_fills.State
    ) -> tuple[hard_fills.State, Outcome]:
        rule = dataclasses.replace(params.rule, cancel_latency_ms=cancel_ms)
        new, (_, filled) = hard_fills.update(rule, old, row.event, config=config)
        refused = new.rejects - old.rejects
        # What hard_fills would tell the engine is of no use here and must not grow.
        new = dataclasses.replace(
            new, pending_lots=old.pending_lots, position_lots=old.position_lots
        )
        is_placed = (row.phase == phase) & row.event.is_valid
        new = dataclasses.replace(
            new, orders=where(is_placed, _fresh(row.event, new.orders, ticks, lots), new.orders)
        )
        return new, Outcome(filled.lots, refused)

    by_depth = jax.vmap(lane, in_axes=(None, None, 1, 1, 0))
    by_phase = jax.vmap(by_depth, in_axes=(None, 0, None, None, 0))
    by_life = jax.vmap(by_phase, in_axes=(0, None, None, None, 0))
    phases = jnp.arange(shape[1], dtype=row.phase.dtype)
    return by_life(life_ms, phases, row.ticks, row.lots, state)


def _fresh(
    event: Event, o: resting.Resting, ticks: Int32[Array, "side"], lots: Float[Array, "side"]
) -> resting.Resting:
    """Orders on their way, their cancels behind them, and what they have seen of the book."""
    put = lambda x: x[:, None, None]
    blank = jax.tree.map(jnp.zeros_like, o)
    return dataclasses.replace(
        blank,
        ticks=put(ticks),
        lots=put(lots),
        shown_usd=resting.shown_at(event, put(ticks)),
        crosses=resting.would_cross(event, put(ticks)),
    )


def build(config: hard_fills.Config, phases: int, depths: int) -> Stage:
    """Bind the static choices; the input of a row is a `Placing`."""
    return Stage(
        ft.partial(init, config=config, phases=phases, depths=depths),
        ft.partial(update, config=config),
    )
