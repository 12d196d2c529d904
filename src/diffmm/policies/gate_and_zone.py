"""The predecessor's quoter, for comparison only: a gate on inventory, zones, and a clamped drift.

Its rules as its own analysis of the session of 19 February 2026 states them, and nothing of them
is in the engine: a fixed half spread about the mid; a drift seen from the mid and clamped to 3 bp
of asymmetry; bids pulled only once the position is more than half the room (the gate reads no
signal: its weight of the trend was 0.000); from 60 % of the room the accumulating side 3 bp further
out and all sizes halved, from 80 % it is pulled and sizes are 30 %; one cycle every 6.5 s.

Left out: its toxicity multiplier (3 to 17 % of size) and its inventory term (below 1 % of the
spread while it mattered), both too small to change what happened.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE, Stage, UNIT
from diffmm.execution import Targets
from diffmm.market import ASK, BID, Event, SIDE_SIGN

from . import quoting


class Params(eqx.Module):
    """The predecessor's thresholds and multipliers; shares are of the room.

    **Attributes:**

    - `half_spread_bp`, `level_gap_bp`: of the first level, and between levels.
    - `size_usd`: of each quote.
    - `cycle_s`: from one evaluation to the next (181 in its 1168 s).
    - `gate`: above it the accumulating side is pulled.
    - `yellow`, `red`: where the zones begin.
    - `yellow_widen_bp`, `red_widen_bp`: by which the accumulating side goes out there.
    - `yellow_size`, `red_size`: multipliers of all sizes there.
    - `drift_cap_bp`: clamp of the asymmetry between the sides.
    - `drift_memory_s`: over which the mid's moves are summed; ours, its estimator is not stated.
    """

    half_spread_bp: Float[Array, ""] = param(POSITIVE, 2.85, unit="bp")
    level_gap_bp: Float[Array, ""] = param(POSITIVE, 1.0, unit="bp")
    size_usd: Float[Array, ""] = param(POSITIVE, 110.0, unit="USD")
    cycle_s: Float[Array, ""] = param(POSITIVE, 6.5, unit="s")
    gate: Float[Array, ""] = param(UNIT, 0.5)
    yellow: Float[Array, ""] = param(UNIT, 0.6)
    red: Float[Array, ""] = param(UNIT, 0.8)
    yellow_widen_bp: Float[Array, ""] = param(POSITIVE, 3.0, unit="bp")
    red_widen_bp: Float[Array, ""] = param(POSITIVE, 10.0, unit="bp")
    yellow_size: Float[Array, ""] = param(UNIT, 0.5)
    red_size: Float[Array, ""] = param(UNIT, 0.3)
    drift_cap_bp: Float[Array, ""] = param(POSITIVE, 3.0, unit="bp")
    drift_memory_s: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `levels`: quotes a side, each of the whole size; at most the slots of an event.
    """

    levels: int = 1


class State(eqx.Module):
    """The last mid, the sum of its moves that is remembered, and the age of the last cycle."""

    mid_bp: Float[Array, ""]
    has_mid: Bool[Array, ""]
    drift_bp: Float[Array, ""]
    since_s: Float[Array, ""]


def init(params: Params) -> State:
    """Nothing seen; the first cycle is due at once."""
    zero = 0 * params.cycle_s
    return State(zero, jnp.array(False), zero, zero + jnp.inf)


def update(params: Params, state: State, event: Event, *, config: Config) -> tuple[State, Targets]:
    """One row: the drift is followed on every one, orders change at a wake when a cycle is due."""
    price, valid = event.book.price_bp[:, 0], jnp.all(event.book.is_valid[:, 0])
    mid = jnp.where(valid, (price[BID] + price[ASK]) / 2, state.mid_bp + event.shift_bp)
    moved = jnp.where(state.has_mid & valid, mid - state.mid_bp - event.shift_bp, 0.0)
    drift = state.drift_bp * jnp.exp(-event.dt_s / params.drift_memory_s) + moved
    since = state.since_s + event.dt_s
    is_due = event.wake & event.is_valid & valid & (since >= params.cycle_s)
    new = State(mid, state.has_mid | valid, drift, jnp.where(is_due, 0.0, since))
    new = jax.tree.map(lambda a, b: jnp.where(event.is_valid, a, b), new, state)
    bid, ask, size = depths(params, drift, event.account.position_usd / event.account.room_usd)
    wanted = _ladder(params, event, mid, jnp.stack([bid, ask]), size, config.levels)
    orders = event.orders
    stay = dataclasses.replace(
        wanted,
        ticks=orders.ticks,
        lots=jnp.round(orders.usd / event.rules.lot_usd).astype(wanted.lots.dtype),
        keep=jnp.ones_like(wanted.keep),
    )
    return new, jax.tree.map(lambda a, b: jnp.where(is_due, a, b), wanted, stay)


def depths(
    params: Params, drift_bp: Float[Array, ""], held: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Depth of bid and ask from the mid, infinite where pulled, and the size in USD.

    Args:
        params: the thresholds.
        drift_bp: as followed, before the clamp.
        held: position over room.
    """
    most = jnp.abs(held)
    is_yellow, is_red = most >= params.yellow, most >= params.red
    zone = lambda green, yellow, red: jnp.where(is_red, red, jnp.where(is_yellow, yellow, green))
    size = params.size_usd * zone(1.0, params.yellow_size, params.red_size)
    widen = zone(0.0, params.yellow_widen_bp, params.red_widen_bp)
    pulled = (most > params.gate) | is_red
    # Half of the asymmetry on each side: both quotes go the drift's way.
    lean = jnp.clip(drift_bp, -params.drift_cap_bp, params.drift_cap_bp) / 2
    accumulates = jnp.asarray(SIDE_SIGN, held.dtype) * held < 0
    base = params.half_spread_bp + jnp.asarray(SIDE_SIGN, held.dtype) * lean
    found = base + jnp.where(accumulates, jnp.where(pulled, jnp.inf, widen), 0.0)
    return found[BID], found[ASK], size


def _ladder(
    params: Params, event: Event, mid_bp: Array, depth_bp: Array, size_usd: Array, levels: int
) -> Targets:
    """Quotes of one size, one a slot, each placed as any reference's."""
    slots = event.orders.ticks.shape[1]
    if not 0 < levels <= slots:
        raise ValueError(f"levels = {levels}, expected 1 to the {slots} slots of an event")
    rungs = []
    for k in range(levels):
        orders = jax.tree.map(lambda x, k=k: jnp.roll(x, -k, axis=1), event.orders)
        here = dataclasses.replace(event, orders=orders)
        bid, ask = depth_bp + k * params.level_gap_bp
        rungs.append(quoting.place(here, mid_bp, bid, ask, size_usd))
    first = rungs[0]
    put = lambda name: jnp.concatenate(
        [getattr(t, name)[:, :1] for t in rungs]
        + [getattr(first, name)[:, 1 : slots - levels + 1]],
        axis=1,
    )
    return dataclasses.replace(first, **{name: put(name) for name in ("ticks", "lots", "keep")})


def build(config: Config) -> Stage:
    """Bind the static choices; the input of a row is an event as told to the quoter."""
    return Stage(init, ft.partial(update, config=config))
