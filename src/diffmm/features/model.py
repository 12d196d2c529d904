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
import functools as ft

import jax.numpy as jnp

from diffmm.core import Stage, where
from diffmm.market import Event

from . import (
    folds,
    frontier as liquidations,
    hawkes,
    participants as quoters,
    parts,
    propagation as news,
    trend as drifts,
)
from .interface import Config, Features, Params, State
from .touch import Touch, touch


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
        participants=parts.init_part(quoters, "participants", params, config),
        propagation=parts.init_part(news, "propagation", params, config),
        frontier=parts.init_part(liquidations, "frontier", params, config),
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
    new = folds.fold_flow(params, shifted, event)
    new = folds.fold_moves(params, new, event)
    new = folds.fold_depth(params, new, event)
    new = folds.fold_reference(params, new, event)
    at = touch(event.book)
    new = dataclasses.replace(
        new, touch=where(at.has_book, at, new.touch), has_seen=new.has_seen | at.has_book
    )
    index = folds.index(params, new, event.rules.tick_bp)
    sampled = jnp.where(new.is_sample, index, new.sample_index_bp)
    new = dataclasses.replace(new, index_bp=index, sample_index_bp=sampled)
    of_drift = None
    if params.trend is not None:
        new, of_drift = parts.drifting(params, state, new, event, at)
    state = where(event.is_valid, new, state)
    seen = _features(params, state, event, at)
    if of_drift is not None:
        seen = parts.with_drift(seen, *of_drift)
    if config.propagation is not None:
        state, seen = parts.propagated(params, state, event, seen, config)
    if config.participants is not None:
        state, seen = parts.watched(params, state, event, seen, config)
    if config.frontier is not None:
        state, seen = parts.mapped(params, state, event, seen, config)
    return state, seen


def _features(params: Params, state: State, event: Event, at: Touch) -> Features:
    tick, half_spread, mid = event.rules.tick_bp, state.touch.half_spread_bp, state.touch.mid_bp
    variance = folds.variance(params, state, half_spread, tick)
    sigma = jnp.sqrt(variance)
    moves = state.moves + params.prior_moves
    fair = mid + params.relaxation * folds.follow_through(params, state, variance) * state.index_bp
    base = (state.trades + params.prior_trades) / (state.exposure_s + params.prior_exposure_s)
    rate = hawkes.intensity(base, state.excitation, params.branching, params.kernel_decay)
    prior_usd = params.prior_trades * params.prior_trade_share * state.depth_usd
    trade_usd = (state.trades_usd + prior_usd) / (jnp.sum(state.trades) + params.prior_trades)
    excess = (rate[1] - rate[0]) / jnp.sum(rate)
    lead = fair + params.lead_share * (state.reference_move - state.own_move)
    noise = folds.price_noise(params, half_spread, tick, variance)
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


def build(config: Config) -> Stage[Params, State, Event, Features]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
