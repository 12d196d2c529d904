"""Events to observations `(z, precision)` of the belief state, and the market's present scale.

Fair value in layers: `mid + index`, where the index is linear in the log queue ratio, tanh of the
decayed order-flow imbalance, imbalance at three depths and signed trade flow, in units of the
volatility and of sqrt(half spread x volatility), so that one set of coefficients serves every coin.
Source: ours; the units and the decay from regressions on recorded tapes.
"""

import dataclasses
import enum
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE, REAL, SHARE, Stage, UNIT, where
from diffmm.market import Event, Kind

from . import hawkes
from .touch import imbalance, log_queue_ratio, order_flow, Touch, touch


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


@dataclasses.dataclass(frozen=True)
class Config:
    """No static choice yet; the shapes come from the event."""

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls()


class Params(eqx.Module):
    queue_root: Float[Array, ""] = param(REAL, 0.25, unit="s^0.25")
    queue: Float[Array, ""] = param(REAL, 0.05, unit="s^0.5")
    flow_tanh: Float[Array, ""] = param(REAL, 0.15, unit="s^0.5")
    depth: Float[Array, "3"] = param(REAL, (0.0, 0.0, 0.0), unit="s^0.5")
    trade_flow: Float[Array, ""] = param(REAL, 0.0, unit="s^0.5")
    relaxation: Float[Array, ""] = param(POSITIVE, 2.25)
    depth_distance_bp: Float[Array, "3"] = param(
        POSITIVE, (10.0, 25.0, 50.0), unit="bp", trainable=False
    )
    flow_decay_s: Float[Array, ""] = param(POSITIVE, 0.5, unit="s")
    depth_memory_s: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")
    rate_memory_s: Float[Array, ""] = param(POSITIVE, 300.0, unit="s")
    prior_trades: Float[Array, ""] = param(POSITIVE, 2.0)
    prior_exposure_s: Float[Array, ""] = param(POSITIVE, 10.0, unit="s")
    prior_trade_share: Float[Array, ""] = param(POSITIVE, 0.1)
    branching: Float[Array, ""] = param(UNIT, 0.5)
    kernel_decay: Float[Array, ""] = param(POSITIVE, 1.0, unit="1/s")
    sample_s: Float[Array, ""] = param(POSITIVE, 1.0, unit="s", trainable=False)
    variance_memory_s: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")
    prior_variance_s: Float[Array, ""] = param(POSITIVE, 5.0, unit="s")
    prior_sigma_half_spreads: Float[Array, ""] = param(POSITIVE, 0.5, unit="1/s^0.5")
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


class State(eqx.Module):
    touch: Touch
    has_seen: Bool[Array, ""]
    order_flow: Float[Array, ""]
    trade_flow: Float[Array, ""]
    depth_usd: Float[Array, ""]
    trades: Float[Array, "side"]
    trades_usd: Float[Array, ""]
    exposure_s: Float[Array, ""]
    excitation: Float[Array, "side"]
    squares: Float[Array, ""]
    sampled_s: Float[Array, ""]
    sample_mid_bp: Float[Array, ""]
    since_sample_s: Float[Array, ""]
    quiet_s: Float[Array, ""]
    reference_bp: Float[Array, ""]
    has_reference: Bool[Array, ""]
    reference_move: Float[Array, ""]
    own_move: Float[Array, ""]


class Features(eqx.Module):
    """Observations for the belief and the scales that pricing needs.

    **Attributes:**

    - `z`, `precision`: rows as in `OBSERVATIONS`; precision 0 is no information.
    - `mid_bp`, `half_spread_bp`, `has_book`: the touch, own size excluded.
    - `fair_bp`: layered fair value.
    - `sigma_bp`: volatility of the mid in bp per sqrt(s), from sampled returns.
    - `arrival_rate`: takers per second that would reach our quote on each side.
    - `trade_usd`: mean notional of a taker's print.
    - `volume_usd_s`: traded notional per second.
    """

    z: Float[Array, "observations"]
    precision: Float[Array, "observations"]
    mid_bp: Float[Array, ""]
    half_spread_bp: Float[Array, ""]
    fair_bp: Float[Array, ""]
    sigma_bp: Float[Array, ""]
    arrival_rate: Float[Array, "side"]
    trade_usd: Float[Array, ""]
    volume_usd_s: Float[Array, ""]
    has_book: Bool[Array, ""]


def init(params: Params, *, config: Config) -> State:
    """Nothing seen."""
    del config
    zero = jnp.zeros_like(params.queue)
    none = jnp.array(False)
    return State(
        touch=Touch(zero, zero, zero, zero, none),
        has_seen=none,
        order_flow=zero,
        trade_flow=zero,
        depth_usd=zero,
        trades=jnp.stack([zero, zero]),
        trades_usd=zero,
        exposure_s=zero,
        excitation=jnp.stack([zero, zero]),
        squares=zero,
        sampled_s=zero,
        sample_mid_bp=zero,
        since_sample_s=zero,
        quiet_s=zero,
        reference_bp=zero,
        has_reference=none,
        reference_move=zero,
        own_move=zero,
    )


def update(params: Params, state: State, event: Event, *, config: Config) -> tuple[State, Features]:
    """Fold one event."""
    del config
    shifted = dataclasses.replace(
        state,
        touch=dataclasses.replace(
            state.touch,
            bid_bp=state.touch.bid_bp + event.shift_bp,
            ask_bp=state.touch.ask_bp + event.shift_bp,
        ),
        sample_mid_bp=state.sample_mid_bp + event.shift_bp,
    )
    new = _fold_flow(params, shifted, event)
    new = _fold_variance(params, new, event)
    new = _fold_reference(params, new, event)
    at = touch(event.book)
    new = dataclasses.replace(
        new, touch=where(at.has_book, at, new.touch), has_seen=new.has_seen | at.has_book
    )
    state = where(event.is_valid, new, state)
    return state, _features(params, state, event, at)


def _fold_flow(params: Params, state: State, event: Event) -> State:
    """Order flow, trade flow, arrival counts, displayed depth."""
    at = touch(event.book)
    keep = jnp.exp(-event.dt_s / params.flow_decay_s)
    forget = jnp.exp(-event.dt_s / params.rate_memory_s)
    depth = jnp.where(at.has_book, (at.bid_usd + at.ask_usd) / 2, state.depth_usd)
    blend = jnp.where(state.has_seen, -jnp.expm1(-event.dt_s / params.depth_memory_s), 1.0)
    depth_usd = state.depth_usd + blend * (depth - state.depth_usd)
    scale = jnp.where(depth_usd > 0, depth_usd, 1.0)
    change = order_flow(state.touch, at, event.rules.tick_bp) / scale
    signed = event.trade.sign * event.trade.usd / scale
    is_print = event.trade.usd > 0
    arrived = jnp.where(is_print, jnp.stack([-event.trade.sign, event.trade.sign]) > 0, False)
    count = arrived.astype(depth_usd.dtype)
    return dataclasses.replace(
        state,
        order_flow=state.order_flow * keep + change,
        trade_flow=state.trade_flow * keep + signed,
        depth_usd=depth_usd,
        trades=state.trades * forget + count,
        trades_usd=state.trades_usd * forget + event.trade.usd,
        exposure_s=state.exposure_s * forget + event.dt_s,
        excitation=hawkes.decay(state.excitation, params.kernel_decay, event.dt_s) + count,
    )


def _fold_variance(params: Params, state: State, event: Event) -> State:
    """Squared returns over at least `sample_s`; the clock stands still in an outage."""
    at = touch(event.book)
    is_market = (
        (event.kind == int(Kind.BOOK))
        | (event.kind == int(Kind.BBO))
        | (event.kind == int(Kind.TRADE))
    )
    quiet_s = jnp.where(is_market, 0.0, state.quiet_s + event.dt_s)
    elapsed = state.since_sample_s + event.dt_s
    due = at.has_book & (elapsed >= params.sample_s)
    counts = due & state.has_seen & (elapsed < params.freeze_s) & (quiet_s < params.freeze_s)
    forget = jnp.exp(-elapsed / params.variance_memory_s)
    move = at.mid_bp - state.sample_mid_bp
    return dataclasses.replace(
        state,
        squares=jnp.where(counts, state.squares * forget + move**2, state.squares),
        sampled_s=jnp.where(counts, state.sampled_s * forget + elapsed, state.sampled_s),
        sample_mid_bp=jnp.where(due | ~state.has_seen, at.mid_bp, state.sample_mid_bp),
        since_sample_s=jnp.where(due, 0.0, elapsed),
        quiet_s=quiet_s,
    )


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
    prior = params.prior_sigma_half_spreads * (half_spread + tick / 2)
    variance = (state.squares + params.prior_variance_s * prior**2) / (
        state.sampled_s + params.prior_variance_s
    )
    sigma = jnp.sqrt(variance)
    queue = log_queue_ratio(state.touch)
    root = jnp.sqrt(sigma * (half_spread + tick / 2))
    within = imbalance(event.book, mid, params.depth_distance_bp)
    linear = (
        params.queue * queue
        + params.flow_tanh * jnp.tanh(state.order_flow)
        + params.trade_flow * jnp.tanh(state.trade_flow)
        + jnp.sum(params.depth * within)
    )
    fair = mid + params.relaxation * (params.queue_root * queue * root + sigma * linear)
    base = (state.trades + params.prior_trades) / (state.exposure_s + params.prior_exposure_s)
    rate = hawkes.intensity(base, state.excitation, params.branching, params.kernel_decay)
    prior_usd = params.prior_trades * params.prior_trade_share * state.depth_usd
    trade_usd = (state.trades_usd + prior_usd) / (jnp.sum(state.trades) + params.prior_trades)
    excess = (rate[1] - rate[0]) / jnp.sum(rate)
    lead = fair + params.lead_share * (state.reference_move - state.own_move)
    noise = jnp.stack(
        [
            params.fair_noise_spread * half_spread * sigma + params.fair_noise_sigma * variance,
            (tick / 2) ** 2
            + params.mid_noise_spread * half_spread**2
            + params.mid_noise_sigma * variance,
            params.lead_noise_sigma * variance + (tick / 2) ** 2,
        ]
    )
    noise = noise + jnp.stack([(tick / 2) ** 2, jnp.zeros_like(tick), jnp.zeros_like(tick)])
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
        fair_bp=fair,
        sigma_bp=sigma,
        arrival_rate=rate,
        trade_usd=trade_usd,
        volume_usd_s=trade_usd * jnp.sum(base),
        has_book=at.has_book & event.is_valid,
    )


def build(config: Config) -> Stage[Params, State, Event, Features]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
