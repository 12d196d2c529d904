"""Our orders on a market that does not know of them: latency, queue, prints used once.

An order placed at a decision reaches the venue `order_latency_ms` later in exchange time and joins
behind what was displayed at its price by then; a cancel takes `cancel_latency_ms`. Prints through
a price fill it, prints at it after the queue in front is consumed (`matching`). Of a decrease that
no print explains, the share `queue_cancel_ahead` was in front of us. Source: ours.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from diffmm.core import where
from diffmm.execution import Targets
from diffmm.market import Event, Fill, Orders

from . import matching, resting
from .resting import Params as Params, Resting


GENERATIONS = 8
"""Orders of one slot that can be alive at once: the present one, and those whose cancel flies."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `slots`: S, orders a side.
    - `fill_on_touch`: an opposite touch that reaches or passes us fills too, not only prints.
    - `takers_have_limits`: a trade row is a taker of a generative world and its price the worst he
      accepts; on a recording it is a print.
    """

    slots: int = 8
    fill_on_touch: bool = False
    takers_have_limits: bool = False


class State(eqx.Module):
    """Our orders, and what the engine has not been told yet.

    **Attributes:**

    - `position_lots`: as told.
    - `pending_lots`, `pending_bp`, `pending_depth`: fills to tell; sums of lots, of lots times
      price and of lots times what stood in front.
    - `may_deliver`: a decision was taken since the last delivery.
    - `rejects`: orders that would have crossed on arrival.
    - `lost`: orders whose cancel was still flying when their place was needed.
    """

    orders: Resting
    position_lots: Float[Array, ""]
    pending_lots: Float[Array, "side"]
    pending_bp: Float[Array, "side"]
    pending_depth: Float[Array, "side"]
    may_deliver: Bool[Array, ""]
    rejects: Int32[Array, ""]
    lost: Int32[Array, ""]


class Filled(eqx.Module):
    """What one row filled, exactly: lots by side, and the sum of lots times ticks."""

    lots: Int32[Array, "side"]
    lots_ticks: Int32[Array, "side"]


def init(params: Params, *, config: Config) -> State:
    """No orders, flat."""
    one = jnp.ones_like(params.queue_cancel_ahead)
    shape = (2, GENERATIONS, config.slots)
    f, none = jnp.zeros(shape, one.dtype), jnp.zeros(shape, bool)
    two = jnp.zeros((2,), one.dtype)
    orders = Resting(jnp.zeros(shape, jnp.int32), f, f, f, f, f, f, f, f, f - 1, none, none)
    none = jnp.zeros((), jnp.int32)
    return State(orders, 0 * one, two, two, two, jnp.array(True), none, none)


def update(
    params: Params, state: State, event: Event, *, config: Config
) -> tuple[State, tuple[Event, Filled]]:
    """One market row: what it does to our orders, and the row as the engine sees it."""
    carried = dataclasses.replace(
        state, pending_bp=state.pending_bp + state.pending_lots * event.shift_bp
    )
    new = _deliver(carried)
    fill = Fill(
        price_bp=_mean(carried.pending_bp, state.pending_lots),
        usd=jnp.where(state.may_deliver, state.pending_lots * event.rules.lot_usd, 0.0),
        depth_usd=_mean(state.pending_depth, state.pending_lots),
    )
    orders = resting.age(params, new.orders, event)
    orders, rejects = resting.arrive(params, orders, event)
    orders = resting.see_book(params, orders, event)
    orders, lots, told = _match(orders, event, config)
    flat = lambda x: jnp.sum(x, axis=(1, 2))
    at_bp = resting.price_bp(event, orders.ticks.astype(lots.dtype))
    new = dataclasses.replace(
        new,
        orders=orders,
        rejects=new.rejects + rejects,
        pending_lots=new.pending_lots + flat(lots),
        pending_bp=new.pending_bp + flat(lots * at_bp),
        pending_depth=new.pending_depth + flat(lots * orders.joined_usd),
    )
    new = where(event.is_valid, new, state)
    whole = lots.astype(jnp.int32) * event.is_valid.astype(jnp.int32)
    filled = Filled(flat(whole), flat(whole * orders.ticks))
    told = dataclasses.replace(
        told,
        fill=where(event.is_valid, fill, Fill(0 * fill.usd, 0 * fill.usd, 0 * fill.usd)),
        orders=_visible(new.orders, event),
        account=dataclasses.replace(
            event.account,
            position_usd=event.account.position_usd + new.position_lots * event.rules.lot_usd,
        ),
    )
    return new, (told, filled)


def act(state: State, targets: Targets, event: Event) -> State:
    """Take a decision: an order that goes ages a generation, what is placed takes its slot.

    Args:
        state: of the orders.
        targets: what is to stand.
        event: the row at which it was decided; it shows what an order meets that arrives next.
    """
    o = state.orders
    alive = o.lots > 0
    place = (targets.lots > 0) & ~targets.keep
    push = alive[:, 0] & ~targets.keep
    # An older generation moves on only to make room; one that is filled or gone leaves room.
    full = push[:, None, :] & (jnp.cumsum(~alive, axis=1) == 0)
    zero = jnp.zeros_like(o.ahead_usd[:, 0])
    fresh = {
        "ticks": targets.ticks,
        "lots": jnp.where(place, targets.lots, 0).astype(zero.dtype),
        "cancelled_s": zero - 1,
        "has_arrived": jnp.zeros_like(push),
        "shown_usd": resting.shown_at(event, targets.ticks[:, None])[:, 0],
        "crosses": resting.would_cross(event, targets.ticks[:, None])[:, 0],
    }
    put = {}
    for name, x in vars(o).items():
        first = jnp.where(push | place, fresh.get(name, zero), x[:, 0])
        older = jnp.where(full[:, :-1], x[:, :-1], x[:, 1:])
        put[name] = jnp.concatenate([first[:, None], older], axis=1)
    sent = jnp.where(push, 0.0, put["cancelled_s"][:, 1])
    put["cancelled_s"] = put["cancelled_s"].at[:, 1].set(sent)
    lost = jnp.sum(full[:, -1]).astype(state.lost.dtype)
    return dataclasses.replace(
        state, orders=Resting(**put), may_deliver=jnp.array(True), lost=state.lost + lost
    )


def _deliver(state: State) -> State:
    """Fills since the last decision reach the engine with the first row after it."""
    go = state.may_deliver
    signed = state.pending_lots[0] - state.pending_lots[1]
    drop = lambda x: jnp.where(go, 0.0, x)
    return dataclasses.replace(
        state,
        position_lots=state.position_lots + jnp.where(go, signed, 0.0),
        pending_lots=drop(state.pending_lots),
        pending_bp=drop(state.pending_bp),
        pending_depth=drop(state.pending_depth),
        may_deliver=jnp.array(False),
    )


def _match(
    o: Resting, event: Event, config: Config
) -> tuple[Resting, Float[Array, "side generations slots"], Event]:
    """Orders after this row, lots that it takes from each, and the row as the public sees it."""
    if config.takers_have_limits:
        taken = matching.by_limit(o, event)
        kind, seen = matching.public_print(event, o, taken)
        told = dataclasses.replace(event, kind=kind, trade=seen)
    else:
        o, taken = matching.by_print(o, event)
        told = event
    lots = taken.lots
    if config.fill_on_touch:
        opposite, has = resting.opposite_touch(event)
        passed = o.has_arrived & has & (resting.outward(o.ticks) <= opposite)
        lots = jnp.where(passed, o.lots, lots)
    ahead = jnp.maximum(o.ahead_usd - taken.queue_usd, 0.0)
    return dataclasses.replace(o, lots=o.lots - lots, ahead_usd=ahead), lots, told


def _visible(o: Resting, event: Event) -> Orders:
    """Generation 0 as the engine sees it; an order in flight counts what is displayed."""
    first = lambda x: x[:, :1]
    ticks = first(o.ticks)
    own = jnp.where(first(o.has_arrived), first(o.ahead_usd), resting.shown_at(event, ticks))
    ahead = resting.shown_before(event, ticks) + own
    return Orders(
        ticks=ticks[:, 0],
        price_bp=resting.price_bp(event, ticks[:, 0].astype(ahead.dtype)),
        usd=o.lots[:, 0] * event.rules.lot_usd,
        ahead_usd=ahead[:, 0],
        age_s=o.placed_s[:, 0],
        is_live=o.lots[:, 0] > 0,
        is_resting=(o.lots[:, 0] > 0) & o.has_arrived[:, 0],
    )


def _mean(total: Float[Array, "side"], weight: Float[Array, "side"]) -> Float[Array, "side"]:
    some = weight > 0
    return jnp.where(some, total / jnp.where(some, weight, 1.0), 0.0)


def build(config: Config):
    """`(init, update)` with the static choices bound."""
    return ft.partial(init, config=config), ft.partial(update, config=config)
