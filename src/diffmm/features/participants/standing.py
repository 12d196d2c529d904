"""Whose size stands where: soft ownership of the displayed levels, and how much is normal.

What a class adds is its own at that price; what leaves a level leaves its owners in proportion to
what they have there and to how much it looks like them. No level is owned beyond what it displays;
size that was there before we looked belongs to nobody. Source: ours, tests of both bounds.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import numerics, param, POSITIVE, UNIT
from diffmm.market import ASK, BID

from .changes import Changes, Levels
from .mixture import Log


class Params(eqx.Module):
    """What is normal, and how far it goes.

    **Attributes:**

    - `normal_s`: memory of normal depth and spread.
    - `unowned`: share of a level that anybody may own besides what was seen being added.
    - `resized`: share of the changes at an order's price that are changes of that order.
    """

    normal_s: Float[Array, ""] = param(POSITIVE, 300.0, unit="s")
    unowned: Float[Array, ""] = param(UNIT, 0.1)
    resized: Float[Array, ""] = param(UNIT, 0.5)


class State(eqx.Module):
    """Ownership of the last book's levels, and running normals.

    **Attributes:**

    - `owned_usd`: by class, side and level.
    - `depth_sum_usd`, `spread_sum_bp`: decaying integrals of depth, and of spread weighed by depth.
    - `seconds`: decaying time.
    """

    owned_usd: Float[Array, "classes side levels"]
    depth_sum_usd: Float[Array, " classes"]
    spread_sum: Float[Array, " classes"]
    seconds: Float[Array, ""]


class Standing(eqx.Module):
    """Of each class.

    **Attributes:**

    - `depth_usd`: displayed now, by side.
    - `normal_usd`: usual on both sides together.
    - `spread_bp`, `normal_bp`: mean distance of its size from the mid, now and usually.
    - `lean`: `(bid - ask) / (bid + ask)` of its size: it wants to buy where positive.
    """

    depth_usd: Float[Array, "classes side"]
    normal_usd: Float[Array, " classes"]
    spread_bp: Float[Array, " classes"]
    normal_bp: Float[Array, " classes"]
    lean: Float[Array, " classes"]


def init(one: Float[Array, ""], classes: int, levels: int) -> State:
    """Nobody owns anything."""
    zero = lambda *shape: jnp.zeros(shape, one.dtype)
    return State(zero(classes, 2, levels), zero(classes), zero(classes), zero())


def log_prior(
    params: Params,
    state: State,
    found: Changes,
    before: Levels,
    log_share: Float[Array, " classes"],
    has_order: Bool[Array, "events classes"],
) -> Log:
    """Log prior of whose each change is, by what each class has at its price.

    An added order is anybody's; size that leaves is its owners', and anybody's a little. A change
    at a price where a class has an order is with probability `resized` one of that order.
    """
    classes, _, levels = state.owned_usd.shape
    shown = jnp.where(before.is_valid, before.usd, 0)
    held = state.owned_usd + params.unowned * shown[None] / classes
    total = jnp.sum(held, axis=0)[None]
    owner = jnp.where(total > 0, held, 1) / jnp.where(total > 0, total, classes)
    mine = state.owned_usd / jnp.where(shown > 0, shown, 1)[None]
    fresh = jnp.zeros((classes, 2, levels), shown.dtype)
    rows = lambda x, new: jnp.concatenate([x, new], axis=2).reshape(classes, -1).T
    is_fall = (found.is_event & (found.usd < 0)).reshape(-1, 1)
    resized = params.resized * rows(mine, fresh) * has_order.astype(shown.dtype)
    order = log_share[None, :] + jnp.where(is_fall, rows(jnp.log(owner), fresh), 0)
    order = order + jnp.log1p(-jnp.sum(resized, axis=1))[:, None]
    return Log(order, jnp.where(resized > 0, numerics.safe_log(resized), numerics.LOG_WEIGHT_FLOOR))


def moved(
    state: State,
    found: Changes,
    now: Levels,
    shares: Float[Array, "classes side rows"],
) -> State:
    """Ownership after a book's changes."""
    levels = now.usd.shape[1]
    old, fresh = found.usd[:, :levels], found.usd[:, levels:]
    mine = jnp.where(found.is_event[None], shares, 0)
    gone = mine[:, :, :levels] * jnp.maximum(-old, 0)[None]
    added = mine[:, :, :levels] * jnp.maximum(old, 0)[None]
    kept = jnp.maximum(state.owned_usd - gone, 0) + added
    carried = jnp.sum(found.same[None] * kept[:, :, None, :], axis=3)
    owned = carried + mine[:, :, levels:] * fresh[None]
    total = jnp.sum(owned, axis=0)
    shown = jnp.where(now.is_valid, now.usd, 0)
    # Divided only where there is too much: next to nothing below it would overflow the gradient.
    is_over = total > shown
    owned = owned * jnp.where(is_over, shown / jnp.where(is_over, total, 1), 1)[None]
    return State(owned, state.depth_sum_usd, state.spread_sum, state.seconds)


def observed(
    params: Params, state: State, distance_bp: Float[Array, "side levels"], dt_s: Float[Array, ""]
) -> tuple[State, Standing]:
    """Depth, spread and lean now, then the normals with this step in them.

    Args:
        params: memories.
        state: after the row's changes.
        distance_bp: of each level from the mid.
        dt_s: time that the row brought.
    """
    depth = jnp.sum(state.owned_usd, axis=2)
    total = depth[:, BID] + depth[:, ASK]
    apart = jnp.sum(state.owned_usd * distance_bp[None], axis=(1, 2))
    # What is lost in the rounding of the others is nothing.
    least = jnp.finfo(total.dtype).eps
    has_size = total > least * jnp.sum(total)
    some = jnp.where(has_size, total, 1)
    keep = jnp.exp(-dt_s / params.normal_s)
    new = State(
        state.owned_usd,
        state.depth_sum_usd * keep + total * dt_s,
        state.spread_sum * keep + apart * dt_s,
        state.seconds * keep + dt_s,
    )
    normal_usd = new.depth_sum_usd / jnp.where(new.seconds > 0, new.seconds, 1)
    has_normal = new.depth_sum_usd > least * jnp.sum(new.depth_sum_usd)
    apart_sum = jnp.where(has_normal, new.spread_sum, 0)
    normal_bp = apart_sum / jnp.where(has_normal, new.depth_sum_usd, 1)
    spread_bp = jnp.where(has_size, apart / some, normal_bp)
    lean = jnp.where(has_size, depth[:, BID] - depth[:, ASK], 0) / some
    return new, Standing(depth, normal_usd, spread_bp, normal_bp, lean)
