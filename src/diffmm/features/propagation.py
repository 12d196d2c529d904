"""How much of the last outside news the local book has taken in.

After a move of the reference beyond `threshold` standard deviations, K classes of participants take
it in, each after its own delay and at its own rate:

    absorbed(t) = 1 - exp(-sum_k rate_k max(t - delay_k, 0))

`absorbed` in [0, 1] is 1 where there is no reference and before its first move: no information,
never a penalty. What is left, `1 - absorbed`, acts in three places, all of zero effect as shipped:

    informed logit   + informed_gain (1 - absorbed)
    local prices     extra variance  noise_gain (size (1 - absorbed))^2
    modes            entries into quiet, trending, crisis x exp(tilt x shape)

`shape` is what our own mid has done since: a *step* (it went at once: the share of what is left
that it has in fact gone already), a *gradual* rise (the share that is still to come), a *reversal*
(it went and came back). How urgent a cancel is comes from the staleness of a quote, which pricing
knows; nothing here touches it.

A standard deviation is the reference's own: of its mid less that mid's average over `window_s`. One
move is followed at a time. A new one restarts the clock, and what the old one left untaken is
carried into its size, so nothing untaken is forgotten and nothing is counted twice; while a move
goes on (until the deviation falls below `rearm` of the threshold) it grows without a restart. Times
are those of receipt of both feeds, so a delay contains the difference of their latencies.
Source: ours; the test recovers planted delays and rates.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import interval, numerics, param, POSITIVE, REAL, SHARE, Stage, UNIT, where
from diffmm.market import Event

from .touch import touch


TILT = interval(-3.0, 3.0)
"""Of a mode's entry rate, in logs; the bound keeps the exact transition of the modes exact."""


@dataclasses.dataclass(frozen=True)
class Config:
    """No static choices: how many classes there are is the length of `Params.rate`."""

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls()


class Params(eqx.Module):
    """What a move is, how it is taken in, and what the untaken part does.

    What a move is, is a yes or a no that has no slope: those fields are not trained.

    **Attributes:**

    - `threshold`, `rearm`: deviations that make a move; share of them below which it is over.
    - `window_s`: of the average that the reference's mid is compared with.
    - `memory_s`: of its variance; `prior_s` seconds of a prior of `prior_half_spreads` are added.
    - `delay_s`, `rate`: of the classes; the first as two coins followed a third on one recording.
    - `shape_s`: how long a reversal is remembered.
    - `informed_gain`, `noise_gain`, `*_tilt`: of the effects; ship as 0.
    """

    threshold: Float[Array, ""] = param(POSITIVE, 3.0, trainable=False)
    rearm: Float[Array, ""] = param(UNIT, 0.5, trainable=False)
    window_s: Float[Array, ""] = param(POSITIVE, 0.5, unit="s", trainable=False)
    memory_s: Float[Array, ""] = param(POSITIVE, 300.0, unit="s", trainable=False)
    prior_s: Float[Array, ""] = param(POSITIVE, 10.0, unit="s", trainable=False)
    prior_half_spreads: Float[Array, ""] = param(POSITIVE, 1.0, trainable=False)
    delay_s: Float[Array, " classes"] = param(POSITIVE, (0.01, 2.0), unit="s")
    rate: Float[Array, " classes"] = param(POSITIVE, (1.0, 0.5), unit="1/s")
    shape_s: Float[Array, ""] = param(POSITIVE, 5.0, unit="s")
    informed_gain: Float[Array, ""] = param(REAL, 0.0)
    noise_gain: Float[Array, ""] = param(SHARE, 0.0)
    step_tilt: Float[Array, ""] = param(TILT, 0.0)
    gradual_tilt: Float[Array, ""] = param(TILT, 0.0)
    reversal_tilt: Float[Array, ""] = param(TILT, 0.0)


class State(eqx.Module):
    """What is remembered.

    **Attributes:**

    - `reference_bp`, `is_present`: the reference's mid in the last row, and whether it had one.
    - `average_bp`: that mid's own average.
    - `squares`, `exposure_s`: decayed integral of the squared deviation, and the time it is of.
    - `is_armed`: whether the next deviation beyond the threshold is a new move.
    - `has_moved`, `since_s`, `size_bp`: the move that is followed, and when it came.
    - `mid_bp`, `has_mid`: our own mid in the last row that had one.
    - `response_bp`, `peak`: what it has done since the move, and the largest share of it.
    """

    reference_bp: Float[Array, ""]
    is_present: Bool[Array, ""]
    average_bp: Float[Array, ""]
    squares: Float[Array, ""]
    exposure_s: Float[Array, ""]
    is_armed: Bool[Array, ""]
    has_moved: Bool[Array, ""]
    since_s: Float[Array, ""]
    size_bp: Float[Array, ""]
    mid_bp: Float[Array, ""]
    has_mid: Bool[Array, ""]
    response_bp: Float[Array, ""]
    peak: Float[Array, ""]


class Propagation(eqx.Module):
    """What is known of the last move of the reference after an event.

    **Attributes:**

    - `absorbed`: share of it that the local book has taken in, by the law.
    - `is_onset`: whether this row brought a new move.
    - `since_s`, `size_bp`: age and signed size of the move; size 0 before the first.
    - `deviation_bp`, `usual_bp`: the reference's mid less its average, and what that usually is.
    - `response_bp`: what our own mid has done since.
    - `step`, `gradual`, `reversal`: shapes in [0, 1]; the first two sum to `1 - absorbed`.
    - `informed_shift`: of the informed logit.
    - `noise_bp2`: extra variance of a local price observation.
    - `mode_tilt`: logs of the factors on the entries into quiet, trending, crisis.
    """

    absorbed: Float[Array, ""]
    is_onset: Bool[Array, ""]
    since_s: Float[Array, ""]
    size_bp: Float[Array, ""]
    deviation_bp: Float[Array, ""]
    usual_bp: Float[Array, ""]
    response_bp: Float[Array, ""]
    step: Float[Array, ""]
    gradual: Float[Array, ""]
    reversal: Float[Array, ""]
    informed_shift: Float[Array, ""]
    noise_bp2: Float[Array, ""]
    mode_tilt: Float[Array, "3"]


def absorbed(params: Params, since_s: Float[Array, ""]) -> Float[Array, ""]:
    """The law of the classes, `since_s` after a move; 0 until the first delay is over."""
    acting_s = jnp.maximum(since_s - params.delay_s, 0.0)
    return -jnp.expm1(-jnp.sum(params.rate * acting_s))


def init(params: Params, *, config: Config) -> State:
    """Nothing seen."""
    zero, none = jnp.zeros_like(params.threshold), jnp.array(False)
    return State(
        reference_bp=zero,
        is_present=none,
        average_bp=zero,
        squares=zero,
        exposure_s=zero,
        is_armed=jnp.array(True),
        has_moved=none,
        since_s=zero,
        size_bp=zero,
        mid_bp=zero,
        has_mid=none,
        response_bp=zero,
        peak=zero,
    )


def update(
    params: Params, state: State, event: Event, *, config: Config
) -> tuple[State, Propagation]:
    """Fold one event."""
    seen, at = event.reference, touch(event.book)
    # A reference that comes back from an outage has no known moment of its move: it starts anew.
    goes_on = seen.is_valid & state.is_present
    keep = jnp.exp(-event.dt_s / params.window_s)
    forget = jnp.exp(-event.dt_s / params.memory_s)
    before = state.reference_bp - state.average_bp
    away = jnp.where(goes_on, seen.mid_bp - state.reference_bp + keep * before, 0.0)
    # The exact integral of the squared deviation while the mid stood.
    square = before**2 * params.window_s / 2 * (1 - keep**2)
    squares = jnp.where(goes_on, state.squares * forget + square, state.squares)
    exposure_s = jnp.where(goes_on, state.exposure_s * forget + event.dt_s, state.exposure_s)
    prior = params.prior_half_spreads * (seen.half_spread_bp + event.rules.tick_bp / 2)
    variance = (squares + params.prior_s * prior**2) / (exposure_s + params.prior_s)
    usual = numerics.safe_sqrt(variance)
    limit = params.threshold * usual
    is_large = goes_on & (jnp.abs(away) > limit)
    is_onset = is_large & (state.is_armed | (away * state.size_bp < 0))
    since_s = state.since_s + event.dt_s
    untaken = jnp.where(state.has_moved, state.size_bp * (1 - absorbed(params, since_s)), 0.0)
    change = jnp.where(goes_on & ~state.is_armed, seen.mid_bp - state.reference_bp, 0.0)
    size = jnp.where(is_onset, untaken + away, state.size_bp + change)
    own = at.mid_bp - (state.mid_bp + event.shift_bp)
    moved = jnp.where(at.has_book & state.has_mid, own, 0.0)
    response = jnp.where(is_onset, 0.0, state.response_bp + moved)
    share = _share(response, size, variance)
    new = State(
        reference_bp=jnp.where(seen.is_valid, seen.mid_bp, state.reference_bp),
        is_present=seen.is_valid,
        average_bp=jnp.where(seen.is_valid, seen.mid_bp - away, state.average_bp),
        squares=squares,
        exposure_s=exposure_s,
        is_armed=~is_onset & (state.is_armed | (jnp.abs(away) < params.rearm * limit)),
        has_moved=state.has_moved | is_onset,
        since_s=jnp.where(is_onset, 0.0, since_s),
        size_bp=size,
        mid_bp=jnp.where(at.has_book, at.mid_bp, state.mid_bp + event.shift_bp),
        has_mid=state.has_mid | at.has_book,
        response_bp=response,
        peak=jnp.where(is_onset, 0.0, jnp.maximum(state.peak, share)),
    )
    new = where(event.is_valid, new, state)
    present = event.is_valid & seen.is_valid & new.has_moved
    return new, _said(params, new, present, is_onset & event.is_valid, away, variance)


def _share(
    response_bp: Float[Array, ""], size_bp: Float[Array, ""], variance: Float[Array, ""]
) -> Float[Array, ""]:
    """Response over size in [0, 1], shrunk as by one usual deviation of the reference."""
    scale = size_bp**2 + variance
    ratio = response_bp * size_bp / jnp.where(scale > 0, scale, 1.0)
    return jnp.clip(ratio, 0.0, 1.0)


def _said(
    params: Params,
    state: State,
    present: Bool[Array, ""],
    is_onset: Bool[Array, ""],
    away: Float[Array, ""],
    variance: Float[Array, ""],
) -> Propagation:
    left = jnp.where(present, 1 - absorbed(params, state.since_s), 0.0)
    share = _share(state.response_bp, state.size_bp, variance)
    step = left * share
    fallen = (state.peak - share) * jnp.exp(-state.since_s / params.shape_s)
    reversal = jnp.where(present, fallen, 0.0)
    gradual = left - step
    tilt = [params.step_tilt * step, params.gradual_tilt * gradual, params.reversal_tilt * reversal]
    return Propagation(
        absorbed=1 - left,
        is_onset=is_onset,
        since_s=state.since_s,
        size_bp=state.size_bp,
        deviation_bp=away,
        usual_bp=numerics.safe_sqrt(variance),
        response_bp=state.response_bp,
        step=step,
        gradual=gradual,
        reversal=reversal,
        informed_shift=params.informed_gain * left,
        noise_bp2=params.noise_gain * (state.size_bp * left) ** 2,
        mode_tilt=jnp.stack(tilt),
    )


def build(config: Config) -> Stage[Params, State, Event, Propagation]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
