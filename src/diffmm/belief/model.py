"""IMM of square-root cubature filters over `[V, mu, log sigma, informed_logit]`, and our own fills.

One event: re-anchor, mix the modes, predict over `dt`, take each observation in turn, take our own
fills as Glosten-Milgrom evidence, weigh the modes by what they predicted.
"""

import dataclasses
import functools as ft
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from diffmm.core import (
    all_finite,
    defaults,
    flag,
    Health,
    numerics,
    param,
    POSITIVE,
    REAL,
    small,
    Stage,
    where,
)
from diffmm.features import Features, OBSERVATIONS, PARTICIPANTS
from diffmm.market import ASK, BID, Event, SIDE_SIGN

from . import (
    consistency,
    dynamics,
    flow_type as takers,
    glosten_milgrom,
    imm,
    predictive,
    private as premium,
    reach,
)
from .dynamics import INFORMED, LOG_SIGMA, MU, V
from .gaussian import condition, Gaussian, measure


LEVEL = [name for name, _ in OBSERVATIONS].index("variance")
"""The observation whose value is the level that log sigma reverts to."""

NODES = (-(3**0.5), 0.0, 3**0.5)
WEIGHTS = (1 / 6, 2 / 3, 1 / 6)
"""Three-point Gauss-Hermite rule for a standard normal."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `modes`: how many of the declared modes run, in the order quiet, trending, crisis.
    - `fills`: whether there can be fills of ours; without any, the update is the same and dearer.
    """

    modes: int = 3
    fills: bool = True

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(modes=2)


class Params(eqx.Module):
    dynamics: dynamics.Params
    reach: reach.Params
    predictive: predictive.Params
    consistency: consistency.Params
    exit_rate: Float[Array, "modes"] = param(POSITIVE, (0.01, 0.03, 0.05), unit="1/s")
    tail: Float[Array, ""] = param(POSITIVE, 5.0)
    signal_noise: Float[Array, ""] = param(POSITIVE, 0.3)
    informed_size: Float[Array, ""] = param(REAL, 0.2)
    prior_v_half_spreads: Float[Array, ""] = param(POSITIVE, 1.0)
    prior_log_sigma_sd: Float[Array, ""] = param(POSITIVE, 0.5)
    prior_informed_sd: Float[Array, ""] = param(POSITIVE, 0.3)
    flow_type: takers.Params | None = None
    private: premium.Params | None = None


class State(eqx.Module):
    modes: Gaussian
    log_mode: Float[Array, "modes"]
    has_started: Bool[Array, ""]
    scored: consistency.State
    flow_type: takers.State | None = None
    private: premium.State | None = None


class Belief(eqx.Module):
    """The mixture posterior.

    **Attributes:**

    - `mean`, `cov`: moments of the mixture over `[V, mu, log sigma, informed_logit]`.
    - `log_mode`: log probabilities of the modes.
    - `mode_mean`, `mode_var`: means, and variances of V, of each mode, when the newest information
      left the venue.
    - `mode_sigma_bp`: expected volatility of each mode, bp per sqrt(s).
    - `age_s`: of the newest information.
    - `drift_rate`: reversion of mu, for `E[V at t + T]`.
    - `log_scale`: logs of what predictive variances must be multiplied by, at each horizon.
    - `informed`: probability that the next taker of typical size is informed.
    - `nis`: normalised innovation squared of the fair-value observation, mixed.
    - `log_score`: log likelihood of this event's observations and fills.
    - `is_ready`: whether there is a belief at all (a two-sided book was seen).
    - `health`: flags.
    - `flow_type`: who filled us; `None` where `Params.flow_type` is.
    """

    mean: Float[Array, "4"]
    cov: Float[Array, "4 4"]
    log_mode: Float[Array, "modes"]
    mode_mean: Float[Array, "modes 4"]
    mode_var: Float[Array, "modes"]
    mode_sigma_bp: Float[Array, "modes"]
    age_s: Float[Array, ""]
    drift_rate: Float[Array, ""]
    log_scale: Float[Array, "horizons"]
    informed: Float[Array, ""]
    nis: Float[Array, ""]
    log_score: Float[Array, ""]
    is_ready: Bool[Array, ""]
    health: UInt32[Array, ""]
    flow_type: takers.FlowType | None = None

    @property
    def sigma_bp(self) -> Float[Array, ""]:
        """Root mean square volatility over the modes."""
        return jnp.sqrt(jnp.sum(jnp.exp(self.log_mode) * self.mode_sigma_bp**2))

    def expected_v(self, horizon_s: Float[Array, ""]) -> Float[Array, ""]:
        """`E[V at t + T]`: the only place where drift enters a quote."""
        return self.mean[V] + self.mean[MU] * dynamics.drift_horizon_s(self.drift_rate, horizon_s)


def init(params: Params, *, config: Config) -> State:
    """No belief; the first two-sided book starts it."""
    one = jnp.ones_like(params.tail)
    n = config.modes
    eye = jnp.eye(4, dtype=one.dtype)
    mean = jnp.zeros((n, 4), one.dtype)
    modes = Gaussian(mean, jnp.stack([eye] * n))
    scored = consistency.init(params.consistency)
    unseen = _no_types(params), _no_premium(params)
    return State(modes, jnp.full((n,), -jnp.log(n), one.dtype), jnp.array(False), scored, *unseen)


def with_flow_type(params: Params, types: takers.Params | None = None) -> Params:
    """The same with types of takers: as given, or as declared, which is without effect."""
    declared = defaults(takers.Params, params.tail.dtype) if types is None else types
    return dataclasses.replace(params, flow_type=declared)


def with_private(params: Params, given: premium.Params | None = None) -> Params:
    """The same with private information: as given, or as declared, which is without effect."""
    declared = defaults(premium.Params, params.tail.dtype) if given is None else given
    return dataclasses.replace(params, private=declared)


def _no_premium(params: Params) -> premium.State | None:
    return None if params.private is None else premium.init(params.private)


def _no_types(params: Params) -> takers.State | None:
    return None if params.flow_type is None else takers.init(params.flow_type)


def update(
    params: Params,
    state: State,
    inputs: tuple[Event, Features],
    *,
    config: Config,
    filled: Float[Array, ""] | None = None,
) -> tuple[State, Belief]:
    """Fold one event and what was made of it.

    Args:
        params: of the belief.
        state: before the event.
        inputs: the event and its features.
        config: static choices.
        filled: how much of a fill the event's fills are, in `[0, 1]`, where fills are relaxed to be
            differentiated; 0 is the update without them and 1 the one with them.
    """
    event, seen = inputs
    had = state.has_started & ~event.restart
    started = had | seen.has_book
    fresh = where(had, state, _start(params, state.scored, seen, config))
    modes = Gaussian(fresh.modes.mean.at[:, V].add(event.shift_bp), fresh.modes.root)
    held = None
    if params.private is not None:
        assert fresh.private is not None
        held, modes = premium.carry(params.private, fresh.private, modes, event, seen)
    generator = _generator(params, config, _entries(seen, config))
    modes, log_mode = imm.mix(modes, fresh.log_mode, small.transition(generator, event.dt_s))
    modes, log_likelihood, nis = _observe(params, modes, event, seen, config)
    joint = log_mode + log_likelihood
    if params.private is not None:
        modes, log_print = _take_print(params, modes, event, seen)
        joint = joint + log_print
    typed, said = _typed(params, fresh, event, seen, filled)
    if config.fills:
        taken, log_fills = _take_fills(params, modes, event, seen, said)
        if filled is None:
            modes, joint = taken, joint + log_fills
        else:
            modes = jax.tree.map(lambda old, new: old + filled * (new - old), modes, taken)
            joint = joint + filled * log_fills
        modes, log_stop = _take_stop(params, modes, event, seen)
        joint = joint + log_stop
    scored = consistency.score(
        params.consistency, fresh.scored, event.dt_s, event.shift_bp, seen.is_flowing
    )
    new = State(modes, numerics.log_normalise(joint), started, scored, typed, held)
    new = dataclasses.replace(new, scored=_renewed(params, new, seen, config))
    new = where(event.is_valid & (started | event.restart), new, state)
    log_score = jax.nn.logsumexp(joint)
    nis = jnp.sum(jnp.exp(new.log_mode) * nis)
    told = _belief(params, _shifted(new, seen), event, nis, log_score, config)
    return new, dataclasses.replace(told, flow_type=said)


def informed_share(
    params: Params, mean: Float[Array, ""], var: Float[Array, ""], size: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """`E[sigmoid(logit + b log(1 + size))]` over the posterior of the logit.

    The same pi for the belief's fill update and for the surface. `size` is the quote's notional
    over the mean print: 0 leaves the logit alone. Where takers have types, the mean over their
    shares.
    """
    sd = jnp.sqrt(var)
    tilt = params.informed_size * jnp.log1p(size)
    share = lambda logit: takers.informed(params.flow_type, None, logit)
    terms = [w * share(mean + x * sd + tilt) for x, w in zip(NODES, WEIGHTS, strict=True)]
    return terms[0] + terms[1] + terms[2]


def depth_unit_bp(params: Params, seen: Features, tick_bp: Float[Array, ""]) -> Float[Array, ""]:
    """The market's scale of a depth, `half_spread + sigma sqrt(scale_s) + tick / 2`.

    The same for the belief's fill update and for the surface.
    """
    return seen.half_spread_bp + seen.sigma_bp * jnp.sqrt(params.reach.scale_s) + tick_bp / 2


def mid_ahead(
    params: Params, told: Belief, seen: Features, horizon_s: Float[Array, ""]
) -> predictive.Predictive:
    """Distribution of the change of the mid from the newest one to `horizon_s` after now."""
    ahead_s = horizon_s + told.age_s
    return predictive.mid_ahead(
        params.predictive,
        told.mode_mean,
        told.mode_var,
        told.log_mode,
        told.mode_sigma_bp,
        told.drift_rate,
        seen.mid_bp,
        seen.fair_bp,
        seen.move_rate,
        ahead_s,
        consistency.at(params.consistency, told.log_scale, ahead_s),
    )


def _renewed(params: Params, state: State, seen: Features, config: Config) -> consistency.State:
    """Forecasts that are due are made anew from this belief, their variances as it has them."""
    var, sigma = _by_mode(params, state, config)

    def ahead(horizon_s):
        return predictive.mid_ahead(
            params.predictive,
            state.modes.mean,
            var,
            state.log_mode,
            sigma,
            params.dynamics.drift_rate,
            seen.mid_bp,
            seen.fair_bp,
            seen.move_rate,
            horizon_s,
            jnp.ones_like(horizon_s),
        )

    made = jax.vmap(ahead)(params.consistency.horizons_s)
    mean, var = jax.vmap(lambda x: (x.mean, x.var))(made)
    return consistency.renew(params.consistency, state.scored, mean, var, seen.mid_bp)


def _by_mode(
    params: Params, state: State, config: Config
) -> tuple[Float[Array, "modes"], Float[Array, "modes"]]:
    """Variance of V, and the expected volatility, in each mode."""
    var = jnp.sum(state.modes.root**2, axis=2)
    scale = params.dynamics.sigma_scale[: config.modes]
    return var[:, V], scale * jnp.exp(state.modes.mean[:, LOG_SIGMA] + var[:, LOG_SIGMA] / 2)


def _start(params: Params, scored: consistency.State, seen: Features, config: Config) -> State:
    """A first belief from the first book: V at the fair value, scale from the features."""
    one = jnp.ones_like(params.tail)
    mean = jnp.stack(
        [seen.fair_bp, 0 * one, numerics.safe_log(seen.sigma_bp), params.dynamics.informed_mean]
    )
    sd = jnp.stack(
        [
            params.prior_v_half_spreads * seen.half_spread_bp + jnp.finfo(one.dtype).eps,
            params.dynamics.drift_vol[0] * seen.sigma_bp + jnp.finfo(one.dtype).eps,
            params.prior_log_sigma_sd,
            params.prior_informed_sd,
        ]
    )
    n = config.modes
    modes = Gaussian(jnp.stack([mean] * n), jnp.stack([jnp.diag(sd)] * n))
    unseen = _no_types(params), _no_premium(params)
    return State(modes, jnp.full((n,), -jnp.log(n), one.dtype), jnp.array(True), scored, *unseen)


def _entries(seen: Features, config: Config) -> Float[Array, " modes"] | None:
    """Logs of the factors on the rates into each mode; the last of them is the crisis."""
    last = config.modes - 1
    tilts = []
    if seen.crisis_tilt is not None:
        tilts += [jnp.zeros_like(seen.fair_bp, shape=(last + 1,)).at[last].set(seen.crisis_tilt)]
    if seen.mode_tilt is not None:
        tilts += [jnp.concatenate([seen.mode_tilt[:last], seen.mode_tilt[-1:]])]
    return sum(tilts[1:], tilts[0]) if tilts else None


def _generator(
    params: Params, config: Config, entries: Float[Array, " modes"] | None
) -> Float[Array, "modes modes"]:
    """A mode is left at its rate, for any other mode alike; tilts scale the entries."""
    n = config.modes
    rate = params.exit_rate[:n]
    eye = jnp.eye(n, dtype=rate.dtype)
    if entries is None:
        return rate[:, None] * ((1 - eye) / (n - 1) - eye)
    leave = rate[:, None] * (1 - eye) / (n - 1) * jnp.exp(entries)[None, :]
    return leave - eye * jnp.sum(leave, axis=1)[:, None]


def _observe(
    params: Params, modes: Gaussian, event: Event, seen: Features, config: Config
) -> tuple[Gaussian, Float[Array, "modes"], Float[Array, "modes"]]:
    move = params.dynamics
    private = params.private
    of_v, of_drift = (1.0, 1.0) if private is None else (private.volatility, 1 - private.follow)

    def mode(g, drift_vol, sigma_scale, log_sigma_vol):
        level = seen.z[LEVEL]
        g = dynamics.predict(
            move, g, event.dt_s, drift_vol, sigma_scale, log_sigma_vol, level, of_v, of_drift
        )
        total, first = jnp.zeros_like(params.tail), jnp.zeros_like(params.tail)
        for k, (_, target) in enumerate((OBSERVATIONS + PARTICIPANTS)[: seen.z.shape[0]]):
            g, log_likelihood, nis = measure(
                g, int(target), seen.z[k], seen.precision[k], params.tail
            )
            total = total + log_likelihood
            first = nis if k == 0 else first
        return g, total, first

    n = config.modes
    return jax.vmap(mode)(modes, move.drift_vol[:n], move.sigma_scale[:n], move.log_sigma_vol[:n])


def _typed(
    params: Params, state: State, event: Event, seen: Features, filled: Float[Array, ""] | None
) -> tuple[takers.State | None, takers.FlowType | None]:
    """Types of whoever filled us at this row; `None` where there are none."""
    if params.flow_type is None:
        return None, None
    assert state.flow_type is not None
    unit, trade, _ = _scales(params, event, seen)
    given = (event, seen, unit, trade)
    return takers.update(params.flow_type, state.flow_type, given, filled=filled)


def _take_fills(
    params: Params,
    modes: Gaussian,
    event: Event,
    seen: Features,
    typed: takers.FlowType | None,
) -> tuple[Gaussian, Float[Array, "modes"]]:
    unit, trade, noise = _scales(params, event, seen)

    def side(modes, which):
        price, usd = event.fill.price_bp[which], event.fill.usd[which]
        sign = jnp.asarray(SIDE_SIGN, price.dtype)[which]
        log_type = None if typed is None else typed.log_type[which]

        def mode(g):
            depth = sign * (price - g.mean[V])
            log_u = reach.log_reach(params.reach, depth, event.fill.depth_usd[which], unit, trade)
            fill = lambda pi: glosten_milgrom.posterior(
                g.mean[V], g.var(V), price, sign, pi, jnp.exp(log_u) / 2, noise
            )
            return _take(params, g, fill, usd / trade, usd > 0, seen.informed_shift, log_type)

        return jax.vmap(mode)(modes)

    # Two fills in one row have no known order: the one nearer to fair value first, so that bid and
    # ask are exchanged exactly in a mirrored market.
    depth = jnp.asarray(SIDE_SIGN, unit.dtype) * (event.fill.price_bp - seen.fair_bp)
    first = jnp.where(depth[ASK] < depth[BID], ASK, BID)
    modes, log_first = side(modes, first)
    modes, log_second = side(modes, BID + ASK - first)
    return modes, log_first + log_second


def _scales(
    params: Params, event: Event, seen: Features
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Unit of a depth, mean print, and noise of an informed taker's signal; all above zero."""
    unit = depth_unit_bp(params, seen, event.rules.tick_bp)
    unit = jnp.where(unit > 0, unit, 1.0)
    trade = jnp.where(seen.trade_usd > 0, seen.trade_usd, 1.0)
    return unit, trade, params.signal_noise * unit


def _short(
    event: Event,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""], Bool[Array, ""]]:
    """The row's taker: his sign, how far out our nearest order to him rests and the queue in front
    of it (infinity and 0 without one), and whether there is a print and it stopped short of that.
    """
    which = jnp.where(event.trade.sign > 0, ASK, BID)
    sign = jnp.sign(event.trade.sign)
    mine = jax.tree.map(lambda x: x[which], event.orders)
    away = jnp.where(mine.is_resting, sign * mine.price_bp, jnp.inf)
    nearest = jnp.min(away)
    ahead = jnp.sum(jnp.where(mine.is_resting & (away == nearest), mine.ahead_usd, 0.0))
    return sign, nearest, ahead, (event.trade.usd > 0) & (sign * event.trade.price_bp < nearest)


def _take_stop(
    params: Params, modes: Gaussian, event: Event, seen: Features
) -> tuple[Gaussian, Float[Array, "modes"]]:
    """A print that stopped short of our nearest order on its side: the fill that did not come."""
    unit, trade, noise = _scales(params, event, seen)
    sign, nearest, ahead, is_short = _short(event)
    stopped = is_short & jnp.isfinite(nearest)
    price = jnp.where(stopped, sign * nearest, seen.fair_bp)

    def mode(g):
        depth = sign * (price - g.mean[V])
        log_u = reach.log_reach(params.reach, depth, ahead, unit, trade)
        log_g = reach.log_reach(params.reach, jnp.zeros_like(depth), ahead, unit, trade)
        none = lambda pi: glosten_milgrom.passed(
            g.mean[V], g.var(V), price, sign, pi, jnp.exp(log_u) / 2, jnp.exp(log_g), noise
        )
        return _take(params, g, none, event.trade.usd / trade, stopped, seen.informed_shift, None)

    return jax.vmap(mode)(modes)


def _take_print(
    params: Params, modes: Gaussian, event: Event, seen: Features
) -> tuple[Gaussian, Float[Array, "modes"]]:
    """A public taker who did not come as far as we stand: what his price says about V."""
    assert params.private is not None
    share = params.private.prints
    unit, trade, noise = _scales(params, event, seen)
    sign, _, _, is_short = _short(event)
    # One message holds a print for each order that a taker met; the first stands for him.
    happened = is_short & (event.dt_s > 0)
    price = jnp.where(happened, event.trade.price_bp, seen.fair_bp)

    def mode(g):
        depth = sign * (price - g.mean[V])
        log_u = reach.log_reach(params.reach, depth, jnp.zeros_like(depth), unit, trade)
        said = lambda pi: glosten_milgrom.posterior(
            g.mean[V], g.var(V), price, sign, pi * share, jnp.exp(log_u) / 2, noise
        )
        size = event.trade.usd / trade
        return _take(params, g, said, size, happened, seen.informed_shift, None)

    return jax.vmap(mode)(modes)


def _take(
    params: Params,
    g: Gaussian,
    given: Callable[[Float[Array, ""]], glosten_milgrom.FillPosterior],
    size: Float[Array, ""],
    happened: Bool[Array, ""],
    shift: Float[Array, ""] | None,
    log_type: Float[Array, " types"] | None,
) -> tuple[Gaussian, Float[Array, ""]]:
    """One mode after what a taker of `size` mean prints did, and the log likelihood of that."""
    tilt = params.informed_size * jnp.log1p(size)
    tilt = tilt if shift is None else tilt + shift
    sd = jnp.sqrt(g.var(INFORMED))
    logits = [g.mean[INFORMED] + x * sd for x in NODES]
    shares = [takers.informed(params.flow_type, log_type, x + tilt) for x in logits]
    logs = [jnp.log(w * given(pi).likelihood) for w, pi in zip(WEIGHTS, shares, strict=True)]
    log_total = jax.nn.logsumexp(jnp.stack(logs))
    weights = [jnp.exp(x - log_total) for x in logs]
    # The likelihood is linear in pi, so V's moments need its mean only.
    v = given(sum(w * pi for w, pi in zip(WEIGHTS, shares, strict=True)))
    mean = sum(w * x for w, x in zip(weights, logits, strict=True))
    var = sum(w * (x - mean) ** 2 for w, x in zip(weights, logits, strict=True))
    new = condition(g, V, v.mean_bp, v.var_bp2)
    new = condition(new, INFORMED, mean, var)
    return where(happened, new, g), jnp.where(happened, log_total, 0.0)


def _shifted(state: State, seen: Features) -> State:
    """What the belief tells: outside news that is not yet taken in stands on the informed logit.

    The filtered state is without it, so nothing of it is left when the news is taken in.
    """
    if seen.informed_shift is None:
        return state
    mean = state.modes.mean.at[:, INFORMED].add(seen.informed_shift)
    return dataclasses.replace(state, modes=Gaussian(mean, state.modes.root))


def _belief(
    params: Params,
    state: State,
    event: Event,
    nis: Float[Array, ""],
    log_score: Float[Array, ""],
    config: Config,
) -> Belief:
    mean, cov = imm.moments(state.modes, state.log_mode)
    var, sigma = _by_mode(params, state, config)
    healthy = all_finite((mean, cov, state.log_mode))
    return Belief(
        mean=mean,
        cov=cov,
        log_mode=state.log_mode,
        mode_mean=state.modes.mean,
        mode_var=var,
        mode_sigma_bp=sigma,
        age_s=event.age_s,
        drift_rate=params.dynamics.drift_rate,
        log_scale=consistency.log_scale(params.consistency, state.scored),
        informed=informed_share(
            params, mean[INFORMED], cov[INFORMED, INFORMED], jnp.zeros_like(log_score)
        ),
        nis=nis,
        log_score=log_score,
        is_ready=state.has_started,
        health=flag(~healthy, Health.NONFINITE_BELIEF),
    )


def build(config: Config) -> Stage[Params, State, tuple[Event, Features], Belief]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
