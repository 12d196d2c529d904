"""Our orders on a market that does not know of them: latency, queue, prints used once.

An order placed at a decision reaches the venue `order_latency_ms` later in exchange time and joins
behind what is displayed at its price; a cancel takes `cancel_latency_ms`. Prints through a price fill
it, prints at it after the queue in front is consumed. Of a displayed decrease that no print explains,
the share `queue_cancel_ahead` was in front of us. A print's volume is used once. Source: ours.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from diffmm.core import param, POSITIVE, REAL, SHARE, where
from diffmm.execution import Targets
from diffmm.market import Event, Fill, Kind, Orders, SIDE_SIGN


BP = 1e4
GENERATIONS = 4
"""Orders of one slot that can be alive at once: the present one, and three whose cancel flies."""
SECONDS_PER_MS = 1e-3


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `slots`: S, orders a side.
    - `fill_on_touch`: a crossing opposite touch fills too, not only prints.
    """

    slots: int = 8
    fill_on_touch: bool = False


class Params(eqx.Module):
    order_latency_ms: Float[Array, ""] = param(POSITIVE, 350.0, unit="ms", trainable=False)
    cancel_latency_ms: Float[Array, ""] = param(POSITIVE, 350.0, unit="ms", trainable=False)
    queue_cancel_ahead: Float[Array, ""] = param(SHARE, 0.5, trainable=False)
    clock_offset_ms: Float[Array, ""] = param(REAL, 0.0, unit="ms", trainable=False)


class Resting(eqx.Module):
    """Orders by generation: 0 stands, the others have a cancel in flight."""

    ticks: Int32[Array, "side generations slots"]
    lots: Float[Array, "side generations slots"]
    ahead_usd: Float[Array, "side generations slots"]
    shown_usd: Float[Array, "side generations slots"]
    joined_usd: Float[Array, "side generations slots"]
    credit_usd: Float[Array, "side generations slots"]
    owed_usd: Float[Array, "side generations slots"]
    placed_s: Float[Array, "side generations slots"]
    cancelled_s: Float[Array, "side generations slots"]
    has_arrived: Bool[Array, "side generations slots"]


class State(eqx.Module):
    orders: Resting
    position_lots: Float[Array, ""]
    pending_lots: Float[Array, "side"]
    pending_ticks: Float[Array, "side"]
    pending_depth: Float[Array, "side"]
    may_deliver: Bool[Array, ""]
    rejects: Int32[Array, ""]


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
    orders = Resting(jnp.zeros(shape, jnp.int32), f, f, f, f, f, f, f, f - 1, none)
    return State(orders, 0 * one, two, two, two, jnp.array(True), jnp.zeros((), jnp.int32))


def update(
    params: Params, state: State, event: Event, *, config: Config
) -> tuple[State, tuple[Event, Filled]]:
    """One market row: what it does to our orders, and the row as the engine sees it."""
    new = _deliver(state)
    fill = Fill(
        price_bp=_price_bp(event, _mean(state.pending_ticks, state.pending_lots)),
        usd=jnp.where(state.may_deliver, state.pending_lots * event.rules.lot_usd, 0.0),
        depth_usd=_mean(state.pending_depth, state.pending_lots),
    )
    orders = _age(params, new.orders, event)
    orders, rejects = _arrive(params, orders, event, config)
    orders = _see_book(params, orders, event)
    orders, lots = _match(params, orders, event, config)
    flat = lambda x: jnp.sum(x, axis=(1, 2))
    ticks = lots * orders.ticks.astype(lots.dtype)
    new = dataclasses.replace(
        new,
        orders=orders,
        rejects=new.rejects + rejects,
        pending_lots=new.pending_lots + flat(lots),
        pending_ticks=new.pending_ticks + flat(ticks),
        pending_depth=new.pending_depth + flat(lots * orders.joined_usd),
    )
    new = where(event.is_valid, new, state)
    whole = lots.astype(jnp.int32) * event.is_valid.astype(jnp.int32)
    filled = Filled(
        jnp.sum(whole, axis=(1, 2)),
        jnp.sum(whole * orders.ticks, axis=(1, 2)),
    )
    told = dataclasses.replace(
        event,
        fill=where(event.is_valid, fill, Fill(0 * fill.usd, 0 * fill.usd, 0 * fill.usd)),
        orders=_visible(new.orders, event),
        account=dataclasses.replace(
            event.account,
            position_usd=event.account.position_usd + new.position_lots * event.rules.lot_usd,
        ),
    )
    return new, (told, filled)


def act(state: State, targets: Targets) -> State:
    """Take a decision: cancels age a generation, places take their slot."""
    o = state.orders
    live = o.lots[:, 0] > 0
    place = (targets.lots > 0) & ~targets.keep
    push = (live & ~targets.keep) | place
    older = lambda x: jnp.concatenate([x[:, :1], x[:, :-1]], axis=1)
    aged = Resting(**{name: older(x) for name, x in vars(o).items()})
    aged = dataclasses.replace(
        aged,
        cancelled_s=aged.cancelled_s.at[:, 1].set(0.0),
    )
    zero = jnp.zeros_like(o.ahead_usd[:, 0])
    fresh = {
        "ticks": targets.ticks,
        "lots": jnp.where(place, targets.lots, 0).astype(zero.dtype),
        "cancelled_s": zero - 1,
        "has_arrived": jnp.zeros_like(live),
    }
    put = {n: x.at[:, 0].set(fresh.get(n, zero)) for n, x in vars(aged).items()}
    pushed = {n: jnp.where(push[:, None, :], put[n], x) for n, x in vars(o).items()}
    return dataclasses.replace(state, orders=Resting(**pushed), may_deliver=jnp.array(True))


def _deliver(state: State) -> State:
    """Fills since the last decision reach the engine with the first row after it."""
    go = state.may_deliver
    signed = state.pending_lots[0] - state.pending_lots[1]
    drop = lambda x: jnp.where(go, 0.0, x)
    return dataclasses.replace(
        state,
        position_lots=state.position_lots + jnp.where(go, signed, 0.0),
        pending_lots=drop(state.pending_lots),
        pending_ticks=drop(state.pending_ticks),
        pending_depth=drop(state.pending_depth),
        may_deliver=jnp.array(False),
    )


def _age(params: Params, o: Resting, event: Event) -> Resting:
    """Clocks, re-anchoring, and cancels that have reached the venue."""
    placed = o.placed_s + event.dt_s
    cancelled = jnp.where(o.cancelled_s >= 0, o.cancelled_s + event.dt_s, o.cancelled_s)
    behind = event.lag_s - params.clock_offset_ms * SECONDS_PER_MS
    gone = (cancelled >= 0) & (
        cancelled - behind >= params.cancel_latency_ms * SECONDS_PER_MS
    )
    regrid = (event.kind == int(Kind.ANCHOR)) & (event.shift_ticks == 0)
    return dataclasses.replace(
        o,
        ticks=o.ticks + event.shift_ticks,
        lots=jnp.where(gone | regrid, 0.0, o.lots),
        placed_s=placed,
        cancelled_s=cancelled,
    )


def _shown(event: Event, ticks: Int32[Array, "side n s"]) -> Float[Array, "side n s"]:
    """Displayed notional at exactly these prices."""
    same = ticks[..., None] == event.book.ticks[:, None, None, :]
    same = same & event.book.is_valid[:, None, None, :]
    return jnp.sum(jnp.where(same, event.book.usd[:, None, None, :], 0.0), axis=3)


def _arrive(
    params: Params, o: Resting, event: Event, config: Config
) -> tuple[Resting, Int32[Array, ""]]:
    """Orders whose latency is over join the queue; one that would cross is refused (post-only)."""
    del config
    behind = event.lag_s - params.clock_offset_ms * SECONDS_PER_MS
    due = o.placed_s - behind >= params.order_latency_ms * SECONDS_PER_MS
    joins = due & ~o.has_arrived & (o.lots > 0)
    opposite = jnp.flip(event.book.ticks[:, 0])[:, None, None]
    has = jnp.flip(event.book.is_valid[:, 0])[:, None, None]
    sign = jnp.array([-1, 1], jnp.int32)[:, None, None]
    crosses = joins & has & (sign * o.ticks <= sign * opposite)
    shown = _shown(event, o.ticks)
    keep = lambda new, old: jnp.where(joins, new, old)
    return dataclasses.replace(
        o,
        lots=jnp.where(crosses, 0.0, o.lots),
        ahead_usd=keep(shown, o.ahead_usd),
        shown_usd=keep(shown, o.shown_usd),
        joined_usd=keep(shown, o.joined_usd),
        credit_usd=keep(0.0, o.credit_usd),
        owed_usd=keep(0.0, o.owed_usd),
        has_arrived=o.has_arrived | joins,
    ), jnp.sum(crosses).astype(jnp.int32)


def _see_book(params: Params, o: Resting, event: Event) -> Resting:
    """Displayed decreases that no print explains move the queue by the share in front of us."""
    is_book = (event.kind == int(Kind.BOOK)) | (event.kind == int(Kind.BBO))
    sign = jnp.array([-1, 1], jnp.int32)[:, None, None]
    deepest = jnp.max(
        jnp.where(event.book.is_valid, sign[..., 0] * event.book.ticks, -(2**30)), axis=1
    )
    visible = is_book & (sign * o.ticks <= deepest[:, None, None])
    shown = jnp.where(visible, _shown(event, o.ticks), o.shown_usd)
    fell = jnp.maximum(o.shown_usd - shown, 0.0)
    known = jnp.minimum(o.owed_usd, fell)
    moved = params.queue_cancel_ahead * (fell - known)
    ahead = jnp.maximum(o.ahead_usd - moved, 0.0)
    return dataclasses.replace(
        o,
        shown_usd=shown,
        owed_usd=o.owed_usd - known,
        credit_usd=o.credit_usd + moved,
        ahead_usd=jnp.where(visible, jnp.minimum(ahead, shown), ahead),
    )


def _match(
    params: Params, o: Resting, event: Event, config: Config
) -> tuple[Resting, Float[Array, "side generations slots"]]:
    """Lots that this row's print takes from each order, better prices first."""
    lot = event.rules.lot_usd
    side_sign = jnp.asarray(SIDE_SIGN, lot.dtype)[:, None, None]
    sign = jnp.array([-1, 1], jnp.int32)[:, None, None]
    hit = (event.trade.sign == side_sign) & (event.trade.usd > 0)
    out, print_out = sign * o.ticks, sign * event.trade.ticks
    alive = o.has_arrived & (o.lots > 0)
    through, at = hit & alive & (out < print_out), hit & alive & (out == print_out)
    share = params.queue_cancel_ahead
    credit = jnp.where(at, jnp.minimum(o.credit_usd, share * event.trade.usd), 0.0)
    explained = jnp.where(share > 0, credit / jnp.where(share > 0, share, 1.0), 0.0)
    queue = jnp.where(at, o.ahead_usd + credit, 0.0)
    volume = jnp.round(event.trade.usd / lot)
    flat = lambda x: x.reshape(2, -1)
    wants = jnp.where(through | at, o.lots, 0.0)
    # Price first, then the order in which they joined.
    rank = flat(out).astype(lot.dtype) - flat(o.placed_s) / (1 + jnp.max(o.placed_s))
    better = rank[:, None, :] < rank[:, :, None]
    before = jnp.sum(jnp.where(better, flat(wants)[:, None, :], 0.0), axis=2).reshape(wants.shape)
    free = jnp.floor(volume - queue / lot) - before
    lots = jnp.clip(free, 0.0, wants)
    if config.fill_on_touch:
        opposite = jnp.flip(event.book.ticks[:, 0])[:, None, None]
        has = jnp.flip(event.book.is_valid[:, 0])[:, None, None]
        lots = jnp.where(alive & has & (sign * opposite <= out), o.lots, lots)
    after = dataclasses.replace(
        o,
        lots=o.lots - lots,
        ahead_usd=jnp.where(at, jnp.maximum(queue - event.trade.usd, 0.0), o.ahead_usd),
        credit_usd=o.credit_usd - credit,
        owed_usd=o.owed_usd + jnp.where(at, event.trade.usd - explained, 0.0),
    )
    return after, lots


def _visible(o: Resting, event: Event) -> Orders:
    """Generation 0 as the engine sees it; an order in flight counts what is displayed."""
    first = lambda x: x[:, 0]
    ticks = first(o.ticks)
    sign = jnp.array([-1, 1], jnp.int32)[:, None]
    level = sign * event.book.ticks
    better = (level[:, None, :] < (sign * ticks)[:, :, None]) & event.book.is_valid[:, None, :]
    in_front = jnp.sum(jnp.where(better, event.book.usd[:, None, :], 0.0), axis=2)
    own = jnp.where(first(o.has_arrived), first(o.ahead_usd), _shown(event, o.ticks)[:, 0])
    return Orders(
        ticks=ticks,
        price_bp=_price_bp(event, ticks.astype(in_front.dtype)),
        usd=first(o.lots) * event.rules.lot_usd,
        ahead_usd=in_front + own,
        age_s=first(o.placed_s),
        is_live=first(o.lots) > 0,
    )


def _price_bp(event: Event, ticks: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`1e4 log(1 + ticks x tick / anchor)`."""
    return BP * jnp.log1p(ticks * jnp.expm1(event.rules.tick_bp / BP))


def _mean(total: Float[Array, "side"], weight: Float[Array, "side"]) -> Float[Array, "side"]:
    some = weight > 0
    return jnp.where(some, total / jnp.where(some, weight, 1.0), 0.0)


def build(config: Config):
    """`(init, update)` with the static choices bound."""
    return ft.partial(init, config=config), ft.partial(update, config=config)
