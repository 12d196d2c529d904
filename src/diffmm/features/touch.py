"""What one book says: mid, half spread, queue ratio, depth ratio.

Source: Stoikov (2018) for the micro-price; `ours` for the log ratio in place of the imbalance,
which saturates near the ends.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import numerics
from diffmm.market import ASK, BID, Book


class Touch(eqx.Module):
    """Best bid and offer; the numbers are finite also where `has_book` is false.

    **Attributes:**

    - `bid_bp`, `ask_bp`: best prices.
    - `bid_usd`, `ask_usd`: displayed notional at them.
    - `has_book`: both sides exist and do not cross.
    """

    bid_bp: Float[Array, ""]
    ask_bp: Float[Array, ""]
    bid_usd: Float[Array, ""]
    ask_usd: Float[Array, ""]
    has_book: Bool[Array, ""]

    @property
    def mid_bp(self) -> Float[Array, ""]:
        """Half way between the best prices."""
        return (self.bid_bp + self.ask_bp) / 2

    @property
    def half_spread_bp(self) -> Float[Array, ""]:
        """Half the distance of the best prices."""
        return (self.ask_bp - self.bid_bp) / 2


def touch(book: Book) -> Touch:
    """The first level of each side."""
    price, usd = book.price_bp[:, 0], book.usd[:, 0]
    two_sided = book.is_valid[BID, 0] & book.is_valid[ASK, 0]
    has_book = two_sided & (book.ticks[BID, 0] < book.ticks[ASK, 0]) & jnp.all(usd > 0)
    return Touch(price[BID], price[ASK], usd[BID], usd[ASK], has_book)


def log_queue_ratio(at: Touch) -> Float[Array, ""]:
    """`1/2 ln(q_bid / q_ask)`, zero without a book; the imbalance is its `tanh`."""
    ratio = jnp.where(at.has_book, at.bid_usd, 1.0) / jnp.where(at.has_book, at.ask_usd, 1.0)
    return jnp.log(ratio) / 2


def size_weighted_mid(at: Touch) -> Float[Array, ""]:
    """`mid + half_spread * tanh(log_queue_ratio)`: the mid weighted by the opposite queues."""
    return at.mid_bp + at.half_spread_bp * jnp.tanh(log_queue_ratio(at))


def depth_ratio(
    book: Book, mid_bp: Float[Array, ""], reach_bp: Float[Array, ""]
) -> Float[Array, ""]:
    """`1/2 ln(D_bid / D_ask)` with `D = sum sqrt(usd) exp(-|price - mid| / reach)`, 0 where empty.

    The root keeps one large order from standing for its whole side.
    """
    near = jnp.exp(-jnp.abs(book.price_bp - mid_bp) / reach_bp)
    usd = numerics.safe_sqrt(jnp.where(book.is_valid, book.usd, 0.0))
    depth = jnp.sum(near * usd, axis=1)
    both = jnp.all(depth > 0)
    return jnp.log(jnp.where(both, depth[BID], 1.0) / jnp.where(both, depth[ASK], 1.0)) / 2


def order_flow(before: Touch, now: Touch, tick_bp: Float[Array, ""]) -> Float[Array, ""]:
    """Exact order-flow imbalance of one book change in USD (Cont, Kukanov, Stoikov 2014, eq. 2).

    `e = q_b [P_b >= P_b'] - q_b' [P_b <= P_b'] - q_a [P_a <= P_a'] + q_a' [P_a >= P_a']`, where a
    price change is at least half a tick. Zero unless both books are two-sided.
    """
    half = tick_bp / 2
    bid, ask = now.bid_bp - before.bid_bp, now.ask_bp - before.ask_bp
    flow = (
        jnp.where(bid > -half, now.bid_usd, 0.0)
        - jnp.where(bid < half, before.bid_usd, 0.0)
        - jnp.where(ask < half, now.ask_usd, 0.0)
        + jnp.where(ask > -half, before.ask_usd, 0.0)
    )
    return jnp.where(now.has_book & before.has_book, flow, 0.0)
