"""How likely a taker of a generative world is to fill an order of ours, as a smooth function of it.

`laws` draws each taker's limit price and size; here both are integrated out, given why he comes,
which side he takes, M and V. For an order of n USD at x behind `a` USD, on side s (+1 our ask):

    uninformed  P(reach) = exp(-max(s (x - M), 0) / reach_bp)
    informed    P(reach) = Phi(s (V - x) / noise_bp) / Phi(s (V - M) / noise_bp), at most 1
    sniper      P(reach) = Phi(s (M - x) / noise_bp)
    P(fill) = P(reach) exp(-a / mean_usd) n / (n + m)
    taken   = mean_usd (1 - exp(-(n + m) / mean_usd))

A fill is what a taker takes on average who comes so far. A sniper's limit has noise here, so that
his odds have a gradient. An order of n is sent with probability `n / (n + m)` as one of `n + m`,
with m the venue's minimum: its expected size is n and it is never too small. Between two ticks an
order is behind the outer one in part. Source: ours; tested against draws of `laws` in
`tests/simulation/test_taker_law.py`.
"""

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Bool, Float

from diffmm.market import Event

from . import generative
from .soft_fills import log_odds
from .world import World


NOBODY = -1e4
"""Log odds of a fill where no taker comes."""


class Law(eqx.Module):
    """The world's numbers that decide a fill and what it costs.

    **Attributes:**

    - `cost_bp`: expected cost of unwinding a filled unit.
    - `variance_bp2_s`: of V, per second.
    """

    reach_bp: Float[Array, ""]
    mean_usd: Float[Array, ""]
    noise_bp: Float[Array, ""]
    cost_bp: Float[Array, ""]
    variance_bp2_s: Float[Array, ""]

    @classmethod
    def of(cls, world: World, taker_fee_bp: float, dtype: object = jnp.float32) -> "Law":
        """Of a world; unwinding pays its half spread and the fee."""
        market, private = world.market, world.private
        # An exponential jump of mean b has second moment 2 b^2.
        variance = market.volatility_bp**2 + 2 * market.jump_rate_s * market.jump_bp**2
        values = (
            world.takers.reach_bp,
            world.takers.mean_usd,
            private.noise_bp,
            world.unwinding.share * (world.makers.half_spread_bp + taker_fee_bp),
            variance + private.sd_bp**2 / private.delay_s,
        )
        return cls(*(jnp.asarray(x, dtype) for x in values))


class Taker(eqx.Module):
    """The taker of a row, and what is true when he comes.

    **Attributes:**

    - `sign`: +1 buys, -1 sells, 0 for nobody.
    - `is_informed`, `is_sniper`: why he comes.
    - `public_bp`, `value_bp`: M and V about the tape's anchor.
    """

    sign: Float[Array, "*s"]
    is_informed: Bool[Array, "*s"]
    is_sniper: Bool[Array, "*s"]
    public_bp: Float[Array, "*s"]
    value_bp: Float[Array, "*s"]


def filled_usd(
    law: Law, taker: Taker, usd: Float[Array, ""], min_usd: Float[Array, ""]
) -> Float[Array, ""]:
    """What a taker who fills an order of `usd` takes of it: `E[min(order, rest of his size)]`."""
    mean = _mean_usd(law, taker)
    return -mean * jnp.expm1(-(usd + min_usd) / mean)


def ahead_usd(event: Event, price_bp: Float[Array, ""], sign: Float[Array, ""]) -> Float[Array, ""]:
    """Displayed in front of an order between ticks: all of a level at its price, none a tick in."""
    side = jnp.where(sign > 0, 1, 0)
    book = event.book
    level = jnp.where(sign > 0, book.price_bp[1], book.price_bp[0])
    shown = jnp.where(side == 1, book.usd[1], book.usd[0])
    valid = jnp.where(side == 1, book.is_valid[1], book.is_valid[0])
    behind = jnp.clip(sign * (price_bp - level) / event.rules.tick_bp + 1, 0, 1)
    return jnp.sum(jnp.where(valid, shown * behind, 0.0))


def fill_log_odds(
    law: Law,
    taker: Taker,
    price_bp: Float[Array, ""],
    usd: Float[Array, ""],
    ahead: Float[Array, ""],
    min_usd: Float[Array, ""],
) -> Float[Array, ""]:
    """Log odds that this taker fills our order on the side that he takes.

    Args:
        law: of the world.
        taker: of this row.
        price_bp: x.
        usd: n, at least 0, before the minimum.
        ahead: a, displayed in front of it.
        min_usd: m.
    """
    s, noise = taker.sign, law.noise_bp
    beyond = s * (price_bp - taker.public_bp)
    casual = -jnp.maximum(beyond, 0.0) / law.reach_bp
    knows = log_ndtr(s * (taker.value_bp - price_bp) / noise)
    came = log_ndtr(s * (taker.value_bp - taker.public_bp) / noise)
    informed = jnp.minimum(knows - came, 0.0)
    log_reach = jnp.where(taker.is_informed, informed, casual)
    log_reach = jnp.where(taker.is_sniper, log_ndtr(-beyond / noise), log_reach)
    least = jnp.finfo(usd.dtype).eps * min_usd
    log_sent = jnp.log(usd + least) - jnp.log(usd + min_usd)
    log_p = jnp.minimum(log_reach - ahead / _mean_usd(law, taker) + log_sent, 0.0)
    return jnp.where(s == 0, NOBODY, log_odds(log_p))


def _mean_usd(law: Law, taker: Taker) -> Float[Array, ""]:
    return jnp.where(taker.is_sniper, generative.SNIPER_SIZES, 1.0) * law.mean_usd
