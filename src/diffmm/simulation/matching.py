"""Who is filled by one taker: better prices first, then who came first, volume used once.

On a recording a row is a print, and says what was reached. In a world whose takers carry a limit
a row is a taker, who takes the displayed book and our orders alike from the best price up to his
limit; what the public then sees of it is decided here. Source: ours.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from diffmm.core import where
from diffmm.market import Event, Kind, SIDE_SIGN, Trade

from .resting import (
    OUTWARD,
    outward,
    price_bp,
    Resting,
    shown_before,
)


class Taken(eqx.Module):
    """What one row took, in lots by order and in USD of the queue at each order's price."""

    lots: Float[Array, "side generations slots"]
    queue_usd: Float[Array, "side generations slots"]


def is_hit(event: Event) -> Bool[Array, "side 1 1"]:
    """Which side this row's taker trades with."""
    side = jnp.asarray(SIDE_SIGN, event.trade.sign.dtype)[:, None, None]
    return (event.trade.sign == side) & (event.trade.usd > 0)


def by_print(o: Resting, event: Event) -> tuple[Resting, Taken]:
    """A recorded print: orders at better prices are passed through, those at its price queue.

    What a print explains of an earlier decrease of the display was no cancel, and is put back in
    front of us before the print takes it.
    """
    lot, usd = event.rules.lot_usd, event.trade.usd
    sign = jnp.asarray(OUTWARD, o.ticks.dtype)[:, None, None]
    out, print_out = outward(o.ticks), sign * event.trade.ticks
    open_ = is_hit(event) & o.has_arrived & (o.lots > 0)
    at, reached = open_ & (out == print_out), open_ & (out <= print_out)
    explained = jnp.where(at, jnp.minimum(o.fell_usd, usd), 0.0)
    some = jnp.where(o.fell_usd > 0, o.fell_usd, 1.0)
    back = o.credit_usd * explained / some
    queue = jnp.where(at, o.ahead_usd + back, 0.0)
    lots = _share_out(o, reached, jnp.round(usd / lot) - queue / lot)
    o = dataclasses.replace(
        o,
        ahead_usd=o.ahead_usd + back,
        fell_usd=o.fell_usd - explained,
        credit_usd=o.credit_usd - back,
        owed_usd=o.owed_usd + jnp.where(at, usd - explained, 0.0),
    )
    return o, Taken(lots, jnp.where(at, usd, 0.0))


def by_limit(o: Resting, event: Event) -> Taken:
    """A taker with a limit price: all that is better than ours goes first, ours up to his limit."""
    lot, usd = event.rules.lot_usd, event.trade.usd
    sign = jnp.asarray(OUTWARD, o.ticks.dtype)[:, None, None]
    open_ = is_hit(event) & o.has_arrived & (o.lots > 0)
    reached = open_ & (outward(o.ticks) <= sign * event.trade.ticks)
    better = shown_before(event, o.ticks)
    lots = _share_out(o, reached, jnp.round(usd / lot) - (better + o.ahead_usd) / lot)
    left = jnp.where(reached, jnp.maximum(usd - better, 0.0), 0.0)
    return Taken(lots, left)


def public_print(event: Event, o: Resting, taken: Taken) -> tuple[Int32[Array, ""], Trade]:
    """Kind of row and print that the public sees of a taker with a limit.

    He prints at the touch of the book if he takes any of it, at our best price if he met only us,
    and not at all if his limit reached nothing: then the row is a mere passing of time.
    """
    is_taker = event.kind == int(Kind.TRADE)
    sign = jnp.asarray(OUTWARD, o.ticks.dtype)[:, None]
    within = outward(event.book.ticks) <= sign * event.trade.ticks
    within = within & event.book.is_valid & is_hit(event)[:, :, 0]
    shown = jnp.sum(jnp.where(within, event.book.usd, 0.0))
    ours = jnp.sum(taken.lots) * event.rules.lot_usd
    book = jnp.minimum(jnp.maximum(event.trade.usd - ours, 0.0), shown)
    far = jnp.iinfo(o.ticks.dtype).max
    best = jnp.min(jnp.where(taken.lots > 0, outward(o.ticks), far), axis=(1, 2))
    is_book = book > event.rules.lot_usd / 2
    at_side = jnp.where(is_book, event.book.ticks[:, 0], outward(best))
    at = jnp.where(event.trade.sign > 0, at_side[1], at_side[0])
    happened = is_taker & (is_book | (ours > 0))
    seen = Trade(
        ticks=at,
        price_bp=price_bp(event, at.astype(event.trade.price_bp.dtype)),
        usd=ours + book,
        sign=event.trade.sign,
    )
    nothing = Trade(0 * at, 0 * seen.price_bp, 0 * seen.usd, 0 * seen.sign)
    kind = jnp.where(is_taker & ~happened, jnp.full_like(event.kind, int(Kind.TIMER)), event.kind)
    return kind, where(happened, seen, nothing)


def _share_out(
    o: Resting, reached: Bool[Array, "side g s"], volume: Float[Array, "side g s"]
) -> Float[Array, "side g s"]:
    """Lots to each order reached, of the volume left at its place in front of our own orders."""
    wants = jnp.where(reached, o.lots, 0.0)

    def share() -> Array:
        return jnp.clip(jnp.floor(volume) - _own_before(o, wants), 0.0, wants)

    # Ordering is quadratic in the orders and most rows reach none.
    return jax.lax.cond(jnp.any(reached), share, lambda: jnp.zeros_like(wants))


def _own_before(o: Resting, wants: Float[Array, "side g s"]) -> Float[Array, "side g s"]:
    """Lots of our own orders with a better price, or the same price and an earlier time.

    One generation of the others at a time: all pairs at once are so large that the compiler splits
    them between threads, and the step falls out of its one kernel.
    """
    slots = o.ticks.shape[2]
    flat = lambda x: x.reshape(2, -1)
    out, age, lots = flat(outward(o.ticks)), flat(o.placed_s), flat(wants)
    index = jnp.arange(out.shape[1])

    def add(generation: Int32[Array, ""], total: Array) -> Array:
        others = lambda x: jax.lax.dynamic_slice_in_dim(x, generation * slots, slots, axis=-1)
        at, since = others(out)[:, None, :], others(age)[:, None, :]
        one = lambda x: x[:, :, None]
        first = (since == one(age)) & (others(index)[None, None, :] < index[None, :, None])
        first = (at == one(out)) & ((since > one(age)) | first)
        before = (at < one(out)) | first
        return total + jnp.sum(jnp.where(before, others(lots)[:, None, :], 0.0), axis=2)

    total = jax.lax.fori_loop(0, o.ticks.shape[1], add, jnp.zeros_like(age))
    return total.reshape(wants.shape)
