"""What is looked at of each change: size, depth, kind, symmetry, and the times of its row."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import numerics

from .changes import Changes
from .statistics import ADD, CANCEL, KINDS, Marks, REPLACE


@runtime_checkable
class Times(Protocol):
    """The clocks of a row."""

    cosine: Float[Array, " periods"]
    sine: Float[Array, " periods"]
    touch_s: Float[Array, ""]
    quoted_s: Float[Array, " classes"]


def marks(
    similar: Float[Array, ""],
    found: Changes,
    traded: Float[Array, "side rows"],
    owned_usd: Float[Array, "classes side levels"],
    times: Times,
    bins: int,
    answer_s: Float[Array, ""],
    resolution_s: Float[Array, ""],
) -> Marks:
    """Marks of every change of a row, flat over sides and rows.

    Args:
        similar: difference of log sizes up to which two changes are of one order.
        found: the changes.
        traded: how much of each is a trade, which is the taker's size and not a quoter's.
        owned_usd: what each class has at each level of the old book.
        times: clocks before the row.
        bins: of the depth profile.
        answer_s: a touch move longer ago is not what is answered.
        resolution_s: of the stamps.
    """
    size = jnp.abs(found.usd)
    weight = jnp.where(found.is_event, 1 - traded / jnp.where(size > 0, size, 1), 0)
    log_size = jnp.where(found.is_event, numerics.safe_log(size), 0)
    is_add = found.is_event & (found.usd > 0)
    is_fall = found.is_event & (found.usd < 0)
    other = lambda x: x[::-1]
    like = lambda a, x, b, y: _likest(similar, a, x, b, y)
    replaced = jnp.where(
        is_add,
        like(is_add, log_size, is_fall, log_size),
        like(is_fall, log_size, is_add, log_size),
    )
    both = jnp.where(
        is_add,
        like(is_add, log_size, other(is_add), other(log_size)),
        like(is_fall, log_size, other(is_fall), other(log_size)),
    )
    added = is_add.astype(size.dtype)
    shares = {
        ADD: (1 - replaced) * added,
        CANCEL: (1 - replaced) * (1 - added),
        REPLACE: replaced,
    }
    nearest = jnp.floor(jnp.log2(1 + found.distance))
    at = jnp.minimum(nearest, bins - 1)
    depth = at[:, :, None] == jnp.arange(bins, dtype=at.dtype)[None, None, :]
    flat = lambda x: x.reshape(-1)
    # A level of the new book that the old one lacked holds nobody's order.
    held = jnp.concatenate([owned_usd, jnp.zeros_like(owned_usd)], axis=2)
    order = held + found.usd[None]
    # An order that rounding cannot tell from nothing is none.
    least = jnp.finfo(size.dtype).eps
    has_order = (held > least * size[None]) & (order > least * held) & found.is_event[None]
    log_order = jnp.where(has_order, numerics.safe_log(order), 0)
    by_class = lambda x: x.reshape(x.shape[0], -1).T
    return Marks(
        weight=flat(weight),
        log_size=flat(log_size),
        log_order=by_class(log_order),
        has_order=by_class(has_order),
        depth=depth.astype(size.dtype).reshape(-1, bins),
        kind=jnp.stack([flat(shares[k]) for k in range(KINDS)], axis=1),
        symmetry=jnp.stack([flat(1 - both), flat(both)], axis=1),
        is_add=flat(added),
        log_latency=jnp.log(jnp.minimum(times.touch_s, answer_s) + resolution_s),
        has_latency=jnp.where(times.touch_s < answer_s, 1.0, 0.0).astype(size.dtype),
        log_interval=jnp.log(times.quoted_s + resolution_s),
        cosine=times.cosine,
        sine=times.sine,
    )


def _likest(
    similar: Float[Array, ""], is_a: Array, a: Array, is_b: Array, b: Array
) -> Float[Array, "side rows"]:
    """How like in size the likest of the others is to each, in [0, 1]."""
    pairs = is_a[:, :, None] & is_b[:, None, :]
    away = (a[:, :, None] - b[:, None, :]) / similar
    return jnp.max(jnp.where(pairs, jnp.exp(-(away**2) / 2), 0), axis=2)
