"""IMM of square-root cubature filters over `[V, mu, log sigma, informed_logit]`, and our own fills.

One event: re-anchor, mix the modes, predict over `dt`, take each observation in turn, take our own
fills as Glosten-Milgrom evidence, weigh the modes by what they predicted.
"""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import all_finite, defaults, flag, Health, numerics, small, Stage, where
from diffmm.features import Features, OBSERVATIONS, PARTICIPANTS
from diffmm.market import Event

from . import (
    consistency,
    dynamics,
    evidence,
    flow_type as takers,
    imm,
    predictive,
    private as premium,
)
from .dynamics import INFORMED, LOG_SIGMA, V
from .gaussian import Gaussian, measure
from .interface import Belief, Config, Params, State


LEVEL = [name for name, _ in OBSERVATIONS].index("variance")
"""The observation whose value is the level that log sigma reverts to."""


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
        modes, log_print = evidence.take_print(params, modes, event, seen)
        joint = joint + log_print
    typed, said = evidence.typed_fills(params, fresh, event, seen, filled)
    if config.fills:
        taken, log_fills = evidence.take_fills(params, modes, event, seen, said)
        if filled is None:
            modes, joint = taken, joint + log_fills
        else:
            modes = jax.tree.map(lambda old, new: old + filled * (new - old), modes, taken)
            joint = joint + filled * log_fills
        modes, log_stop = evidence.take_stop(params, modes, event, seen)
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
        informed=evidence.informed_share(
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
