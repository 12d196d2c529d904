"""Prices worth asking about: inside the spread, every tick near the touch, then deeper.

Offsets grow outwards, so the list is sorted by construction and nothing is sorted at run time. A
deep candidate moves out to one tick in front of the next displayed level: the queue in front is the
same and the edge is larger.
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from diffmm.market import Book


BP = 1e4


@dataclasses.dataclass(frozen=True)
class Config:
    """How many candidates of each kind a side has; `total` is M."""

    inside: int = 6
    near: int = 10
    deep: int = 16

    @property
    def total(self) -> int:
        """M, candidates a side."""
        return self.inside + self.near + self.deep


class Candidates(eqx.Module):
    """Prices from the innermost outwards; a repeated one, or one below zero, is not valid."""

    ticks: Int32[Array, "side candidates"]
    price_bp: Float[Array, "side candidates"]
    ahead_usd: Float[Array, "side candidates"]
    is_valid: Bool[Array, "side candidates"]


def outward(side_values: Int32[Array, "side *s"]) -> Int32[Array, "side *s"]:
    """Ticks counted away from the market: bids negated. Its own inverse."""
    return jnp.stack([-side_values[0], side_values[1]])


def queue_ahead(book: Book, out_ticks: Int32[Array, "side n"]) -> Float[Array, "side n"]:
    """Displayed notional at better or equal prices than each outward tick."""
    level = outward(book.ticks)
    before = (level[:, None, :] <= out_ticks[:, :, None]) & book.is_valid[:, None, :]
    return jnp.sum(jnp.where(before, book.usd[:, None, :], 0.0), axis=2)


def candidates(
    book: Book, tick_bp: Float[Array, ""], reach_bp: Float[Array, ""], config: Config
) -> Candidates:
    """Candidate prices for one book.

    Args:
        book: a two-sided book, our own size excluded.
        tick_bp: price step near the touch.
        reach_bp: distance of the deepest candidate from the touch.
        config: counts.
    """
    level = outward(book.ticks)
    touch = level[:, :1]
    count = lambda start, stop: jnp.arange(start, stop, dtype=level.dtype)[None, :]
    crossing = -level[::-1, :1]
    room = jnp.maximum(touch - crossing - 1, 0)
    # The best place inside is the tick in front of our own touch: they are counted from there.
    inside = touch - 1 - room * (config.inside - 1 - count(0, config.inside)) // config.inside
    near = touch + count(0, config.near)
    growth = (2 ** (6 * count(1, config.deep + 1) / config.deep) - 1) / (2**6 - 1)
    steps = jnp.ceil(reach_bp / tick_bp * growth.astype(reach_bp.dtype)).astype(touch.dtype)
    deep = touch + config.near - 1 + steps
    beyond = (level[:, None, :] >= deep[:, :, None]) & book.is_valid[:, None, :]
    far = jnp.iinfo(level.dtype).max
    following = jnp.min(jnp.where(beyond, level[:, None, :], far), axis=2)
    deep = jnp.where(following < far, following - 1, deep)
    out = jnp.concatenate([inside, near, deep], axis=1)
    out = jnp.maximum(out, crossing + 1)
    fresh = jnp.concatenate([jnp.ones_like(out[:, :1], bool), out[:, 1:] > out[:, :-1]], axis=1)
    ticks = outward(out)
    # The venue's grid is even in price, not in its logarithm.
    step = jnp.expm1(tick_bp / BP) * jnp.exp(-book.price_bp[:, :1] / BP)
    away = (ticks - book.ticks[:, :1]).astype(tick_bp.dtype) * step
    is_positive = away > -1
    price = book.price_bp[:, :1] + BP * jnp.log1p(jnp.where(is_positive, away, 0.0))
    return Candidates(ticks, price, queue_ahead(book, out), fresh & is_positive)
