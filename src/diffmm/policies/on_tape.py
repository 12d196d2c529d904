"""Reference policies side by side on one tape, each in its own closed loop with the fill rule.

They need the book, their constants and their own position, nothing of the engine, so a tape runs
through all of them at once: same rows, wakes, latencies and fill rule as ours in `engine.loop`.
Source: ours; tested in `tests/policies/test_on_tape.py`.
"""

import functools as ft
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from diffmm.core import Stage, where
from diffmm.market import Event, Layout
from diffmm.simulation import hard_fills

from . import quoting
from .grid import Depths


TOUCH_SLACK = 0.25
"""Of a tick: a price meant to be the touch must not round to its neighbour."""


class Params(eqx.Module):
    """The rule, and every policy's table.

    **Attributes:**

    - `bid_bp`, `ask_bp`: depths by inventory.
    - `is_from_touch`: whether they are counted beyond our own touch, not from the mid.
    - `size_usd`: of each quote.
    """

    rule: hard_fills.Params
    bid_bp: Float[Array, "policies inventories"]
    ask_bp: Float[Array, "policies inventories"]
    is_from_touch: Bool[Array, "policies"]
    size_usd: Float[Array, ""]


class Alone(eqx.Module):
    """The rule, and the parameters of one quoter with a state of its own."""

    rule: hard_fills.Params
    quoter: Any


class Told(eqx.Module):
    """What a row leaves behind: fills, and the orders that stand after it."""

    lots: Int32[Array, "policies side"]
    lots_ticks: Int32[Array, "policies side"]
    standing_ticks: Int32[Array, "policies side"]
    standing_lots: Int32[Array, "policies side"]


def init(params: Params, *, config: hard_fills.Config) -> hard_fills.State:
    """No order, flat, `[policies]`."""
    one = hard_fills.init(params.rule, config=config)
    n = len(params.is_from_touch)
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), one)


def update(
    params: Params,
    state: hard_fills.State,
    vector: Float[Array, " width"],
    *,
    config: hard_fills.Config,
    layout: Layout,
) -> tuple[hard_fills.State, Told]:
    """One packed row through every loop."""
    event = layout.unpack(vector)

    def one(
        bid_bp: Array, ask_bp: Array, is_from_touch: Array, old: hard_fills.State
    ) -> tuple[hard_fills.State, Told]:
        new, (told, filled) = hard_fills.update(params.rule, old, event, config=config)
        table = Depths(bid_bp, ask_bp)
        targets = _quote(table, is_from_touch, params.size_usd, told)
        new = where(told.wake & told.is_valid, hard_fills.act(new, targets, told), new)
        orders = new.orders
        at = orders.ticks[:, 0, 0], orders.lots[:, 0, 0].astype(jnp.int32)
        return new, Told(filled.lots, filled.lots_ticks, *at)

    return jax.vmap(one)(params.bid_bp, params.ask_bp, params.is_from_touch, state)


def _quote(table: Depths, is_from_touch: Array, size_usd: Array, event: Event):
    """Targets of one policy."""
    price = event.book.price_bp[:, 0]
    mid, half = (price[0] + price[1]) / 2, (price[1] - price[0]) / 2
    bid, ask = quoting.at_inventory(table, event.account.position_usd, size_usd)
    own_touch = half - TOUCH_SLACK * event.rules.tick_bp
    beyond = jnp.where(is_from_touch, own_touch, 0.0)
    return quoting.place(event, mid, bid + beyond, ask + beyond, size_usd)


def build(config: hard_fills.Config, layout: Layout) -> Stage:
    """Bind the static choices; the input of a row is a packed vector."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config, layout=layout))


def build_alone(quoter: Stage, config: hard_fills.Config, layout: Layout) -> Stage:
    """One quoter that is no table, `(params, state, event) -> (state, Targets)`, in its own loop.

    Its parameters are `Alone`, the input of a row is a packed vector, and what a row leaves behind
    has one policy.
    """

    def start(params: Alone) -> tuple[hard_fills.State, Any]:
        return hard_fills.init(params.rule, config=config), quoter.init(params.quoter)

    def row(params: Alone, state: tuple[hard_fills.State, Any], vector: Array) -> Any:
        event = layout.unpack(vector)
        fills, (told, filled) = hard_fills.update(params.rule, state[0], event, config=config)
        mind, targets = quoter.update(params.quoter, state[1], told)
        fills = where(told.wake & told.is_valid, hard_fills.act(fills, targets, told), fills)
        at = fills.orders.ticks[:, 0, 0], fills.orders.lots[:, 0, 0].astype(jnp.int32)
        out = Told(filled.lots, filled.lots_ticks, *at)
        return (fills, mind), jax.tree.map(lambda x: x[None], out)

    return Stage(start, row)
