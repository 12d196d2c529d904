"""The ladder as one order a side at a price between ticks, kept or replaced by a smooth choice.

What the product does with integers is made continuous where a gradient has to pass. The product
takes the levels of the largest gain; here price and size are the means over the levels, weighted by
their gain. What stands already stays with the weight `k = sigmoid(x / T)` of

    x = (m - loss) / (m + |new| + |old|),   loss = new - old

of the worths of the new target and of what stands, in place of `loss <= m`, which it becomes as T
goes to 0. `m` is the message price; it is so far below a worth that a choice on its scale alone
would be a step, through which no slope passes. Source: ours; the limit is tested in
`tests/execution/test_soft.py`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.allocation import Allocation
from diffmm.core import param, POSITIVE
from diffmm.pricing import Surface


class Params(eqx.Module):
    """How far the choice is relaxed.

    **Attributes:**

    - `temperature`: T, of a choice whose argument lies in [-1, 1].
    """

    temperature: Float[Array, ""] = param(POSITIVE, 0.1, trainable=False)


class Standing(eqx.Module):
    """One order a side; zero size for none."""

    price_bp: Float[Array, "side"]
    usd: Float[Array, "side"]


def replace(
    surface: Surface,
    sizes: Allocation,
    standing: Standing,
    around_bp: Float[Array, ""],
    temperature: Float[Array, ""] | None,
) -> Standing:
    """What stands after the decision.

    Args:
        surface: of the candidates, then of `standing` as the first order of ours.
        sizes: on the candidates.
        standing: before the decision, in flight or resting.
        around_bp: where an order of no size is said to stand.
        temperature: T; without one the choice is hard.
    """
    n = sizes.size_usd.shape[1]
    worth = surface.epnl_usd / surface.size_usd
    # Together the levels weigh nothing where their gain does not pay a message.
    gain = jnp.maximum(sizes.gain_usd, 0.0)
    weight = gain / (jnp.sum(gain, axis=1, keepdims=True) + sizes.message_usd)
    mean = lambda x: jnp.sum(weight * x, axis=1)
    usd, away = mean(sizes.size_usd), mean(surface.price_bp[:, :n] - around_bp)
    new_usd, old_usd = mean(sizes.size_usd * worth[:, :n]), standing.usd * worth[:, n]
    keep = kept(sizes.message_usd, new_usd, old_usd, temperature)
    old, fresh = keep * standing.usd, (1 - keep) * usd
    moment = old * (standing.price_bp - around_bp) + fresh * away
    total = old + fresh
    return Standing(around_bp + moment / (total + jnp.finfo(total.dtype).eps), total)


def kept(
    message_usd: Float[Array, ""],
    new_usd: Float[Array, "side"],
    old_usd: Float[Array, "side"],
    temperature: Float[Array, ""] | None,
) -> Float[Array, "side"]:
    """Weight of what stands, given the worth of the target and its own."""
    scale = message_usd + jnp.abs(new_usd) + jnp.abs(old_usd)
    x = (message_usd - (new_usd - old_usd)) / scale
    if temperature is None:
        return jax.lax.stop_gradient((x >= 0).astype(x.dtype))
    return jax.nn.sigmoid(x / temperature)
