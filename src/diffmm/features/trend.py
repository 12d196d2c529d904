"""What says that the price drifts, over minutes: its own moves, who takes, and how the book leans.

Two observations of mu, made one by their precisions since only their sum reaches the belief's mu:

    moves:  (mid - mid at the last sample) / dt      precision  moves dt / sigma^2 at each sample
    signs:  sigma (lean l + flow f)                  precision  signs dt / sigma^2 on every row

with l the depth ratio of the whole book and f the excess of buying takers over selling ones within
`memory_s`, shrunk by `prior_takers`. mu is in units of sigma per sqrt(s), so one set of
coefficients serves every market. A filter that takes V from the mid learns mu from its moves by
itself, and `moves` must be 0 there; one whose V follows the mid of itself (`belief.private`) does
not. As declared there is no information. Source: ours (tests/features/test_trend.py); coefficients
and precisions by regression on planted drifts, `training.trend_fit`.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import NON_NEGATIVE, param, POSITIVE, REAL, SHARE
from diffmm.market import Event

from .touch import Touch


class Params(eqx.Module):
    """How much each sign says.

    **Attributes:**

    - `lean`, `flow`: drift in volatilities that goes with a unit of each.
    - `moves`: share of what moves say that counts.
    - `signs`: information of the other two a second, in that of moves.
    - `memory_s`: in which a taker is forgotten.
    - `prior_takers`: takers of either side that `flow` is shrunk by.
    """

    lean: Float[Array, ""] = param(REAL, 0.0, unit="1/s^0.5")
    flow: Float[Array, ""] = param(REAL, 0.0, unit="1/s^0.5")
    moves: Float[Array, ""] = param(SHARE, 0.0)
    signs: Float[Array, ""] = param(NON_NEGATIVE, 0.0)
    memory_s: Float[Array, ""] = param(POSITIVE, 30.0, unit="s")
    prior_takers: Float[Array, ""] = param(POSITIVE, 2.0)


class State(eqx.Module):
    """The last sample of the mid, its age, and the takers of each side that are remembered."""

    mid_bp: Float[Array, ""]
    has_mid: Bool[Array, ""]
    since_s: Float[Array, ""]
    takers: Float[Array, "side"]


def init(params: Params) -> State:
    """Nothing seen."""
    zero = jnp.zeros_like(params.lean)
    return State(zero, jnp.array(False), zero, jnp.stack([zero, zero]))


def update(
    params: Params,
    state: State,
    event: Event,
    at: Touch,
    arrived: Float[Array, "side"],
    is_flowing: Bool[Array, ""],
    ratio: Float[Array, ""],
    variance: Float[Array, ""],
    sample_s: Float[Array, ""],
) -> tuple[State, tuple[Float[Array, ""], Float[Array, ""]]]:
    """Fold one valid row.

    Args:
        params: of the trend.
        state: before the row, about the anchor before it.
        event: the row.
        at: its book.
        arrived: 1 on the side of a taker that came with it: who sold, who bought.
        is_flowing: whether the feed has spoken all the time since the last row.
        ratio: depth ratio of the whole book.
        variance: of the mid, bp^2 per s.
        sample_s: least time between samples.

    Returns:
        The state, and `(z, precision)` of mu.
    """
    since = state.since_s + event.dt_s
    before = state.mid_bp + event.shift_bp
    seen = at.has_book & is_flowing
    is_due = seen & state.has_mid & (since >= sample_s)
    elapsed = jnp.where(is_due, since, 1.0)
    moved = jnp.where(is_due, (at.mid_bp - before) / elapsed, 0.0)
    takers = state.takers * jnp.exp(-event.dt_s / params.memory_s) + arrived
    excess = (takers[1] - takers[0]) / (takers[0] + takers[1] + params.prior_takers)
    says = jnp.sqrt(variance) * (params.lean * ratio + params.flow * excess)
    of_moves = jnp.where(is_due, params.moves * elapsed, 0.0)
    of_signs = jnp.where(seen, params.signs * event.dt_s, 0.0)
    total = of_moves + of_signs
    z = (of_moves * moved + of_signs * says) / jnp.where(total > 0, total, 1.0)
    # An outage ends a sample: what the mid did in it happened in a time that nobody counted.
    again = is_due | ~is_flowing | ~state.has_mid
    new = State(
        jnp.where(again & at.has_book, at.mid_bp, before),
        (state.has_mid & is_flowing) | at.has_book,
        jnp.where(again, 0.0, since),
        takers,
    )
    return new, (z, total / variance)
