"""What only some takers know: V is what the public knows plus a premium that lasts.

    V = M + e,   dM public,   e(t) of variance rate (volatility x sigma)^2

The mid shows M. A move of the mid moves V one for one, `follow` of it at once, and what V is beyond
the mid stays until later mids wear it down; without this an observed mid pulls V onto itself within
seconds, and what a fill taught is forgotten before it comes true. A public print that did not reach
us is the evidence that it would have been as a fill at its price: Glosten-Milgrom's update with
`prints` of the informed share, 0 for none. A print that reached an order of ours is left to the
fill that tells of it. One that stopped short of an order says two things of one taker, that he came
so far and no farther; their product stands for the difference of the two likelihoods. Source:
Glosten & Milgrom (1985); the split into public and private, ours (tests/belief/test_private.py).
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE, SHARE
from diffmm.features import Features
from diffmm.market import Event

from .dynamics import V
from .gaussian import Gaussian


class Params(eqx.Module):
    """As declared all that moves V is public and prints say nothing.

    **Attributes:**

    - `follow`: share of a move of the mid that V takes at once.
    - `volatility`: of V, over that of the mode; 1 where V is all that there is.
    - `prints`: informed share of public takers over that of those who trade with us.
    """

    follow: Float[Array, ""] = param(SHARE, 0.0)
    volatility: Float[Array, ""] = param(POSITIVE, 1.0)
    prints: Float[Array, ""] = param(SHARE, 0.0)


class State(eqx.Module):
    """The last mid that was seen."""

    mid_bp: Float[Array, ""]
    has_mid: Bool[Array, ""]


def init(params: Params) -> State:
    """No mid yet."""
    return State(jnp.zeros_like(params.follow), jnp.array(False))


def carry(
    params: Params, state: State, modes: Gaussian, event: Event, seen: Features
) -> tuple[State, Gaussian]:
    """V of every mode after the mid's move; the modes are about the present anchor already."""
    before = state.mid_bp + event.shift_bp
    moved = jnp.where(seen.has_book & state.has_mid, seen.mid_bp - before, 0.0)
    mean = modes.mean.at[:, V].add(params.follow * moved)
    mid = jnp.where(seen.has_book, seen.mid_bp, before)
    return State(mid, state.has_mid | seen.has_book), dataclasses.replace(modes, mean=mean)
