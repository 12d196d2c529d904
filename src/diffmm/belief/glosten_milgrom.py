"""What our own fill says about fair value: a probit mixture of informed and uninformed takers.

The taker who lifts our ask at `a` (side `s = +1`; `s = -1` our bid is hit) is informed with
probability `pi`, and then trades because `V + noise > a`; an uninformed one reaches us with
probability `u`, which falls with depth and queue. For `V ~ N(m, P)`:

    L(V) = (1 - pi) u + pi Phi(s (V - a) / s_n)
    Z    = (1 - pi) u + pi Phi(z),  z = s (m - a) / D,  D = sqrt(P + s_n^2),  r = pi phi(z) / Z
    m'   = m + s (P / D) r,   P' = P - (P / D)^2 r (z + r)

A taker who is seen to stop short of a quote of ours that rests is the other outcome of the same
draw: `1 - (1 - pi) u - pi g Phi(s (V - a) / s_n)`, where g is the chance that the queue in front of
us would not have stopped an informed one.

Source: Glosten & Milgrom (1985); Gaussian form derived here, tested against quadrature. The
variance may rise.
"""

import math

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Float

from diffmm.core import numerics


LOG_ROOT_TWO_PI = math.log(2 * math.pi) / 2


class FillPosterior(eqx.Module):
    """Likelihood of the fill and the first two moments of V after it."""

    likelihood: Float[Array, "*s"]
    mean_bp: Float[Array, "*s"]
    var_bp2: Float[Array, "*s"]


def posterior(
    mean_bp: Float[Array, "*#s"],
    var_bp2: Float[Array, "*#s"],
    price_bp: Float[Array, "*#s"],
    sign: Float[Array, "*#s"],
    informed: Float[Array, "*#s"],
    reach: Float[Array, "*#s"],
    signal_noise_bp: Float[Array, "*#s"],
) -> FillPosterior:
    """Moments of V given that a quote was filled.

    Args:
        mean_bp: prior mean m.
        var_bp2: prior variance P.
        price_bp: our price a.
        sign: s, +1 for our ask.
        informed: pi in `[0, 1]`.
        reach: u in `(0, 1]`, probability that an uninformed taker reaches the quote.
        signal_noise_bp: s_n > 0.
    """
    spread = jnp.sqrt(var_bp2 + signal_noise_bp**2)
    z = sign * (mean_bp - price_bp) / spread
    likelihood = (1 - informed) * reach + informed * ndtr(z)
    # Both terms may underflow far from the market; then the fill says nothing. The ratio goes
    # through logarithms because the derivative of a quotient squares its divisor.
    likelihood = likelihood + jnp.finfo(likelihood.dtype).tiny ** 0.5
    log_density = numerics.safe_log(informed) - z**2 / 2 - LOG_ROOT_TWO_PI
    ratio = jnp.exp(log_density - jnp.log(likelihood))
    gain = var_bp2 / spread
    return FillPosterior(
        likelihood,
        mean_bp + sign * gain * ratio,
        var_bp2 - gain**2 * ratio * (z + ratio),
    )


def passed(
    mean_bp: Float[Array, "*#s"],
    var_bp2: Float[Array, "*#s"],
    price_bp: Float[Array, "*#s"],
    sign: Float[Array, "*#s"],
    informed: Float[Array, "*#s"],
    reach: Float[Array, "*#s"],
    through: Float[Array, "*#s"],
    signal_noise_bp: Float[Array, "*#s"],
) -> FillPosterior:
    """Moments of V given that a taker came on the quote's side and stopped short of it.

    Args:
        mean_bp: prior mean m.
        var_bp2: prior variance P.
        price_bp: our price a.
        sign: s, +1 for our ask.
        informed: pi in `[0, 1]`.
        reach: u in `[0, 1]`, as in `posterior`.
        through: g in `[0, 1]`, probability that an informed taker gets through the queue before us.
        signal_noise_bp: s_n > 0.
    """
    # 1 - pi g Phi(x) is (1 - pi g) + pi g Phi(-x): the other side's mixture, and never zero.
    other = (1 - informed) * (1 - reach) + informed * (1 - through)
    total = other + informed * through
    share = informed * through / total
    one = jnp.ones_like(share)
    found = posterior(mean_bp, var_bp2, price_bp, -sign, share, one, signal_noise_bp)
    return FillPosterior(found.likelihood * total, found.mean_bp, found.var_bp2)
