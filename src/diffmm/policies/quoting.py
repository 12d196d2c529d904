"""A policy's depths as orders: one a side, on the grid, never across the book, within the room.

The same targets as the engine's, so that one fill rule, one ledger and one report serve both.
Source: ours; tested in `tests/policies/test_quoting.py`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import Health
from diffmm.execution import Targets
from diffmm.market import ASK, BID, Event, SIDE_SIGN

from .grid import Depths


BP = 1e4


def at_inventory(
    found: Depths, position_usd: Float[Array, ""], size_usd: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Depths at the whole number of fills nearest to a position; beyond the grid, its end's."""
    most = (found.bid.shape[0] - 1) // 2
    held = jnp.clip(jnp.round(position_usd / size_usd), -most, most).astype(jnp.int32)
    return found.bid[most + held], found.ask[most + held]


def place(
    event: Event,
    mid_bp: Float[Array, ""],
    bid_bp: Float[Array, ""],
    ask_bp: Float[Array, ""],
    size_usd: Float[Array, ""],
) -> Targets:
    """Targets in the first slot of each side.

    A bid rounds down and an ask up; a price that would cross stands one tick short of the opposite
    best. A side is empty where its depth is infinite, where a whole fill would pass the room, below
    the least notional, and without a two-sided book. An order that is right already is kept.

    Args:
        event: book, rules, account and orders.
        mid_bp: what the depths are measured from.
        bid_bp: depth of the bid.
        ask_bp: depth of the ask.
        size_usd: of each quote.
    """
    rules, book, account = event.rules, event.book, event.account
    depth = jnp.stack([bid_bp, ask_bp])
    sign = jnp.asarray(SIDE_SIGN, depth.dtype)
    is_quoted = jnp.isfinite(depth)
    price = mid_bp + sign * jnp.where(is_quoted, depth, 0.0)
    # Prices are log distances of the anchor, ticks are whole steps of it.
    steps = jnp.expm1(price / BP) / jnp.expm1(rules.tick_bp / BP)
    ticks = jnp.stack([jnp.floor(steps[BID]), jnp.ceil(steps[ASK])]).astype(jnp.int32)
    best = book.ticks[:, 0]
    ticks = jnp.stack(
        [jnp.minimum(ticks[BID], best[ASK] - 1), jnp.maximum(ticks[ASK], best[BID] + 1)]
    )
    has_book = jnp.all(book.is_valid[:, 0]) & (best[BID] < best[ASK])
    lots = jnp.floor(size_usd / rules.lot_usd).astype(jnp.int32)
    usd = lots.astype(depth.dtype) * rules.lot_usd
    fits = usd - sign * account.position_usd <= account.room_usd
    wanted = is_quoted & fits & has_book & (usd >= rules.min_notional_usd)
    lots = jnp.where(wanted, lots, 0)
    orders = event.orders
    held = jnp.round(orders.usd[:, 0] / rules.lot_usd).astype(jnp.int32)
    keep = orders.is_live[:, 0] & wanted & (orders.ticks[:, 0] == ticks) & (held == lots)
    first = jnp.arange(orders.ticks.shape[1]) == 0
    put = lambda x: jnp.where(first[None, :], x[:, None], jnp.zeros_like(x[:, None]))
    health = jnp.where(has_book, jnp.uint32(0), jnp.uint32(int(Health.NO_BOOK)))
    return jax.lax.stop_gradient(
        Targets(put(ticks), put(lots), put(keep), jnp.zeros_like(mid_bp), has_book, health)
    )
