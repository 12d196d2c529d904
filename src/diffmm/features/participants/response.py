"""When a class quotes again: its quotes within a horizon, regressed on what it may answer to.

    n(t, t + h) ~ b . x(t)
    x = [1, cos phi, sin phi, exp(-age of the last touch move / tau), own, busy]

`phi` is the phase of its cycle; `own` and `busy` are its decayed counts of quotes, fast and slow.
Least squares needs `A = int x x' dt` and `c = int x(t) n(t, t + h) dt`. The second is a sum over
quotes of what x was in the horizon before each, so it is known when the quote comes: no target
waits for its future. The horizon's edge is that of an Erlang law of mean h, whose integrals are a
chain of `STAGES` exponentials. All forgets exponentially. Source: ours (an eligibility trace, as in
Sutton & Barto 2018, ch. 12), tested against ordinary least squares on simulated quotes.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE, small


INPUTS = 6
ONE, COSINE, SINE, TOUCH, OWN, BUSY = range(INPUTS)
STAGES = 4
"""Of the Erlang law: its deviation is the horizon over the root of this."""


class Params(eqx.Module):
    """Memories and the prior.

    **Attributes:**

    - `touch_decay_s`, `own_decay_s`, `busy_decay_s`: of the inputs.
    - `memory_s`: after which a second counts `1 / e`.
    - `prior_s`: seconds of exposure that the prior is worth.
    - `prior_rate`: quotes per second in them.
    """

    touch_decay_s: Float[Array, ""] = param(POSITIVE, 0.5, unit="s")
    own_decay_s: Float[Array, ""] = param(POSITIVE, 1.0, unit="s")
    busy_decay_s: Float[Array, ""] = param(POSITIVE, 30.0, unit="s")
    memory_s: Float[Array, ""] = param(POSITIVE, 600.0, unit="s")
    prior_s: Float[Array, ""] = param(POSITIVE, 20.0, unit="s")
    prior_rate: Float[Array, ""] = param(POSITIVE, 0.1, unit="1/s")


class State(eqx.Module):
    """Sums, without the prior, and the decaying inputs.

    **Attributes:**

    - `square`: `int x x' dt`.
    - `cross`: `int x(t) n(t, t + h) dt` so far, by horizon.
    - `chain`: stages of the integral of x over the horizon before now.
    - `touch`: `exp(-age / tau)` of the last touch move.
    - `own`, `busy`: decayed counts of each class's quotes.
    """

    square: Float[Array, "classes inputs inputs"]
    cross: Float[Array, "classes horizons inputs"]
    chain: Float[Array, "stages classes horizons inputs"]
    touch: Float[Array, ""]
    own: Float[Array, " classes"]
    busy: Float[Array, " classes"]


def init(one: Float[Array, ""], classes: int, horizons: int) -> State:
    """Nothing seen."""
    zero = lambda *shape: jnp.zeros(shape, one.dtype)
    return State(
        zero(classes, INPUTS, INPUTS),
        zero(classes, horizons, INPUTS),
        zero(STAGES, classes, horizons, INPUTS),
        zero(),
        zero(classes),
        zero(classes),
    )


def inputs(
    params: Params, state: State, cosine: Float[Array, " classes"], sine: Float[Array, " classes"]
) -> Float[Array, "classes inputs"]:
    """The inputs x of each class; the slow count as a rate relative to the prior one."""
    one = jnp.ones_like(cosine)
    busy = state.busy / (params.busy_decay_s * params.prior_rate)
    return jnp.stack([one, cosine, sine, state.touch * one, state.own, busy], axis=1)


def passed(
    params: Params,
    state: State,
    cosine: Float[Array, " classes"],
    sine: Float[Array, " classes"],
    horizon_s: Float[Array, " horizons"],
    dt_s: Float[Array, ""],
) -> State:
    """Exposure over a step, x by its middle.

    Args:
        params: memories.
        state: at the start of the step.
        cosine: of each class's phase in the middle of the step.
        sine: the same.
        horizon_s: of the forecasts.
        dt_s: the step.
    """
    x = inputs(params, _decayed(params, state, dt_s / 2), cosine, sine)
    keep = jnp.exp(-dt_s / params.memory_s)
    square = state.square * keep + x[:, :, None] * x[:, None, :] * dt_s
    stage_s = horizon_s / STAGES
    turns = dt_s / stage_s
    # Probability of each number of stages within the step: Poisson.
    hop = [jnp.exp(-turns) * turns**j / math.factorial(j) for j in range(STAGES)]
    wide = lambda v: v[None, :, None]
    chain, past = [], jnp.zeros_like(turns)
    for j in range(STAGES):
        past = past + hop[j]
        held = sum((wide(hop[j - i]) * state.chain[i] for i in range(j + 1)), start=0 * state.cross)
        chain.append(held + wide(stage_s * (1 - past)) * x[:, None, :])
    whole = _decayed(params, state, dt_s)
    return State(square, state.cross * keep, jnp.stack(chain), whole.touch, whole.own, whole.busy)


def quoted(state: State, quotes: Float[Array, " classes"], touch_moved: Float[Array, ""]) -> State:
    """Quotes of the classes at this moment, then a move of the touch."""
    before = small.total(state.chain, 0)
    return State(
        state.square,
        state.cross + before * quotes[:, None, None],
        state.chain,
        state.touch + touch_moved * (1 - state.touch),
        state.own + quotes,
        state.busy + quotes,
    )


def expected(
    params: Params,
    state: State,
    cosine: Float[Array, " classes"],
    sine: Float[Array, " classes"],
    horizon_s: Float[Array, " horizons"],
) -> Float[Array, "classes horizons"]:
    """Expected quotes of each class within each horizon; never negative."""
    eye = jnp.eye(INPUTS, dtype=state.square.dtype)
    x = inputs(params, state, cosine, sine)

    def one(
        square: Float[Array, "n n"], cross: Float[Array, "horizons n"], x: Float[Array, " n"]
    ) -> Float[Array, " horizons"]:
        factor = small.cholesky(square + params.prior_s * eye)
        # b . x = c' (A^-1 x), for all horizons at once.
        solved = small.solve_upper(factor, small.solve_lower(factor, x))
        prior = params.prior_s * params.prior_rate * horizon_s
        return small.total(cross * solved[None, :], 1) + prior * solved[ONE]

    return jnp.maximum(jax.vmap(one)(state.square, state.cross, x), 0)


def _decayed(params: Params, state: State, dt_s: Float[Array, ""]) -> State:
    fade = lambda tau: jnp.exp(-dt_s / tau)
    return State(
        state.square,
        state.cross,
        state.chain,
        state.touch * fade(params.touch_decay_s),
        state.own * fade(params.own_decay_s),
        state.busy * fade(params.busy_decay_s),
    )
