"""What a row adds to each running sum of the Sensor, and the scales that are read off them."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import numerics
from diffmm.market import Event, Kind

from . import hawkes
from .interface import Params, State
from .touch import depth_ratio, log_queue_ratio, order_flow, touch


def fold_flow(params: Params, state: State, event: Event) -> State:
    """Order flow, arrival counts, displayed depth."""
    at = touch(event.book)
    keep = jnp.exp(-event.dt_s / params.flow_decay_s)
    forget = jnp.exp(-event.dt_s / params.rate_memory_s)
    depth = jnp.where(at.has_book, (at.bid_usd + at.ask_usd) / 2, state.depth_usd)
    blend = jnp.where(state.has_seen, -jnp.expm1(-event.dt_s / params.depth_memory_s), 1.0)
    depth_usd = state.depth_usd + blend * (depth - state.depth_usd)
    scale = jnp.where(depth_usd > 0, depth_usd, 1.0)
    change = order_flow(state.touch, at, event.rules.tick_bp) / scale
    sign, count = arrived(state, event)
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


def arrived(state: State, event: Event) -> tuple[Float[Array, ""], Float[Array, "side"]]:
    """Sign of the print that the row tells of, 0 for none, and 1 on the side of a taker who came.

    A taker who meets several orders leaves a print for each, in one message.
    """
    is_print, sign = event.trade.usd > 0, jnp.where(event.trade.usd > 0, event.trade.sign, 0.0)
    is_taker = is_print & ((event.dt_s > 0) | (sign != state.taker_sign))
    is_side = jnp.where(is_taker, jnp.stack([-sign, sign]) > 0, False)
    return sign, is_side.astype(state.trades.dtype)


def fold_moves(params: Params, state: State, event: Event) -> State:
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


def fold_depth(params: Params, state: State, event: Event) -> State:
    """Depth ratio of the whole book, levels weighted by their distance in volatilities."""
    at, tick = touch(event.book), event.rules.tick_bp
    sigma = jnp.sqrt(variance(params, state, at.half_spread_bp, tick))
    reach = params.depth_reach * sigma + at.half_spread_bp + tick / 2
    ratio = jnp.where(at.has_book, depth_ratio(event.book, at.mid_bp, reach), state.depth_ratio)
    blend = jnp.where(state.has_seen, -jnp.expm1(-event.dt_s / params.depth_memory_s), 1.0)
    usual = state.usual_ratio + blend * (ratio - state.usual_ratio)
    return dataclasses.replace(state, depth_ratio=ratio, usual_ratio=usual)


def fold_reference(params: Params, state: State, event: Event) -> State:
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


def variance(
    params: Params, state: State, half_spread_bp: Float[Array, ""], tick_bp: Float[Array, ""]
) -> Float[Array, ""]:
    """Variance of the mid per second: sampled squares beside a prior from the spread."""
    prior = params.prior_sigma_half_spreads * (half_spread_bp + tick_bp / 2)
    return (state.squares + params.prior_variance_s * prior**2) / (
        state.sampled_s + params.prior_variance_s
    )


def index(params: Params, state: State, tick_bp: Float[Array, ""]) -> Float[Array, ""]:
    """What the mid is expected to do over the next second, where the book says as much as usual."""
    at = state.touch
    sigma = jnp.sqrt(variance(params, state, at.half_spread_bp, tick_bp))
    queue = log_queue_ratio(at)
    beyond = queue - jnp.clip(queue, -params.thin_log, params.thin_log)
    away = state.depth_ratio - state.usual_ratio
    root = numerics.safe_sqrt(sigma * at.half_spread_bp)
    near = params.queue * queue + params.flow * jnp.tanh(state.order_flow)
    return root * near + sigma * (params.thin * beyond + params.depth * away)


def follow_through(params: Params, state: State, variance: Float[Array, ""]) -> Float[Array, ""]:
    """Share of the index that has come true of late: a regression through zero beside a prior of 1.

    A book that says nothing in this market, or no longer does, soon moves fair value no more.
    """
    prior = params.prior_follow_s * variance
    moved, squares = state.followed[0] + prior, state.followed[1] + prior
    return jnp.maximum(moved, 0.0) / jnp.where(squares > 0, squares, 1.0)


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
