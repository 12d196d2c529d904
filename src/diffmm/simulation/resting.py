"""Our orders at the venue: on their way, in the queue, cancelled; and the queue in front of them.

An order joins behind what was displayed at its price when it arrived; what the next row adds is
behind it. What the display loses later was traded or was cancelled; prints say which, within
`pairing_s` before or after. Source: ours.
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from diffmm.core import param, POSITIVE, REAL, SHARE
from diffmm.market import Event, Kind


BP = 1e4
OUTWARD = (-1, 1)
"""Factor of ticks that makes a larger number a worse price for the taker, by side."""
MS_PER_S = 1e3


class Params(eqx.Module):
    """The rule's four numbers, and how long a print and the decrease it caused can be apart."""

    order_latency_ms: Float[Array, ""] = param(POSITIVE, 350.0, unit="ms", trainable=False)
    cancel_latency_ms: Float[Array, ""] = param(POSITIVE, 350.0, unit="ms", trainable=False)
    queue_cancel_ahead: Float[Array, ""] = param(SHARE, 0.5, trainable=False)
    clock_offset_ms: Float[Array, ""] = param(REAL, 0.0, unit="ms", trainable=False)
    pairing_s: Float[Array, ""] = param(POSITIVE, 1.0, unit="s", trainable=False)


class Resting(eqx.Module):
    """Orders by generation: 0 stands, the others have a cancel in flight.

    **Attributes:**

    - `ahead_usd`: queue in front of us at our price; `joined_usd` when we joined.
    - `shown_usd`: displayed at our price when last seen.
    - `fell_usd`: decrease of the display that no print has explained yet, and `credit_usd` what it
      took from the queue in front of us.
    - `owed_usd`: prints at our price that the display has not shown yet.
    - `crosses`: of an order on its way, whether what it last saw would refuse it.
    """

    ticks: Int32[Array, "side generations slots"]
    lots: Float[Array, "side generations slots"]
    ahead_usd: Float[Array, "side generations slots"]
    shown_usd: Float[Array, "side generations slots"]
    joined_usd: Float[Array, "side generations slots"]
    fell_usd: Float[Array, "side generations slots"]
    credit_usd: Float[Array, "side generations slots"]
    owed_usd: Float[Array, "side generations slots"]
    placed_s: Float[Array, "side generations slots"]
    cancelled_s: Float[Array, "side generations slots"]
    has_arrived: Bool[Array, "side generations slots"]
    crosses: Bool[Array, "side generations slots"]


def outward(values: Int32[Array, "side *n"]) -> Int32[Array, "side *n"]:
    """Ticks counted away from the market: bids negated. Its own inverse."""
    sign = jnp.asarray(OUTWARD, values.dtype)
    return values * jnp.expand_dims(sign, tuple(range(1, values.ndim)))


def shown_at(event: Event, ticks: Int32[Array, "side n s"]) -> Float[Array, "side n s"]:
    """Displayed notional at exactly these prices."""
    same = ticks[..., None] == event.book.ticks[:, None, None, :]
    same = same & event.book.is_valid[:, None, None, :]
    return jnp.sum(jnp.where(same, event.book.usd[:, None, None, :], 0.0), axis=3)


def shown_before(event: Event, ticks: Int32[Array, "side n s"]) -> Float[Array, "side n s"]:
    """Displayed notional at better prices than these."""
    better = outward(event.book.ticks)[:, None, None, :] < outward(ticks)[..., None]
    better = better & event.book.is_valid[:, None, None, :]
    return jnp.sum(jnp.where(better, event.book.usd[:, None, None, :], 0.0), axis=3)


def opposite_touch(event: Event) -> tuple[Int32[Array, "side 1 1"], Bool[Array, "side 1 1"]]:
    """Best price of the other side in outward ticks of this side, and whether there is one."""
    sign = jnp.asarray(OUTWARD, event.book.ticks.dtype)[:, None, None]
    ticks = jnp.flip(event.book.ticks[:, 0])[:, None, None]
    return sign * ticks, jnp.flip(event.book.is_valid[:, 0])[:, None, None]


def would_cross(event: Event, ticks: Int32[Array, "side n s"]) -> Bool[Array, "side n s"]:
    """Whether orders at these prices meet the other side's touch."""
    opposite, has = opposite_touch(event)
    return has & (outward(ticks) <= opposite)


def price_bp(event: Event, ticks: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`1e4 log(1 + ticks x tick / anchor)`."""
    return BP * jnp.log1p(ticks * jnp.expm1(event.rules.tick_bp / BP))


def age(params: Params, o: Resting, event: Event) -> Resting:
    """Clocks, re-anchoring, and cancels that have reached the venue."""
    placed = o.placed_s + event.dt_s
    cancelled = jnp.where(o.cancelled_s >= 0, o.cancelled_s + event.dt_s, o.cancelled_s)
    gone = (cancelled >= 0) & _is_at_venue(params, event, cancelled, params.cancel_latency_ms)
    # A decrease and the print that caused it come close together; later they are unrelated.
    paired = jnp.exp(-event.dt_s / params.pairing_s)
    regrid = (event.kind == int(Kind.ANCHOR)) & (event.shift_ticks == 0)
    return dataclasses.replace(
        o,
        ticks=o.ticks + event.shift_ticks,
        lots=jnp.where(gone | regrid, 0.0, o.lots),
        placed_s=placed,
        cancelled_s=cancelled,
        fell_usd=o.fell_usd * paired,
        credit_usd=o.credit_usd * paired,
        owed_usd=o.owed_usd * paired,
    )


def _is_at_venue(
    params: Params, event: Event, since_s: Float[Array, "s g n"], latency_ms: Float[Array, ""]
) -> Bool[Array, "s g n"]:
    """Whether what was sent `since_s` ago on our clock was there when this row happened.

    Exchange stamps are whole milliseconds, and so is the comparison: no rounding decides a tie.
    """
    behind_ms = event.lag_s * MS_PER_S - params.clock_offset_ms
    return jnp.round(since_s * MS_PER_S - behind_ms) >= latency_ms


def arrive(params: Params, o: Resting, event: Event) -> tuple[Resting, Int32[Array, ""]]:
    """Orders whose latency is over join the queue; one that would cross is refused (post-only).

    They came before this row, so what the row before it displayed decides.
    """
    due = _is_at_venue(params, event, o.placed_s, params.order_latency_ms)
    joins = due & ~o.has_arrived & (o.lots > 0)
    crosses = joins & o.crosses
    keep = lambda new, old: jnp.where(joins, new, old)
    return dataclasses.replace(
        o,
        lots=jnp.where(crosses, 0.0, o.lots),
        ahead_usd=keep(o.shown_usd, o.ahead_usd),
        joined_usd=keep(o.shown_usd, o.joined_usd),
        fell_usd=keep(0.0, o.fell_usd),
        credit_usd=keep(0.0, o.credit_usd),
        owed_usd=keep(0.0, o.owed_usd),
        has_arrived=o.has_arrived | joins,
    ), jnp.sum(crosses).astype(jnp.int32)


def see_book(params: Params, o: Resting, event: Event) -> Resting:
    """Displayed decreases that no print explains move the queue by the share in front of us."""
    is_book = (event.kind == int(Kind.BOOK)) | (event.kind == int(Kind.BBO))
    level = outward(event.book.ticks)
    nowhere = jnp.iinfo(level.dtype).min
    deepest = jnp.max(jnp.where(event.book.is_valid, level, nowhere), axis=1)
    # An order on its way reads the book in every row, to know what it will join.
    visible = (is_book | ~o.has_arrived) & (outward(o.ticks) <= deepest[:, None, None])
    shown = jnp.where(visible, shown_at(event, o.ticks), o.shown_usd)
    fell = jnp.maximum(o.shown_usd - shown, 0.0)
    known = jnp.minimum(o.owed_usd, fell)
    ahead = o.ahead_usd - params.queue_cancel_ahead * (fell - known)
    ahead = jnp.where(visible, jnp.clip(ahead, 0.0, shown), o.ahead_usd)
    return dataclasses.replace(
        o,
        shown_usd=shown,
        owed_usd=o.owed_usd - known,
        fell_usd=o.fell_usd + fell - known,
        credit_usd=o.credit_usd + o.ahead_usd - ahead,
        ahead_usd=ahead,
        crosses=would_cross(event, o.ticks),
    )
