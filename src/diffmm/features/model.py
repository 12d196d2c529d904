"""Events to observations `(z, precision)` of the belief state, and the market's present scale.

Fair value in layers: `mid + relaxation * follow_through * index`, where the index predicts the
mid's move over the next second from the log queue ratio L and tanh of the decayed order-flow
imbalance, both in units of sqrt(half spread x volatility), from the part of L beyond what it
usually is, and from the depth ratio of the whole book less its own recent mean, both in units of
the volatility. So one set of four coefficients serves every coin. Source: ours; terms, units and
decays from regressions on recorded tapes. Signed trade flow adds nothing once the order flow is in,
and would count a print twice.
"""

import dataclasses
import enum
import functools as ft
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import defaults, numerics, param, POSITIVE, REAL, SHARE, Stage, UNIT, where
from diffmm.market import Event, Kind

from . import (
    frontier as liquidations,
    hawkes,
    participants as quoters,
    propagation as news,
    trend as drifts,
)
from .touch import depth_ratio, log_queue_ratio, order_flow, Touch, touch


class Target(enum.IntEnum):
    """Component of the belief state that an observation is about."""

    V = 0
    MU = 1
    LOG_SIGMA = 2
    INFORMED = 3


OBSERVATIONS = (
    ("fair", Target.V),
    ("mid", Target.V),
    ("lead", Target.V),
    ("flow", Target.MU),
    ("variance", Target.LOG_SIGMA),
)
"""Names and targets of the rows of `Features.z`, in order."""

PARTICIPANTS = (("withdrawal", Target.INFORMED), ("widening", Target.LOG_SIGMA))
"""The rows after them where participants are watched."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices; the shapes come from the event.

    **Attributes:**

    - `participants`: sizes of their stage, `None` to leave it out of the program. With it go
      `Params.participants`: see `with_participants`.
    - `propagation`: how outside news is taken in, the same way: see `with_propagation`.
    - `frontier`: where positions are liquidated, the same way: see `with_frontier`.
    """

    participants: quoters.Config | None = None
    propagation: news.Config | None = None
    frontier: liquidations.Config | None = None

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls()


class Params(eqx.Module):
    queue: Float[Array, ""] = param(REAL, 0.1, unit="s^0.25")
    flow: Float[Array, ""] = param(REAL, 0.5, unit="s^0.25")
    thin: Float[Array, ""] = param(REAL, 0.1, unit="s^0.5")
    depth: Float[Array, ""] = param(REAL, 0.7, unit="s^0.5")
    relaxation: Float[Array, ""] = param(POSITIVE, 2.25, trainable=False)
    follow_memory_s: Float[Array, ""] = param(POSITIVE, 300.0, unit="s", trainable=False)
    prior_follow_s: Float[Array, ""] = param(POSITIVE, 30.0, unit="s", trainable=False)
    thin_log: Float[Array, ""] = param(POSITIVE, 1.8, trainable=False)
    depth_reach: Float[Array, ""] = param(POSITIVE, 3.0, unit="s^0.5", trainable=False)
    flow_decay_s: Float[Array, ""] = param(POSITIVE, 0.5, unit="s")
    depth_memory_s: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")
    rate_memory_s: Float[Array, ""] = param(POSITIVE, 150.0, unit="s")
    prior_trades: Float[Array, ""] = param(POSITIVE, 2.0)
    prior_exposure_s: Float[Array, ""] = param(POSITIVE, 10.0, unit="s")
    prior_trade_share: Float[Array, ""] = param(POSITIVE, 0.1)
    branching: Float[Array, ""] = param(UNIT, 0.36)
    kernel_decay: Float[Array, ""] = param(POSITIVE, 0.28, unit="1/s")
    sample_s: Float[Array, ""] = param(POSITIVE, 1.0, unit="s", trainable=False)
    variance_scale_s: Float[Array, ""] = param(POSITIVE, 2.5, unit="s", trainable=False)
    variance_memory_s: Float[Array, ""] = param(POSITIVE, 120.0, unit="s")
    prior_variance_s: Float[Array, ""] = param(POSITIVE, 5.0, unit="s")
    prior_sigma_half_spreads: Float[Array, ""] = param(POSITIVE, 0.5, unit="1/s^0.5")
    prior_moves: Float[Array, ""] = param(POSITIVE, 1.0)
    freeze_s: Float[Array, ""] = param(POSITIVE, 5.0, unit="s", trainable=False)
    correlation_s: Float[Array, ""] = param(POSITIVE, 1.6, unit="s")
    fair_noise_spread: Float[Array, ""] = param(POSITIVE, 0.3, unit="s^0.5")
    fair_noise_sigma: Float[Array, ""] = param(POSITIVE, 0.1, unit="s")
    mid_noise_spread: Float[Array, ""] = param(POSITIVE, 4.0)
    mid_noise_sigma: Float[Array, ""] = param(POSITIVE, 2.0, unit="s")
    lead_decay_s: Float[Array, ""] = param(POSITIVE, 0.6, unit="s")
    lead_share: Float[Array, ""] = param(SHARE, 0.7)
    lead_noise_sigma: Float[Array, ""] = param(POSITIVE, 0.5, unit="s")
    trend_gain: Float[Array, ""] = param(REAL, 0.0, unit="1/s^0.5")
    trend_precision: Float[Array, ""] = param(SHARE, 0.0)
    variance_noise_s: Float[Array, ""] = param(POSITIVE, 1.5, unit="s")
    participants: quoters.Params | None = None
    propagation: news.Params | None = None
    frontier: liquidations.Params | None = None
    trend: drifts.Params | None = None


class State(eqx.Module):
    touch: Touch
    has_seen: Bool[Array, ""]
    order_flow: Float[Array, ""]
    depth_usd: Float[Array, ""]
    depth_ratio: Float[Array, ""]
    usual_ratio: Float[Array, ""]
    taker_sign: Float[Array, ""]
    trades: Float[Array, "side"]
    trades_usd: Float[Array, ""]
    exposure_s: Float[Array, ""]
    excitation: Float[Array, "side"]
    squares: Float[Array, ""]
    average_mid_bp: Float[Array, ""]
    moves: Float[Array, "2"]
    sampled_s: Float[Array, ""]
    sample_mid_bp: Float[Array, ""]
    index_bp: Float[Array, ""]
    sample_index_bp: Float[Array, ""]
    is_sample: Bool[Array, ""]
    followed: Float[Array, "2"]
    since_sample_s: Float[Array, ""]
    quiet_s: Float[Array, ""]
    is_flowing: Bool[Array, ""]
    reference_bp: Float[Array, ""]
    has_reference: Bool[Array, ""]
    reference_move: Float[Array, ""]
    own_move: Float[Array, ""]
    participants: quoters.State | None = None
    propagation: news.State | None = None
    frontier: liquidations.State | None = None
    trend: drifts.State | None = None


class Features(eqx.Module):
    """Observations for the belief and the scales that pricing needs.

    **Attributes:**

    - `z`, `precision`: rows as in `OBSERVATIONS`; precision 0 is no information.
    - `mid_bp`, `half_spread_bp`, `has_book`: the touch, own size excluded.
    - `index_bp`: expected move of the mid over the next second, if it follows through as usual.
    - `fair_bp`: layered fair value, `mid + relaxation x follow-through x index`.
    - `sigma_bp`: volatility of the mid in bp per sqrt(s), on the scale of seconds.
    - `move_rate`: changes of the mid per second, from the share of samples that found another mid.
    - `arrival_rate`: takers per second on each side now.
    - `base_rate`: of the last minutes.
    - `branching`, `arrival_decay`: how many each taker draws, and how fast that passes, 1/s.
    - `trade_usd`: mean notional that a taker takes.
    - `volume_usd_s`: traded notional per second.
    - `is_flowing`: whether the feed has spoken all the time since the last row.
    - `crisis_tilt`: log factor on the rates into the crisis, from what the participants withdrew
      and from liquidations.
    - `participants`: what is known of them.
    - `informed_shift`: what outside news that is not yet taken in adds to the informed logit.
    - `mode_tilt`: logs of the factors on the entries into quiet, trending, crisis, from its shape.
    - `propagation`: what is known of it.
    - `frontier`: where positions are liquidated.
    """

    z: Float[Array, "observations"]
    precision: Float[Array, "observations"]
    mid_bp: Float[Array, ""]
    half_spread_bp: Float[Array, ""]
    index_bp: Float[Array, ""]
    fair_bp: Float[Array, ""]
    sigma_bp: Float[Array, ""]
    move_rate: Float[Array, ""]
    arrival_rate: Float[Array, "side"]
    base_rate: Float[Array, "side"]
    branching: Float[Array, ""]
    arrival_decay: Float[Array, ""]
    trade_usd: Float[Array, ""]
    volume_usd_s: Float[Array, ""]
    has_book: Bool[Array, ""]
    is_flowing: Bool[Array, ""]
    crisis_tilt: Float[Array, ""] | None = None
    participants: quoters.Participants | None = None
    informed_shift: Float[Array, ""] | None = None
    mode_tilt: Float[Array, "3"] | None = None
    propagation: news.Propagation | None = None
    frontier: liquidations.Frontier | None = None


def with_participants(params: Params) -> Params:
    """The same with the participants' parameters as declared, for a config that watches them."""
    declared = defaults(quoters.Params, params.queue.dtype)
    return dataclasses.replace(params, participants=declared)


def with_propagation(params: Params) -> Params:
    """The same with the propagation's parameters as declared, for a config that follows news."""
    declared = defaults(news.Params, params.queue.dtype)
    return dataclasses.replace(params, propagation=declared)


def with_frontier(params: Params) -> Params:
    """The same with the frontier's parameters as declared, for a config that maps liquidations."""
    declared = defaults(liquidations.Params, params.queue.dtype)
    return dataclasses.replace(params, frontier=declared)


def with_trend(params: Params, given: drifts.Params | None = None) -> Params:
    """The same with a trend: as given, or as declared, which is without effect."""
    declared = defaults(drifts.Params, params.queue.dtype) if given is None else given
    return dataclasses.replace(params, trend=declared)


def init(params: Params, *, config: Config) -> State:
    """Nothing seen."""
    zero = jnp.zeros_like(params.queue)
    none = jnp.array(False)
    return State(
        touch=Touch(zero, zero, zero, zero, none),
        has_seen=none,
        order_flow=zero,
        depth_usd=zero,
        depth_ratio=zero,
        usual_ratio=zero,
        taker_sign=zero,
        trades=jnp.stack([zero, zero]),
        trades_usd=zero,
        exposure_s=zero,
        excitation=jnp.stack([zero, zero]),
        squares=zero,
        average_mid_bp=zero,
        moves=jnp.stack([zero, zero]),
        sampled_s=zero,
        sample_mid_bp=zero,
        index_bp=zero,
        sample_index_bp=zero,
        is_sample=none,
        followed=jnp.stack([zero, zero]),
        since_sample_s=zero,
        quiet_s=zero,
        is_flowing=none,
        reference_bp=zero,
        has_reference=none,
        reference_move=zero,
        own_move=zero,
        participants=_init_part(quoters, "participants", params, config),
        propagation=_init_part(news, "propagation", params, config),
        frontier=_init_part(liquidations, "frontier", params, config),
        trend=None if params.trend is None else drifts.init(params.trend),
    )


def update(params: Params, state: State, event: Event, *, config: Config) -> tuple[State, Features]:
    """Fold one event."""
    shifted = dataclasses.replace(
        state,
        touch=dataclasses.replace(
            state.touch,
            bid_bp=state.touch.bid_bp + event.shift_bp,
            ask_bp=state.touch.ask_bp + event.shift_bp,
        ),
        average_mid_bp=state.average_mid_bp + event.shift_bp,
        sample_mid_bp=state.sample_mid_bp + event.shift_bp,
    )
    new = _fold_flow(params, shifted, event)
    new = _fold_variance(params, new, event)
    new = _fold_depth(params, new, event)
    new = _fold_reference(params, new, event)
    at = touch(event.book)
    new = dataclasses.replace(
        new, touch=where(at.has_book, at, new.touch), has_seen=new.has_seen | at.has_book
    )
    index = _index(params, new, event.rules.tick_bp)
    sampled = jnp.where(new.is_sample, index, new.sample_index_bp)
    new = dataclasses.replace(new, index_bp=index, sample_index_bp=sampled)
    of_drift = None
    if params.trend is not None:
        new, of_drift = _drifting(params, state, new, event, at)
    state = where(event.is_valid, new, state)
    seen = _features(params, state, event, at)
    if of_drift is not None:
        seen = _with_drift(seen, *of_drift)
    if config.propagation is not None:
        state, seen = _propagated(params, state, event, seen, config)
    if config.participants is not None:
        state, seen = _watched(params, state, event, seen, config)
    if config.frontier is not None:
        state, seen = _mapped(params, state, event, seen, config)
    return state, seen


def _init_part(part: Any, name: str, params: Params, config: Config) -> Any:
    """State of a specialisation that has seen nothing; `None` where it is off.

    Raises:
        ValueError: when it is on in only one of config and parameters.
    """
    given, chosen = getattr(params, name), getattr(config, name)
    if (chosen is None) != (given is None):
        found = "config without parameters" if given is None else "the reverse"
        raise ValueError(f"{name}: found {found}, expected both; see `with_{name}`")
    return None if chosen is None else part.init(given, config=chosen)


def _mapped(
    params: Params, state: State, event: Event, seen: Features, config: Config
) -> tuple[State, Features]:
    """Liquidations near the price make a crisis likelier, beside what the participants say."""
    given, before, chosen = params.frontier, state.frontier, config.frontier
    assert given is not None
    assert before is not None
    assert chosen is not None
    after, said = liquidations.update(given, before, (event, seen.sigma_bp), config=chosen)
    tilt = said.crisis_tilt
    tilt = tilt if seen.crisis_tilt is None else seen.crisis_tilt + tilt
    seen = dataclasses.replace(seen, crisis_tilt=tilt, frontier=said)
    return dataclasses.replace(state, frontier=after), seen


def _propagated(
    params: Params, state: State, event: Event, seen: Features, config: Config
) -> tuple[State, Features]:
    """Local prices are trusted less while outside news is not yet in them."""
    given, before, chosen = params.propagation, state.propagation, config.propagation
    assert given is not None
    assert before is not None
    assert chosen is not None
    after, said = news.update(given, before, event, config=chosen)
    tick = event.rules.tick_bp
    variance = _variance(params, state, seen.half_spread_bp, tick)
    noise = price_noise(params, seen.half_spread_bp, tick, variance)
    local = {"fair": said.noise_bp2 / noise[0], "mid": said.noise_bp2 / noise[1]}
    more = jnp.stack([local.get(name, jnp.zeros_like(tick)) for name, _ in OBSERVATIONS])
    seen = dataclasses.replace(
        seen,
        precision=seen.precision / (1 + more),
        informed_shift=said.informed_shift,
        mode_tilt=said.mode_tilt,
        propagation=said,
    )
    return dataclasses.replace(state, propagation=after), seen


def _watched(
    params: Params, state: State, event: Event, seen: Features, config: Config
) -> tuple[State, Features]:
    """The participants' observations after the others."""
    given, before, chosen = params.participants, state.participants, config.participants
    assert given is not None
    assert before is not None
    assert chosen is not None
    after, said = quoters.update(given, before, event, config=chosen)
    # Log sigma is told relative to what the tape shows.
    level = seen.z[[name for name, _ in OBSERVATIONS].index("variance")]
    added = said.z + jnp.stack([jnp.zeros_like(level), level])
    precision = jnp.where(seen.has_book, said.precision, 0)
    seen = dataclasses.replace(
        seen,
        z=jnp.concatenate([seen.z, added]),
        precision=jnp.concatenate([seen.precision, precision]),
        crisis_tilt=said.crisis_tilt,
        participants=said,
    )
    return dataclasses.replace(state, participants=after), seen


def _fold_flow(params: Params, state: State, event: Event) -> State:
    """Order flow, arrival counts, displayed depth."""
    at = touch(event.book)
    keep = jnp.exp(-event.dt_s / params.flow_decay_s)
    forget = jnp.exp(-event.dt_s / params.rate_memory_s)
    depth = jnp.where(at.has_book, (at.bid_usd + at.ask_usd) / 2, state.depth_usd)
    blend = jnp.where(state.has_seen, -jnp.expm1(-event.dt_s / params.depth_memory_s), 1.0)
    depth_usd = state.depth_usd + blend * (depth - state.depth_usd)
    scale = jnp.where(depth_usd > 0, depth_usd, 1.0)
    change = order_flow(state.touch, at, event.rules.tick_bp) / scale
    sign, count = _arrived(state, event)
    return dataclasses.replace(
        state,
        order_flow=state.order_flow * keep + change,
        depth_usd=depth_usd,
        taker_sign=sign,
        trades=state.trades * forget + count,
        trades_usd=state.trades_usd * forget + event.trade.usd,
        exposure_s=state.exposure_s * forget + event.dt_s,
        excitation=hawkes.decay(state.excitation, params.kernel_decay, event.dt_s) + count,
    )


def _arrived(state: State, event: Event) -> tuple[Float[Array, ""], Float[Array, "side"]]:
    """Sign of the print that the row tells of, 0 for none, and 1 on the side of a taker who came.

    A taker who meets several orders leaves a print for each, in one message.
    """
    is_print, sign = event.trade.usd > 0, jnp.where(event.trade.usd > 0, event.trade.sign, 0.0)
    is_taker = is_print & ((event.dt_s > 0) | (sign != state.taker_sign))
    arrived = jnp.where(is_taker, jnp.stack([-sign, sign]) > 0, False)
    return sign, arrived.astype(state.trades.dtype)


def _drifting(
    params: Params, before: State, state: State, event: Event, at: Touch
) -> tuple[State, tuple[Float[Array, ""], Float[Array, ""]]]:
    """What says that the price drifts; `state` has taken in the rest of the row."""
    assert params.trend is not None
    assert before.trend is not None
    variance = _variance(params, state, state.touch.half_spread_bp, event.rules.tick_bp)
    new, told = drifts.update(
        params.trend,
        before.trend,
        event,
        at,
        _arrived(before, event)[1],
        state.is_flowing & (event.dt_s < params.freeze_s),
        state.depth_ratio,
        variance,
        params.sample_s,
    )
    return dataclasses.replace(state, trend=new), told


def _with_drift(seen: Features, z: Float[Array, ""], precision: Float[Array, ""]) -> Features:
    """The observation of mu with one more in it, each by its precision."""
    row = [target for _, target in OBSERVATIONS].index(Target.MU)
    old, precision = seen.precision[row], jnp.where(seen.has_book, precision, 0.0)
    total = old + precision
    mean = (old * seen.z[row] + precision * z) / jnp.where(total > 0, total, 1.0)
    return dataclasses.replace(
        seen, z=seen.z.at[row].set(mean), precision=seen.precision.at[row].set(total)
    )


def _fold_variance(params: Params, state: State, event: Event) -> State:
    """Variance of the mid per second, and how often a sample finds another mid.

    With `m` the mid's own average over tau, `E (mid - m)^2 = sigma^2 tau / 2` for a random walk, at
    every moment: so every row counts, and what the mid gives back within a second does not. Each
    step adds the exact integral while the mid stands. The clock stands still in an outage, and the
    average starts anew after it.
    """
    at = touch(event.book)
    is_market = (
        (event.kind == int(Kind.BOOK))
        | (event.kind == int(Kind.BBO))
        | (event.kind == int(Kind.TRADE))
    )
    quiet_s = jnp.where(is_market, 0.0, state.quiet_s + event.dt_s)
    is_flowing = at.has_book & (quiet_s < params.freeze_s)
    counts = is_flowing & state.is_flowing & (event.dt_s < params.freeze_s)
    keep = jnp.exp(-event.dt_s / params.variance_scale_s)
    forget = jnp.exp(-event.dt_s / params.variance_memory_s)
    away = state.touch.mid_bp - state.average_mid_bp
    average = jnp.where(counts, state.touch.mid_bp - keep * away, at.mid_bp)
    square = away**2 * (1 - keep**2)
    elapsed = state.since_sample_s + event.dt_s
    due = elapsed >= params.sample_s
    # A mid lives on half ticks; less than half of one is rounding.
    moved = jnp.abs(at.mid_bp - state.sample_mid_bp) > event.rules.tick_bp / 4
    sampled = jnp.where(counts & due, jnp.stack([moved, ~moved]), False)
    resample = due | ~counts
    move, index = at.mid_bp - state.sample_mid_bp, state.sample_index_bp
    lasting = jnp.exp(-event.dt_s / params.follow_memory_s)
    came_true = jnp.where(counts & due, jnp.stack([index * move, index**2]), 0.0)
    return dataclasses.replace(
        state,
        squares=jnp.where(counts, state.squares * forget + square, state.squares),
        sampled_s=jnp.where(counts, state.sampled_s * forget + event.dt_s, state.sampled_s),
        average_mid_bp=jnp.where(is_flowing, average, state.average_mid_bp),
        moves=jnp.where(counts, state.moves * forget, state.moves) + sampled.astype(square.dtype),
        sample_mid_bp=jnp.where(resample, at.mid_bp, state.sample_mid_bp),
        is_sample=resample,
        followed=jnp.where(counts, state.followed * lasting, state.followed) + came_true,
        since_sample_s=jnp.where(resample, 0.0, elapsed),
        quiet_s=quiet_s,
        is_flowing=is_flowing,
    )


def _fold_depth(params: Params, state: State, event: Event) -> State:
    """Depth ratio of the whole book, levels weighted by their distance in volatilities."""
    at, tick = touch(event.book), event.rules.tick_bp
    sigma = jnp.sqrt(_variance(params, state, at.half_spread_bp, tick))
    reach = params.depth_reach * sigma + at.half_spread_bp + tick / 2
    ratio = jnp.where(at.has_book, depth_ratio(event.book, at.mid_bp, reach), state.depth_ratio)
    blend = jnp.where(state.has_seen, -jnp.expm1(-event.dt_s / params.depth_memory_s), 1.0)
    usual = state.usual_ratio + blend * (ratio - state.usual_ratio)
    return dataclasses.replace(state, depth_ratio=ratio, usual_ratio=usual)


def _variance(
    params: Params, state: State, half_spread_bp: Float[Array, ""], tick_bp: Float[Array, ""]
) -> Float[Array, ""]:
    """Variance of the mid per second: sampled squares beside a prior from the spread."""
    prior = params.prior_sigma_half_spreads * (half_spread_bp + tick_bp / 2)
    return (state.squares + params.prior_variance_s * prior**2) / (
        state.sampled_s + params.prior_variance_s
    )


def _index(params: Params, state: State, tick_bp: Float[Array, ""]) -> Float[Array, ""]:
    """What the mid is expected to do over the next second, where the book says as much as usual."""
    at = state.touch
    sigma = jnp.sqrt(_variance(params, state, at.half_spread_bp, tick_bp))
    queue = log_queue_ratio(at)
    beyond = queue - jnp.clip(queue, -params.thin_log, params.thin_log)
    away = state.depth_ratio - state.usual_ratio
    root = numerics.safe_sqrt(sigma * at.half_spread_bp)
    near = params.queue * queue + params.flow * jnp.tanh(state.order_flow)
    return root * near + sigma * (params.thin * beyond + params.depth * away)


def _follow_through(params: Params, state: State, variance: Float[Array, ""]) -> Float[Array, ""]:
    """Share of the index that has come true of late: a regression through zero beside a prior of 1.

    A book that says nothing in this market, or no longer does, soon moves fair value no more.
    """
    prior = params.prior_follow_s * variance
    moved, squares = state.followed[0] + prior, state.followed[1] + prior
    return jnp.maximum(moved, 0.0) / jnp.where(squares > 0, squares, 1.0)


def _fold_reference(params: Params, state: State, event: Event) -> State:
    """Recent move of the reference and of our own mid, both decaying at the lead's time."""
    at = touch(event.book)
    keep = jnp.exp(-event.dt_s / params.lead_decay_s)
    seen = event.reference.is_valid
    moved = jnp.where(seen & state.has_reference, event.reference.mid_bp - state.reference_bp, 0.0)
    own = jnp.where(at.has_book & state.touch.has_book, at.mid_bp - state.touch.mid_bp, 0.0)
    return dataclasses.replace(
        state,
        reference_bp=jnp.where(seen, event.reference.mid_bp, state.reference_bp),
        has_reference=state.has_reference | seen,
        reference_move=state.reference_move * keep + moved,
        own_move=state.own_move * keep + jnp.where(state.has_reference, own, 0.0),
    )


def _features(params: Params, state: State, event: Event, at: Touch) -> Features:
    tick, half_spread, mid = event.rules.tick_bp, state.touch.half_spread_bp, state.touch.mid_bp
    variance = _variance(params, state, half_spread, tick)
    sigma = jnp.sqrt(variance)
    moves = state.moves + params.prior_moves
    fair = mid + params.relaxation * _follow_through(params, state, variance) * state.index_bp
    base = (state.trades + params.prior_trades) / (state.exposure_s + params.prior_exposure_s)
    rate = hawkes.intensity(base, state.excitation, params.branching, params.kernel_decay)
    prior_usd = params.prior_trades * params.prior_trade_share * state.depth_usd
    trade_usd = (state.trades_usd + prior_usd) / (jnp.sum(state.trades) + params.prior_trades)
    excess = (rate[1] - rate[0]) / jnp.sum(rate)
    lead = fair + params.lead_share * (state.reference_move - state.own_move)
    noise = price_noise(params, half_spread, tick, variance)
    # A price observation repeats what the last one said: its information counts per second.
    share = jnp.minimum(event.dt_s / params.correlation_s, 1.0)
    flowing = jnp.where(state.quiet_s < params.freeze_s, share, 0.0)
    seen = jnp.where(at.has_book & event.is_valid, flowing, 0.0)
    sampled = jnp.minimum(event.dt_s / params.variance_memory_s, 1.0) * state.sampled_s
    precision = jnp.stack(
        [
            seen / noise[0],
            seen / noise[1],
            jnp.where(event.reference.is_valid, seen, 0.0) / noise[2],
            jnp.where(seen > 0, params.trend_precision * event.dt_s, 0.0) / variance,
            jnp.where(seen > 0, sampled, 0.0) / params.variance_noise_s,
        ]
    )
    z = jnp.stack([fair, mid, lead, params.trend_gain * sigma * excess, jnp.log(variance) / 2])
    return Features(
        z=z,
        precision=precision,
        mid_bp=mid,
        half_spread_bp=half_spread,
        index_bp=state.index_bp,
        fair_bp=fair,
        sigma_bp=sigma,
        move_rate=moves[0] / (moves[1] * params.sample_s),
        arrival_rate=rate,
        base_rate=base,
        branching=params.branching,
        arrival_decay=params.kernel_decay,
        trade_usd=trade_usd,
        volume_usd_s=trade_usd * jnp.sum(base),
        has_book=at.has_book & event.is_valid,
        is_flowing=state.is_flowing & (event.dt_s < params.freeze_s),
    )


def price_noise(
    params: Params,
    half_spread_bp: Float[Array, ""],
    tick_bp: Float[Array, ""],
    variance: Float[Array, ""],
) -> Float[Array, "3"]:
    """Noise variances of the observations of V (fair, mid, lead) before time is counted."""
    sigma, tick2 = jnp.sqrt(variance), (tick_bp / 2) ** 2
    spread = half_spread_bp**2
    return jnp.stack(
        [
            params.fair_noise_spread * half_spread_bp * sigma + params.fair_noise_sigma * variance,
            tick2 + params.mid_noise_spread * spread + params.mid_noise_sigma * variance,
            tick2 + params.lead_noise_sigma * variance,
        ]
    )


def build(config: Config) -> Stage[Params, State, Event, Features]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
