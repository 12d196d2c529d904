"""Whether an uninformed taker reaches a quote, given that one arrives on its side.

    u(d, ahead) = exp(-k max(d, 0) / unit - c ahead / trade)
    unit = half_spread + sigma sqrt(scale) + tick / 2

falls with depth beyond fair value and with the queue in front, both in the market's own units. The
belief's fill update and the surface's fill probability call this one function. Source: exponential
depth decay of Avellaneda & Stoikov (2008); queue term ours (sizes of takers taken as exponential).
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE


class Params(eqx.Module):
    depth_decay: Float[Array, ""] = param(POSITIVE, 0.4)
    queue_decay: Float[Array, ""] = param(POSITIVE, 0.3)
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
        params: decays.
        depth_bp: distance of the quote beyond fair value on its own side; negative inside it.
        ahead_usd: notional in front of the quote at better or equal prices.
        unit_bp: scale of a depth, `belief.model.depth_unit_bp`, above zero.
        trade_usd: mean notional of a taker's print, above zero.
    """
    deep = params.depth_decay * jnp.maximum(depth_bp, 0.0) / unit_bp
    return -deep - params.queue_decay * ahead_usd / trade_usd
