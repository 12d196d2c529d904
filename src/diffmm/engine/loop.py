"""The closed loop: a market, our orders on it by the fill rule, and the engine, frame by frame."""

import dataclasses
import functools as ft
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from diffmm.core import where
from diffmm.market import Layout
from diffmm.simulation import hard_fills

from . import graph


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices of a run.

    **Attributes:**

    - `engine`: every stage's.
    - `fills`: the fill rule's.
    - `layout`: shapes of an event.
    """

    engine: graph.Config
    fills: hard_fills.Config
    layout: Layout

    @classmethod
    def default(cls, fill_on_touch: bool = False) -> "Config":
        """The sizes of the product."""
        layout = Layout()
        return cls(graph.Config.default(), hard_fills.Config(layout.slots, fill_on_touch), layout)


class Loop(eqx.Module):
    """State of the whole loop."""

    world: hard_fills.State
    observing: graph.Observing
    deciding: graph.Deciding


class Record(eqx.Module):
    """What one frame leaves behind for scoring: small, exact where money is concerned.

    **Attributes:**

    - `lots`, `lots_ticks`: our fills by row and side.
    - `quotes`: the decision.
    - `standing_ticks`, `standing_lots`: orders after it, without those whose cancel was sent.
    - `seen`: belief and features at the wake.
    """

    lots: Int32[Array, "rows side"]
    lots_ticks: Int32[Array, "rows side"]
    quotes: graph.Quotes
    standing_ticks: Int32[Array, "side slots"]
    standing_lots: Int32[Array, "side slots"]
    seen: graph.Seen


def init(params: graph.Params, rule: hard_fills.Params, *, config: Config) -> Loop:
    """Flat, nothing seen."""
    return Loop(
        hard_fills.init(rule, config=config.fills),
        graph.init_observing(params, config=config.engine),
        graph.init_deciding(params, config=config.engine),
    )


def observe_row(
    params: graph.Params,
    rule: hard_fills.Params,
    state: tuple[hard_fills.State, graph.Observing],
    vector: Float[Array, " width"],
    *,
    config: Config,
) -> tuple[tuple[hard_fills.State, graph.Observing], Any]:
    """One packed row through the fill rule and `observe`."""
    world, observing = state
    event = config.layout.unpack(vector)
    world, (told, filled) = hard_fills.update(rule, world, event, config=config.fills)
    observing, seen = graph.observe(params, observing, told, config=config.engine)
    return (world, observing), (seen, told, filled)


def decide_row(
    params: graph.Params, state: Loop, seen: graph.Seen, told: Any, *, config: Config
) -> tuple[Loop, graph.Quotes]:
    """Evaluate the quotes and act on them."""
    deciding, quotes = graph.decide(params, state.deciding, (seen, told), config=config.engine)
    return Loop(hard_fills.act(state.world, quotes.targets), state.observing, deciding), quotes


def fold_frame(
    params: graph.Params,
    rule: hard_fills.Params,
    state: Loop,
    frame: Float[Array, "rows width"],
    *,
    config: Config,
) -> tuple[Loop, Record]:
    """Rows of one frame, then the decision at its wake."""

    def row(carry: Any, vector: Any) -> tuple[Any, Any]:
        pair, *last = carry
        pair, (seen, told, filled) = observe_row(params, rule, pair, vector, config=config)
        return (pair, *where(told.is_valid, (seen, told), tuple(last))), filled

    start = (state.world, state.observing)
    shapes = jax.eval_shape(ft.partial(observe_row, config=config), params, rule, start, frame[0])
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes[1])
    (pair, seen, told), filled = jax.lax.scan(row, (start, blank[0], blank[1]), frame)
    loop = Loop(pair[0], pair[1], state.deciding)
    loop, quotes = decide_row(params, loop, seen, told, config=config)
    orders = loop.world.orders
    return loop, Record(
        filled.lots,
        filled.lots_ticks,
        quotes,
        orders.ticks[:, 0],
        orders.lots[:, 0].astype(jnp.int32),
        seen,
    )


def replay(
    params: graph.Params,
    rule: hard_fills.Params,
    frames: Float[Array, "frames rows width"],
    *,
    config: Config,
) -> tuple[Loop, Record]:
    """A whole tape in the closed loop; records are stacked, one a frame."""
    step = ft.partial(fold_frame, params, rule, config=config)
    return jax.lax.scan(step, init(params, rule, config=config), frames)
