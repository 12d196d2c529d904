"""What happened between two successive books, level by level, every unit of size accounted for.

    before + sum of changes = now      at every price, exactly

A price that only one of the two books reaches down to is out of sight in the other: its change
keeps the sum right and is no event. Works on integers as on floats; on floats the sum is exact
wherever sizes are integers of the dtype's precision. Source: ours, see the conservation law in the
tests.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Num

from diffmm.market import SIDE_SIGN


class Levels(eqx.Module):
    """A book as this package compares it: bids then asks, from the touch outwards.

    **Attributes:**

    - `ticks`: level prices in ticks from the anchor; invalid levels repeat the last valid one.
    - `usd`: displayed notional, zero where invalid.
    - `is_valid`: whether the level exists.
    """

    ticks: Num[Array, "side levels"]
    usd: Num[Array, "side levels"]
    is_valid: Bool[Array, "side levels"]


class Changes(eqx.Module):
    """Signed changes: one row for each level of the old book, then one for each of the new.

    **Attributes:**

    - `ticks`: price of the row.
    - `usd`: size added (positive) or gone (negative); a level in both books counts in its old row.
    - `is_event`: whether somebody did it; false where a level came into or went out of sight.
    - `distance`: ticks behind the better of the old and the new touch of its side, at least 0.
    - `same`: `same[s, j, i]` is 1 where new level `j` is old level `i`.
    """

    ticks: Num[Array, "side rows"]
    usd: Num[Array, "side rows"]
    is_event: Bool[Array, "side rows"]
    distance: Num[Array, "side rows"]
    same: Num[Array, "side levels levels"]


def changes(before: Levels, now: Levels) -> Changes:
    """Compare two books.

    Args:
        before: the older book; without a level on either side nothing is an event.
        now: the newer one.
    """
    at = now.ticks[:, :, None] == before.ticks[:, None, :]
    same = at & now.is_valid[:, :, None] & before.is_valid[:, None, :]
    matched = same.astype(now.usd.dtype)
    old = jnp.where(before.is_valid, before.usd, 0)
    new = jnp.where(now.is_valid, now.usd, 0)
    kept = jnp.sum(matched * new[:, :, None], axis=1)
    fresh = jnp.where(jnp.any(same, axis=2), 0, new)
    ticks = jnp.concatenate([before.ticks, now.ticks], axis=1)
    usd = jnp.concatenate([kept - old, fresh], axis=1)
    sign = jnp.asarray(SIDE_SIGN, ticks.dtype)[:, None]
    outward = lambda x: sign * x
    depth = lambda x: jnp.max(outward(x.ticks), axis=1)
    touch = lambda x: jnp.min(outward(x.ticks), axis=1)
    seen = outward(ticks) <= jnp.minimum(depth(before), depth(now))[:, None]
    known = jnp.all(jnp.any(before.is_valid, axis=1) & jnp.any(now.is_valid, axis=1))
    nearest = jnp.minimum(touch(before), touch(now))[:, None]
    return Changes(
        ticks, usd, seen & known & (usd != 0), jnp.maximum(outward(ticks) - nearest, 0), matched
    )
