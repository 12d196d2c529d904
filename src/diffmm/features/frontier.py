"""Where positions are liquidated: density of liquidation prices on bins, proximity, cascades.

Every contract of open interest is one long and one short. An increase is logged at the mark, spread
over leverages and maintenance tiers, at the price where each is liquidated (isolated margin):

    long   p0 (1 - 1/L) / (1 - m)        short   p0 (1 + 1/L) / (1 + m),        1/L at least 2 m

since a tier of maintenance m lets nobody open with less than twice it. A decrease is taken first
from what the price has crossed since (`due`: liquidated and not yet reported), then from everything
in proportion. What was open before we looked, and what leaves the grid, is `far`: of unknown price.
So on either side, to rounding, always: density + due + far = open interest.

The mixture over leverages is a prior, tilted by funding (the side that pays is levered more), and
multiplied by what past crossings came to: (share + seen) / (share + crossed) of each leverage.

    distance   = mean distance of the density beyond the price, weighted by exp(-distance / reach)
    proximity  = relu(1 - distance / reach), smooth, x near mass / (near mass + trigger)
    cascade    = tanh(gain x share of open interest gone x approach x one-sided flow)
    exhaustion = relu(the cascade's average - the cascade)

with reach = sigma x `impact_distance`. They tilt the modes towards the crisis; as shipped by 0, for
no feed of open interest is recorded. Source: part 22 of the reference for the prices; otherwise
ours, with planted positions found again by the test.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import interval, param, POSITIVE, REAL, Stage, where
from diffmm.market import Event, Kind, SIDE_SIGN

from .touch import touch


LONG, SHORT = 0, 1
"""Axis `side` here: longs are liquidated below the price, shorts above it."""
TILT = interval(-1.0, 1.0)
"""Of the crisis in logs; three of them together keep the exact transition of the modes exact."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Static sizes.

    **Attributes:**

    - `bins`: of the density, even; half of them below where the grid is centred.
    """

    bins: int = 128

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(bins=32)


class Params(eqx.Module):
    """What is assumed of positions, and what the frontier does.

    **Attributes:**

    - `bin_bp`: width of a bin.
    - `leverage`, `leverage_logit`: the grid of leverages, and logs of their prior weights.
    - `maintenance`, `tier_logit`: maintenance rates of the venue's tiers, and logs of the shares of
      open interest in them.
    - `funding_gain`: tilt of the weights of high leverages by the hourly rate.
    - `prior_share`: of open interest that must be crossed before the mixture learns from it.
    - `due_s`: what was crossed and not reported within it was not liquidated; it becomes far.
    - `impact_distance`: sigmas over which a liquidation's impact carries.
    - `softness`: of the relu; `trigger_share`: of open interest that is half a frontier.
    - `cascade_s`, `cascade_gain`, `exhaustion_s`: memory and gain of a cascade, memory of its mean.
    - `*_tilt`: of the crisis; ship as 0.
    """

    bin_bp: Float[Array, ""] = param(POSITIVE, 25.0, unit="bp", trainable=False)
    leverage: Float[Array, " leverages"] = param(
        interval(1.0, 1000.0), (3.0, 5.0, 10.0, 20.0, 40.0), trainable=False
    )
    leverage_logit: Float[Array, " leverages"] = param(REAL, (0.0, 0.0, 0.0, 0.0, 0.0))
    maintenance: Float[Array, " tiers"] = param(
        interval(0.0, 0.5), (0.0125, 0.025), trainable=False
    )
    tier_logit: Float[Array, " tiers"] = param(REAL, (0.0, 0.0))
    funding_gain: Float[Array, ""] = param(REAL, 0.0)
    prior_share: Float[Array, ""] = param(POSITIVE, 0.02)
    due_s: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")
    impact_distance: Float[Array, ""] = param(POSITIVE, 25.0, unit="s^0.5")
    softness: Float[Array, ""] = param(POSITIVE, 0.1)
    trigger_share: Float[Array, ""] = param(POSITIVE, 0.01)
    cascade_s: Float[Array, ""] = param(POSITIVE, 10.0, unit="s")
    cascade_gain: Float[Array, ""] = param(POSITIVE, 100.0)
    exhaustion_s: Float[Array, ""] = param(POSITIVE, 30.0, unit="s")
    proximity_tilt: Float[Array, ""] = param(TILT, 0.0)
    cascade_tilt: Float[Array, ""] = param(TILT, 0.0)
    exhaustion_tilt: Float[Array, ""] = param(TILT, 0.0)


class State(eqx.Module):
    """What is remembered.

    **Attributes:**

    - `density_usd`: open interest by side, leverage and bin of its liquidation price.
    - `due_usd`, `far_usd`: crossed and not yet reported; of no known price.
    - `centre_bp`: lower edge of the middle bin.
    - `interest_usd`, `has_interest`: open interest as last told.
    - `seen`, `crossed`: shares of open interest that were liquidated, and that should have been.
    - `price_bp`, `has_price`: last mid.
    - `move_bp`, `flow_usd`, `volume_usd`, `gone`: decayed move of it, signed and whole taker
      volume, share of open interest that went.
    - `cascade`: decayed mean of the cascade.
    """

    density_usd: Float[Array, "side leverages bins"]
    due_usd: Float[Array, "side leverages"]
    far_usd: Float[Array, "side"]
    centre_bp: Float[Array, ""]
    interest_usd: Float[Array, ""]
    has_interest: Bool[Array, ""]
    seen: Float[Array, "side leverages"]
    crossed: Float[Array, "side leverages"]
    price_bp: Float[Array, ""]
    has_price: Bool[Array, ""]
    move_bp: Float[Array, ""]
    flow_usd: Float[Array, ""]
    volume_usd: Float[Array, ""]
    gone: Float[Array, ""]
    cascade: Float[Array, "side"]


class Frontier(eqx.Module):
    """What is known of it after an event; axis `side` is longs, shorts.

    **Attributes:**

    - `liquidation_bp`: middles of the bins.
    - `density_usd`, `due_usd`, `far_usd`: as in `State`, over all leverages.
    - `distance_bp`: of the near density from the mid; the whole grid's reach where there is none.
    - `proximity`, `cascade`, `exhaustion`: in [0, 1].
    - `leverage_share`: mixture that a new position would be logged with.
    - `crisis_tilt`: log factor on the entries into the crisis.
    """

    liquidation_bp: Float[Array, " bins"]
    density_usd: Float[Array, "side bins"]
    due_usd: Float[Array, "side"]
    far_usd: Float[Array, "side"]
    distance_bp: Float[Array, "side"]
    proximity: Float[Array, "side"]
    cascade: Float[Array, "side"]
    exhaustion: Float[Array, "side"]
    leverage_share: Float[Array, "side leverages"]
    crisis_tilt: Float[Array, ""]


def liquidation_offset_bp(
    leverage: Float[Array, "*s"], maintenance: Float[Array, "*s"]
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """Logs of liquidation over entry price in bp, of a long and of a short; isolated margin."""
    margin = jnp.maximum(1 / leverage, 2 * maintenance)
    long = jnp.log1p(-margin) - jnp.log1p(-maintenance)
    short = jnp.log1p(margin) - jnp.log1p(maintenance)
    return 1e4 * long, 1e4 * short


def init(params: Params, *, config: Config) -> State:
    """Nothing seen."""
    zero, none = jnp.zeros_like(params.bin_bp), jnp.array(False)
    each = jnp.stack([0 * params.leverage] * 2)
    side = jnp.stack([zero, zero])
    density = jnp.zeros((*each.shape, config.bins), zero.dtype)
    return State(
        density_usd=density,
        due_usd=each,
        far_usd=side,
        centre_bp=zero,
        interest_usd=zero,
        has_interest=none,
        seen=each,
        crossed=each,
        price_bp=zero,
        has_price=none,
        move_bp=zero,
        flow_usd=zero,
        volume_usd=zero,
        gone=zero,
        cascade=side,
    )


def update(
    params: Params, state: State, inputs: tuple[Event, Float[Array, ""]], *, config: Config
) -> tuple[State, Frontier]:
    """Fold one event; beside it the volatility in bp per sqrt(s)."""
    event, sigma_bp = inputs
    new = _moved(params, state, event)
    new = _crossed(params, _centred(params, new, config), config)
    is_news = (event.kind == int(Kind.CONTEXT)) & event.context.is_valid
    new = where(is_news, _told(params, new, event, config), new)
    new = where(event.is_valid, new, state)
    sigma = jnp.where(sigma_bp > 0, sigma_bp, 1.0)
    cascade = _cascade(params, new, sigma)
    blend = -jnp.expm1(-event.dt_s / params.exhaustion_s)
    average = state.cascade + jnp.where(event.is_valid, blend, 0.0) * (cascade - state.cascade)
    new = dataclasses.replace(new, cascade=average)
    return new, _said(params, new, cascade, sigma, event, config)


def _middles(params: Params, centre_bp: Float[Array, ""], config: Config) -> Float[Array, " bins"]:
    place = jnp.arange(config.bins, dtype=centre_bp.dtype) - config.bins // 2
    return centre_bp + (place + 0.5) * params.bin_bp


def _moved(params: Params, state: State, event: Event) -> State:
    """Anchor, price, and what decays."""
    at, keep = touch(event.book), jnp.exp(-event.dt_s / params.cascade_s)
    before = state.price_bp + event.shift_bp
    price = jnp.where(at.has_book, at.mid_bp, before)
    change = jnp.where(state.has_price, price - before, 0.0)
    back = state.due_usd * -jnp.expm1(-event.dt_s / params.due_s)
    first = ~state.has_price & at.has_book
    return dataclasses.replace(
        state,
        centre_bp=jnp.where(first, price, state.centre_bp + event.shift_bp),
        price_bp=price,
        has_price=state.has_price | at.has_book,
        due_usd=state.due_usd - back,
        far_usd=state.far_usd + jnp.sum(back, axis=1),
        move_bp=state.move_bp * keep + change,
        flow_usd=state.flow_usd * keep + event.trade.sign * event.trade.usd,
        volume_usd=state.volume_usd * keep + event.trade.usd,
        gone=state.gone * keep,
    )


def _centred(params: Params, state: State, config: Config) -> State:
    """The grid follows the price by whole bins; what leaves it is far."""
    away = (state.price_bp - state.centre_bp) / params.bin_bp
    most = config.bins // 8
    bins = jnp.where(jnp.abs(away) > most, jnp.round(away), 0.0)
    bins = jax.lax.stop_gradient(jnp.where(state.has_price, bins, 0.0))
    at = jnp.arange(config.bins)
    whole = jnp.clip(bins, -config.bins, config.bins).astype(at.dtype)
    source = at + whole
    inside = ((source >= 0) & (source < config.bins))[None, None, :]
    taken = jnp.take(state.density_usd, jnp.clip(source, 0, config.bins - 1), axis=2)
    kept = jnp.where(inside, taken, 0.0)
    place = at - whole
    stays = ((place >= 0) & (place < config.bins))[None, None, :]
    leaves = jnp.where(stays, 0.0, state.density_usd)
    return dataclasses.replace(
        state,
        density_usd=kept,
        far_usd=state.far_usd + jnp.sum(leaves, axis=(1, 2)),
        centre_bp=state.centre_bp + bins * params.bin_bp,
    )


def _crossed(params: Params, state: State, config: Config) -> State:
    """Longs whose liquidation price is above the price, and shorts below it, are due."""
    at = _middles(params, state.centre_bp, config)
    beyond = jnp.stack([at > state.price_bp, at < state.price_bp])
    gone = jnp.where(beyond[:, None, :], state.density_usd, 0.0)
    by_class = jnp.sum(gone, axis=2)
    scale = jnp.where(state.interest_usd > 0, state.interest_usd, 1.0)
    return dataclasses.replace(
        state,
        density_usd=state.density_usd - gone,
        due_usd=state.due_usd + by_class,
        crossed=state.crossed + by_class / scale,
    )


def _told(params: Params, state: State, event: Event, config: Config) -> State:
    """A new figure of open interest."""
    now, mark = event.context.open_interest_usd, event.context.mark_bp
    first = dataclasses.replace(
        state,
        far_usd=jnp.stack([now, now]),
        interest_usd=now,
        has_interest=jnp.array(True),
    )
    change = now - state.interest_usd
    less = _removed(state, jnp.maximum(-change, 0.0))
    more = _logged(params, less, jnp.maximum(change, 0.0), mark, event, config)
    after = dataclasses.replace(more, interest_usd=now)
    return where(state.has_interest, after, first)


def _trace_usd(state: State) -> Float[Array, ""]:
    """What is rounding beside open interest, and nothing may be divided by."""
    return jnp.finfo(state.interest_usd.dtype).eps * state.interest_usd


def _removed(state: State, usd: Float[Array, ""]) -> State:
    """What is due goes first, then everything in proportion."""
    interest = jnp.where(state.interest_usd > 0, state.interest_usd, 1.0)
    due = jnp.sum(state.due_usd, axis=1)
    is_due, is_part = due > _trace_usd(state), usd < due
    part = usd / jnp.where(is_due & is_part, due, 1.0)
    share = jnp.where(is_due, jnp.where(is_part, part, 1.0), 0.0)
    liquidated = state.due_usd * share[:, None]
    rest = jnp.sum(state.density_usd, axis=(1, 2)) + state.far_usd
    left = usd - jnp.sum(liquidated, axis=1)
    is_some = rest > _trace_usd(state)
    keep = 1 - jnp.where(is_some, jnp.clip(left / jnp.where(is_some, rest, 1.0), 0.0, 1.0), 0.0)
    return dataclasses.replace(
        state,
        due_usd=state.due_usd - liquidated,
        density_usd=state.density_usd * keep[:, None, None],
        far_usd=state.far_usd * keep,
        seen=state.seen + liquidated / interest,
        gone=state.gone + usd / interest,
    )


def _logged(
    params: Params,
    state: State,
    usd: Float[Array, ""],
    mark_bp: Float[Array, ""],
    event: Event,
    config: Config,
) -> State:
    """New positions at the mark, each split between the two bins around its liquidation price."""
    tiers = jax.nn.softmax(params.tier_logit)
    weight = _mixture(params, state, event)[:, :, None] * tiers[None, None, :]
    grid = jnp.stack(liquidation_offset_bp(*_pairs(params)))
    lowest = state.centre_bp - (config.bins // 2 - 0.5) * params.bin_bp
    place = (mark_bp + grid - lowest) / params.bin_bp
    bins = jnp.arange(config.bins, dtype=place.dtype)
    near = jnp.maximum(1 - jnp.abs(place[..., None] - bins[None, None, None, :]), 0.0)
    put = usd * jnp.sum(weight[..., None] * near, axis=2)
    outside = jnp.maximum(usd - jnp.sum(put, axis=(1, 2)), 0.0)
    return dataclasses.replace(
        state, density_usd=state.density_usd + put, far_usd=state.far_usd + outside
    )


def _pairs(params: Params) -> tuple[Float[Array, "k t"], Float[Array, "k t"]]:
    """Every leverage with every tier."""
    shape = (params.leverage.shape[0], params.maintenance.shape[0])
    leverage = jnp.broadcast_to(params.leverage[:, None], shape)
    return leverage, jnp.broadcast_to(params.maintenance[None, :], shape)


def _mixture(params: Params, state: State, event: Event) -> Float[Array, "side leverages"]:
    """Weights of the leverages of new positions, by side."""
    rate = jnp.where(event.context.is_valid, event.context.funding_rate_1h, 0.0)
    payer = jnp.stack([rate, -rate])
    learnt = jnp.log(params.prior_share + state.seen) - jnp.log(params.prior_share + state.crossed)
    tilt = params.funding_gain * payer[:, None] * jnp.log(params.leverage)[None, :]
    return jax.nn.softmax(params.leverage_logit[None, :] + tilt + learnt, axis=1)


def _cascade(params: Params, state: State, sigma: Float[Array, ""]) -> Float[Array, "side"]:
    """Positions go, the price runs towards them, and takers push it: all three, or nothing."""
    towards = jnp.asarray(SIDE_SIGN, sigma.dtype)
    approach = jnp.maximum(towards * state.move_bp / (sigma * jnp.sqrt(params.cascade_s)), 0.0)
    is_some = state.volume_usd > _trace_usd(state)
    one_sided = jnp.where(is_some, state.flow_usd / jnp.where(is_some, state.volume_usd, 1.0), 0.0)
    flow = jnp.maximum(towards * one_sided, 0.0)
    return jnp.tanh(params.cascade_gain * state.gone * approach * flow)


def _said(
    params: Params,
    state: State,
    cascade: Float[Array, "side"],
    sigma: Float[Array, ""],
    event: Event,
    config: Config,
) -> Frontier:
    at = _middles(params, state.centre_bp, config)
    density = jnp.sum(state.density_usd, axis=1)
    reach = sigma * params.impact_distance
    towards = jnp.asarray(SIDE_SIGN, sigma.dtype)
    away = jnp.maximum(towards[:, None] * (at - state.price_bp)[None, :], 0.0)
    near = density * jnp.exp(-away / reach)
    mass = jnp.sum(near, axis=1)
    has_mass = mass > _trace_usd(state)
    whole = config.bins * params.bin_bp
    mean = jnp.sum(near * away, axis=1) / jnp.where(has_mass, mass, 1.0)
    distance = jnp.where(has_mass, mean, whole)
    close = params.softness * jax.nn.softplus((1 - distance / reach) / params.softness)
    trigger = params.trigger_share * state.interest_usd
    filled = jnp.where(has_mass, mass, 0.0) / jnp.where(has_mass, mass + trigger, 1.0)
    # Without the feed nothing is known, however much was.
    present = event.context.is_valid & event.is_valid
    proximity = jnp.where(present, jnp.minimum(close, 1.0) * filled, 0.0)
    cascade = jnp.where(present, cascade, 0.0)
    exhaustion = jnp.where(present, jnp.maximum(state.cascade - cascade, 0.0), 0.0)
    either = lambda x: 1 - (1 - x[LONG]) * (1 - x[SHORT])
    tilt = (
        params.proximity_tilt * either(proximity)
        + params.cascade_tilt * either(cascade)
        + params.exhaustion_tilt * either(exhaustion)
    )
    return Frontier(
        liquidation_bp=at,
        density_usd=density,
        due_usd=jnp.sum(state.due_usd, axis=1),
        far_usd=state.far_usd,
        distance_bp=distance,
        proximity=proximity,
        cascade=cascade,
        exhaustion=exhaustion,
        leverage_share=_mixture(params, state, event),
        crisis_tilt=tilt,
    )


def build(config: Config) -> Stage[Params, State, tuple[Event, Float[Array, ""]], Frontier]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
