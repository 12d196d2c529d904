"""Keep or replace, per order; sizes to integer targets.

An order is kept while what it loses against the new target, at today's belief, is below the price
of the message that would replace it: the same price that the programme pays for new size. What is
right stays, for its place in the queue. Source: ours.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, UInt32

from diffmm.allocation import Allocation
from diffmm.core import small, Stage
from diffmm.core.health import FATAL
from diffmm.market import Event, Orders, SIDE_SIGN
from diffmm.pricing import Surface
from diffmm.risk import RiskBudget


BP = 1e4


@dataclasses.dataclass(frozen=True)
class Config:
    """No static choice: the slots come from the event."""

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls()


class Params(eqx.Module):
    """None of its own: the message price is the programme's."""


class State(eqx.Module):
    """Nothing is remembered."""


class Targets(eqx.Module):
    """What should stand on the book, by slot; untrusted from here on.

    **Attributes:**

    - `ticks`, `lots`: the order wanted in a slot, zero lots for none.
    - `keep`: the slot's present order stays as it is (then its ticks and lots are repeated).
    - `gamma_usd`: Gamma exposure of the whole set.
    - `is_valid`: false pulls everything.
    - `health`: flags of the whole step.
    """

    ticks: Int32[Array, "side slots"]
    lots: Int32[Array, "side slots"]
    keep: Bool[Array, "side slots"]
    gamma_usd: Float[Array, ""]
    is_valid: Bool[Array, ""]
    health: UInt32[Array, ""]


class Wanted(eqx.Module):
    """The best levels of one side, best first; zero lots where there are fewer."""

    ticks: Int32[Array, "side slots"]
    lots: Int32[Array, "side slots"]
    usd: Float[Array, "side slots"]
    value_usd: Float[Array, "side slots"]
    gamma_bp: Float[Array, "side slots"]


def init(params: Params, *, config: Config) -> State:
    """Nothing is remembered."""
    del params, config
    return State()


def update(
    params: Params,
    state: State,
    inputs: tuple[Event, RiskBudget, Surface, Allocation],
    *,
    config: Config,
) -> tuple[State, Targets]:
    """Targets at this wake."""
    del params, config
    event, risk, surface, allocation = inputs
    orders, lot = event.orders, event.rules.lot_usd
    slots = orders.ticks.shape[1]
    held = lambda x: x[:, x.shape[1] - slots :]
    wanted = _wanted(event, surface, allocation, slots)

    # What each order loses against the target nearest to it.
    exists = (wanted.lots > 0)[:, None, :]
    gap = jnp.abs(orders.ticks[:, :, None] - wanted.ticks[:, None, :])
    gap = jnp.where(exists, gap, jnp.iinfo(gap.dtype).max)
    nearest = jax.lax.argmin(gap, 2, gap.dtype)
    take = lambda x: jnp.take_along_axis(x, nearest, axis=1)
    same = jnp.min(gap, axis=2) == 0
    # Both at what the surface says a dollar is worth, inventory and impact included: an order whose
    # edge alone is positive may be one that nothing wants to hold.
    worth = surface.epnl_usd / surface.size_usd
    resize = held(surface.fill) * jnp.abs(held(surface.net_bp)) / BP
    loss = jnp.where(
        same,
        jnp.abs(take(wanted.usd) - orders.usd) * resize,
        jnp.maximum(take(wanted.value_usd), 0.0) - orders.usd * held(worth),
    )
    keep = orders.is_live & (loss <= allocation.message_usd) & surface.has_book

    keep = keep & _is_feasible(event, risk, wanted, orders, held(surface.gamma_bp), keep, nearest)
    covered = _covered(keep, nearest)
    ticks, lots = _fill_slots(wanted, ~covered, keep)
    kept_lots = jnp.round(orders.usd / lot).astype(lots.dtype)
    kept, placed = jnp.where(keep, orders.usd, 0.0), jnp.where(covered, 0.0, wanted.usd)
    gamma = jnp.sum(kept * held(surface.gamma_bp) + placed * wanted.gamma_bp)
    health = surface.health | allocation.health
    ok = surface.has_book & ((health & jnp.uint32(int(FATAL))) == 0)
    return state, Targets(
        ticks=jnp.where(keep, orders.ticks, ticks),
        lots=jnp.where(ok, jnp.where(keep, kept_lots, lots), 0),
        keep=keep & ok,
        gamma_usd=jnp.where(ok, gamma / BP, 0.0),
        is_valid=ok,
        health=health,
    )


def _wanted(event: Event, surface: Surface, allocation: Allocation, slots: int) -> Wanted:
    """Round down to lots, drop below the minimum notional, take the most valuable levels."""
    lot = event.rules.lot_usd
    lots = jnp.floor(allocation.size_usd / lot).astype(jnp.int32)
    usd = lots.astype(lot.dtype) * lot
    lots = jnp.where(usd >= event.rules.min_notional_usd, lots, 0)
    gain = jnp.where(lots > 0, allocation.gain_usd, 0.0)
    best = _best(gain, slots)
    take = lambda x: jnp.take_along_axis(x[:, : lots.shape[1]], best, axis=1)
    chosen = jnp.where(take(gain) > 0, take(lots), 0)
    usd = chosen.astype(lot.dtype) * lot
    value = usd * take(surface.epnl_usd) / surface.size_usd
    return Wanted(take(surface.ticks), chosen, usd, value, take(surface.gamma_bp))


def _best(gain: Float[Array, "side levels"], slots: int) -> Int32[Array, "side slots"]:
    """Places of the largest gains, the largest first and the inner of two equal ones.

    By counting what is better: a sort is a call out of the compiled step's one kernel.
    """
    place = jnp.arange(gain.shape[1], dtype=jnp.int32)
    before = place[:, None] < place[None, :]
    mine, other = gain[:, None, :], gain[:, :, None]
    ahead = (other > mine) | ((other == mine) & before[None])
    rank = jnp.sum(ahead, axis=1, dtype=jnp.int32)
    hit = rank[:, None, :] == place[None, :slots, None]
    return jnp.sum(jnp.where(hit, place[None, None, :], 0), axis=2, dtype=jnp.int32)


def _covered(
    keep: Bool[Array, "side slots"], nearest: Int32[Array, "side slots"]
) -> Bool[Array, "side slots"]:
    """Targets for which an order stays."""
    slots = keep.shape[1]
    hit = nearest[:, :, None] == jnp.arange(slots, dtype=nearest.dtype)[None, None, :]
    return jnp.any(hit & keep[:, :, None], axis=1)


def _is_feasible(
    event: Event,
    risk: RiskBudget,
    wanted: Wanted,
    orders: Orders,
    gamma_bp: Float[Array, "side slots"],
    keep: Bool[Array, "side slots"],
    nearest: Int32[Array, "side slots"],
) -> Bool[Array, ""]:
    """Whether what is kept plus what is placed respects every limit; keeping may break none."""
    placed = ~_covered(keep, nearest)
    usd = jnp.where(keep, orders.usd, 0.0)
    new = jnp.where(placed, wanted.usd, 0.0)
    both = jnp.stack([usd * gamma_bp + new * wanted.gamma_bp, usd + new])
    (gamma_bid, gamma_ask), total = jnp.sum(both, axis=2)
    gamma = gamma_bid + gamma_ask
    sign = jnp.asarray(SIDE_SIGN, usd.dtype)
    in_room = risk.room_usd + sign * risk.position_usd
    most = jnp.minimum(in_room, risk.kelly_usd + sign * risk.exposure_usd)
    return (gamma <= BP * event.account.gamma_limit_usd) & jnp.all(total <= jnp.maximum(most, 0.0))


def _fill_slots(
    wanted: Wanted, is_placed: Bool[Array, "side slots"], keep: Bool[Array, "side slots"]
) -> tuple[Int32[Array, "side slots"], Int32[Array, "side slots"]]:
    """The k-th target to place goes to the k-th free slot."""
    is_placed = is_placed & (wanted.lots > 0)
    rank = small.running(is_placed.astype(jnp.int32), 1)
    free = small.running((~keep).astype(jnp.int32), 1)
    goes = (rank[:, None, :] == free[:, :, None]) & is_placed[:, None, :] & ~keep[:, :, None]
    pick = lambda x: jnp.sum(jnp.where(goes, x[:, None, :], 0), axis=2, dtype=x.dtype)
    return pick(wanted.ticks), pick(wanted.lots)


def build(config: Config) -> Stage:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
