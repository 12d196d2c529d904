"""The closed loop: a market, our orders on it by the fill rule, and the engine, frame by frame."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from diffmm import belief
from diffmm.core import where
from diffmm.core.health import FATAL
from diffmm.execution import Targets
from diffmm.market import Event, Layout, SIDE_SIGN
from diffmm.simulation import hard_fills

from . import graph


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices of a run.

    **Attributes:**

    - `engine`: every stage's.
    - `fills`: the fill rule's.
    - `layout`: shapes of an event.
    - `frame_rows`: E, most rows of a frame.
    """

    engine: graph.Config
    fills: hard_fills.Config
    layout: Layout
    frame_rows: int = 4

    @classmethod
    def default(cls, fill_on_touch: bool = False, *, takers_have_limits: bool = False) -> "Config":
        """The sizes of the product, on a recording or (takers with limits) in a world."""
        layout = Layout()
        fills = hard_fills.Config(layout.slots, fill_on_touch, takers_have_limits)
        return cls(graph.Config.default(), fills, layout)


class Loop(eqx.Module):
    """State of the whole loop; `world` is `None` where the orders are real ones."""

    world: hard_fills.State | None
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


def _structure(module: type[eqx.Module]) -> Any:
    """A module whose leaves are its fields; made without its constructor, which checks them."""
    blank = object.__new__(module)
    for field in dataclasses.fields(module):
        object.__setattr__(blank, field.name, 0)
    return jax.tree.structure(blank)


RECORD = _structure(Record)


def init(params: graph.Params, rule: hard_fills.Params | None, *, config: Config) -> Loop:
    """Flat, nothing seen; without a rule no order is modelled."""
    return Loop(
        None if rule is None else hard_fills.init(rule, config=config.fills),
        graph.init_observing(params, config=config.engine),
        graph.init_deciding(params, config=config.engine),
    )


def observe_row(
    params: graph.Params,
    rule: hard_fills.Params | None,
    state: tuple[hard_fills.State | None, graph.Observing],
    vector: Float[Array, " width"],
    *,
    config: Config,
) -> tuple[tuple[hard_fills.State | None, graph.Observing], Any]:
    """One packed row through the fill rule, if there is one, and `observe`."""
    world, observing = state
    told, filled = config.layout.unpack(vector), None
    if rule is not None and world is not None:
        world, (told, filled) = hard_fills.update(rule, world, told, config=config.fills)
    new, seen = graph.observe(params, observing, told, config=config.engine)
    # A step that went wrong is discarded; the next row is folded from the last healthy state.
    is_bad = (seen.health & jnp.uint32(int(FATAL))) != 0
    return (world, where(is_bad, observing, new)), (seen, told, filled)


def decide_row(
    params: graph.Params, state: Loop, seen: graph.Seen, told: Any, *, config: Config
) -> tuple[Loop, graph.Quotes]:
    """Evaluate the quotes and act on them."""
    deciding, quotes = graph.decide(params, state.deciding, (seen, told), config=config.engine)
    world = None if state.world is None else hard_fills.act(state.world, quotes.targets, told)
    return Loop(world, state.observing, deciding), quotes


def fold_frame(
    params: graph.Params,
    rule: hard_fills.Params,
    state: Loop,
    frame: Float[Array, "rows width"],
    *,
    config: Config,
) -> tuple[Loop, Record]:
    """Rows of one frame, then the decision at its wake."""
    pair, seen, told, filled = _fold_rows(params, rule, state, frame, config)
    loop = Loop(pair[0], pair[1], state.deciding)
    loop, quotes = decide_row(params, loop, seen, told, config=config)
    told = filled.lots, filled.lots_ticks
    return loop, make_record(*told, quotes, *standing(loop.world), seen)


def _fold_rows(
    params: graph.Params, rule: hard_fills.Params, state: Loop, frame: Array, config: Config
) -> tuple[Any, graph.Seen, Any, hard_fills.Filled]:
    """World and belief after a frame's rows, the last of them as seen and told, and its fills."""

    def row(carry: Any, vector: Any) -> tuple[Any, Any]:
        pair, *last = carry
        pair, (seen, told, filled) = observe_row(params, rule, pair, vector, config=config)
        return (pair, *where(told.is_valid, (seen, told), tuple(last))), filled

    start = (state.world, state.observing)
    shapes = jax.eval_shape(ft.partial(observe_row, config=config), params, rule, start, frame[0])
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes[1])
    (pair, seen, told), filled = jax.lax.scan(row, (start, blank[0], blank[1]), frame)
    return pair, seen, told, filled


def standing(world: hard_fills.State) -> tuple[Any, Any]:
    """Ticks and lots of the orders that no cancel was sent for."""
    orders = world.orders
    return orders.ticks[..., 0, :], orders.lots[..., 0, :].astype(orders.ticks.dtype)


def make_record(*fields: Any) -> Record:
    """A record of its fields, in order; a constructor's checks take longer than a decision."""
    return jax.tree.unflatten(RECORD, fields)


@ft.partial(jax.jit, static_argnames="config")
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


class Trades(eqx.Module):
    """What a counterfactual row leaves behind: its fills, and V at each decision."""

    lots: Int32[Array, "rows side"]
    lots_ticks: Int32[Array, "rows side"]
    fair_bp: Float[Array, ""]


@ft.partial(jax.jit, static_argnames=("config", "lanes"))
def counterfactual(
    batch_params: graph.Params,
    rule: hard_fills.Params,
    frames: Float[Array, "frames rows width"],
    *,
    config: Config,
    lanes: int | None = None,
) -> Trades:
    """Each row of `batch_params` in its own closed loop on the same tape, `[rows, frames]`.

    Args:
        batch_params: parameters, a batch of rows.
        rule: of the fills.
        frames: of the tape.
        config: static choices.
        lanes: rows side by side in one kernel, the others after them in the same program; all of
            them where not given. A processor does best with one: side by side, every row waits
            for the longest of them in every loop that ends when it has converged.
    """

    def one(params: graph.Params) -> Trades:
        def step(state: Loop, frame: Array) -> tuple[Loop, Trades]:
            state, record = fold_frame(params, rule, state, frame, config=config)
            fair = record.seen.belief.mean[belief.V]
            return state, Trades(record.lots, record.lots_ticks, fair)

        return jax.lax.scan(step, init(params, rule, config=config), frames)[1]

    if lanes is None:
        return jax.vmap(one)(batch_params)
    if lanes == 1:
        return jax.lax.map(one, batch_params)
    return jax.lax.map(one, batch_params, batch_size=lanes)


Policy = Callable[[graph.Seen, Event], Targets]
"""What to quote at a wake, in place of the engine's decision."""


@ft.partial(jax.jit, static_argnames=("policy", "config"))
def rival(
    params: graph.Params,
    rule: hard_fills.Params,
    frames: Float[Array, "frames rows width"],
    *,
    policy: Policy,
    config: Config,
) -> tuple[Trades, tuple[Int32[Array, "frames side slots"], Int32[Array, "frames side slots"]]]:
    """Another policy on the same tape, by the same fill rule, wakes and latencies.

    It is told what the engine is told, and sees what it sees; nothing else of the engine acts.

    Returns:
        Its trades, and the ticks and lots of its orders after each decision.
    """

    def step(state: Loop, frame: Array) -> tuple[Loop, Any]:
        (world, observing), seen, told, filled = _fold_rows(params, rule, state, frame, config)
        world = hard_fills.act(world, policy(seen, told), told)
        trades = Trades(filled.lots, filled.lots_ticks, seen.belief.mean[belief.V])
        return Loop(world, observing, state.deciding), (trades, standing(world))

    return jax.lax.scan(step, init(params, rule, config=config), frames)[1]


@ft.partial(jax.jit, static_argnames="config")
def capped(
    params: graph.Params,
    rule: hard_fills.Params,
    frames: Float[Array, "frames rows width"],
    most_usd: Float[Array, ""],
    *,
    config: Config,
) -> Trades:
    """Our own decisions with at most so much shown a side, to set beside a maker of one size.

    The best prices keep theirs; what is left below the least notional is not sent.
    """

    def step(state: Loop, frame: Array) -> tuple[Loop, Trades]:
        (world, observing), seen, told, filled = _fold_rows(params, rule, state, frame, config)
        deciding, quotes = graph.decide(params, state.deciding, (seen, told), config=config.engine)
        world = hard_fills.act(world, at_most(quotes.targets, most_usd, told), told)
        trades = Trades(filled.lots, filled.lots_ticks, seen.belief.mean[belief.V])
        return Loop(world, observing, deciding), trades

    return jax.lax.scan(step, init(params, rule, config=config), frames)[1]


def at_most(targets: Targets, most_usd: Float[Array, ""], event: Event) -> Targets:
    """Targets of which a side shows no more than `most_usd`, from the best price on."""
    sign = jnp.asarray(SIDE_SIGN, jnp.int32)[:, None]
    away, lots = sign * targets.ticks, targets.lots
    # Of what stands at better prices, the earlier slot first where two are at one price.
    earlier = jnp.tril(jnp.ones((lots.shape[1],) * 2, bool), -1)[None]
    better = (away[:, None, :] < away[:, :, None]) | (
        (away[:, None, :] == away[:, :, None]) & earlier
    )
    before = jnp.sum(jnp.where(better, lots[:, None, :], 0), axis=2)
    most = jnp.floor(most_usd / event.rules.lot_usd).astype(lots.dtype)
    left = jnp.clip(most - before, 0, lots)
    usd = left.astype(most_usd.dtype) * event.rules.lot_usd
    left = jnp.where(usd >= event.rules.min_notional_usd, left, 0)
    return dataclasses.replace(
        targets,
        lots=left,
        keep=targets.keep & (left == lots),
    )
