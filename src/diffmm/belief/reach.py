"""Whether an uninformed taker reaches a quote, given that one arrives on its side.

    u(d, ahead) = exp(-k max(d, 0) / unit) (1 + c ahead / (a trade))^-a
    unit = half_spread + sigma sqrt(scale) + tick / 2

falls with depth beyond fair value and with the queue in front, both in the market's own units. The
belief's fill update and the surface's fill probability call this one function. Sizes of takers have
a power tail (Lomax): on recorded coins 1.5 to 2.6 % of them are beyond eight times the mean, where
an exponential law, the limit of large `a`, has .03 %. Most takers are far smaller than the mean, so
the law falls fast at first: on a thin coin one print in nine stands for a taker beyond 1.2 mean
prints, one in 45 for one beyond ten. Source: exponential depth decay of Avellaneda
& Stoikov (2008); Gopikrishnan et al. (2000) for the tail; tested in `tests/belief/test_reach.py`.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE


class Params(eqx.Module):
    depth_decay: Float[Array, ""] = param(POSITIVE, 0.4)
    queue_decay: Float[Array, ""] = param(POSITIVE, 6.0)
    queue_tail: Float[Array, ""] = param(POSITIVE, 1.0)
    scale_s: Float[Array, ""] = param(POSITIVE, 1.0, unit="s", trainable=False)


def log_reach(
    params: Params,
    depth_bp: Float[Array, "*#s"],
    ahead_usd: Float[Array, "*#s"],
    unit_bp: Float[Array, ""],
    trade_usd: Float[Array, ""],
) -> Float[Array, "*s"]:
    """`log u`, at most 0.

    Args:
        params: decays and the tail.
        depth_bp: distance of the quote beyond fair value on its own side; negative inside it.
        ahead_usd: notional in front of the quote at better or equal prices.
        unit_bp: scale of a depth, `belief.depth_unit_bp`, above zero.
        trade_usd: mean notional that a taker takes, above zero.
    """
    deep = params.depth_decay * jnp.maximum(depth_bp, 0.0) / unit_bp
    queue = params.queue_decay * ahead_usd / (params.queue_tail * trade_usd)
    return -deep - params.queue_tail * jnp.log1p(queue)
