"""How far the predictive variances have been off of late, at each of a few horizons.

At each horizon one forecast of the mid is kept until its time has come, then scored and made anew:

    s_h = (w + sum_i decay_i e_i^2 / v_i) / (w + sum_i decay_i)

with error e and variance v of forecasts that have come due, and a prior of w forecasts that were
right. A market whose mid trends, or gives back, between these horizons has the s_h apart; between
them log s is linear in the log of the horizon. Innovations that set their own noise go back to
Mehra (1970); the form is ours, tested on a market of known variance.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE


class Params(eqx.Module):
    """How long a score counts.

    **Attributes:**

    - `horizons_s`: at which forecasts are kept, ascending.
    - `memory_s`: of a score.
    - `prior_count`: w, how many forecasts the prior is worth.
    """

    horizons_s: Float[Array, "horizons"] = param(
        POSITIVE, (1.0, 5.0, 10.0), unit="s", trainable=False
    )
    memory_s: Float[Array, ""] = param(POSITIVE, 600.0, unit="s", trainable=False)
    prior_count: Float[Array, ""] = param(POSITIVE, 5.0, trainable=False)


class State(eqx.Module):
    """The forecasts under way, and the scores of those that came due.

    **Attributes:**

    - `mid_bp`: expected mid.
    - `var_bp2`: its variance as the belief has it.
    - `left_s`: until it is due; nothing is under way while it is not positive.
    - `squares`, `count`: decayed sums of normalised squared errors, and of forecasts.
    - `known_bp`: the mid in force.
    """

    mid_bp: Float[Array, "horizons"]
    var_bp2: Float[Array, "horizons"]
    left_s: Float[Array, "horizons"]
    squares: Float[Array, "horizons"]
    count: Float[Array, "horizons"]
    known_bp: Float[Array, ""]


def init(params: Params) -> State:
    """No forecast, no score."""
    zero = jnp.zeros_like(params.memory_s)
    none = jnp.zeros_like(params.horizons_s)
    return State(none, none, none, none, none, zero)


def score(
    params: Params,
    state: State,
    dt_s: Float[Array, ""],
    shift_bp: Float[Array, ""],
    is_flowing: Bool[Array, ""],
) -> State:
    """Time has passed; what has come due is scored where the feed was there all the time.

    Args:
        params: memory and prior.
        state: before.
        dt_s: time since the last row.
        shift_bp: move of the anchor.
        is_flowing: whether the mid was known all the time.
    """
    left = state.left_s - dt_s
    is_due = (state.left_s > 0) & (left <= 0)
    error = state.known_bp - state.mid_bp
    safe = jnp.where(state.var_bp2 > 0, state.var_bp2, 1.0)
    counts = is_due & is_flowing
    keep = jnp.where(is_flowing, jnp.exp(-dt_s / params.memory_s), 1.0)
    return State(
        state.mid_bp + shift_bp,
        state.var_bp2,
        # In an outage nothing is under way: what comes after it is another market.
        jnp.where(is_flowing, left, 0.0),
        state.squares * keep + jnp.where(counts, error**2 / safe, 0.0),
        state.count * keep + counts.astype(error.dtype),
        state.known_bp + shift_bp,
    )


def renew(
    params: Params,
    state: State,
    mean_bp: Float[Array, "horizons"],
    var_bp2: Float[Array, "horizons"],
    known_bp: Float[Array, ""],
) -> State:
    """Forecasts that came due, or were lost, are made anew.

    Args:
        params: horizons.
        state: scored.
        mean_bp: expected moves of the mid.
        var_bp2: their variances.
        known_bp: the mid now.
    """
    runs = state.left_s > 0
    keep = lambda old, new: jnp.where(runs, old, new)
    return State(
        keep(state.mid_bp, known_bp + mean_bp),
        keep(state.var_bp2, var_bp2),
        keep(state.left_s, params.horizons_s),
        state.squares,
        state.count,
        known_bp,
    )


def log_scale(params: Params, state: State) -> Float[Array, "horizons"]:
    """`log s_h`."""
    return jnp.log((state.squares + params.prior_count) / (state.count + params.prior_count))


def at(
    params: Params, log_scales: Float[Array, "horizons"], horizon_s: Float[Array, ""]
) -> Float[Array, ""]:
    """The scale of a variance `horizon_s` ahead; beyond the first and the last, theirs."""
    knots = jnp.log(params.horizons_s)
    share = (jnp.log(horizon_s) - knots[:-1]) / (knots[1:] - knots[:-1])
    steps = log_scales[1:] - log_scales[:-1]
    return jnp.exp(log_scales[0] + jnp.sum(jnp.clip(share, 0.0, 1.0) * steps))
