"""Specialisations of the Sensor: each is off until it has parameters, and adds to what is said."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import defaults
from diffmm.market import Event

from . import (
    folds,
    frontier as liquidations,
    participants as quoters,
    propagation as news,
    trend as drifts,
)
from .interface import Config, Features, OBSERVATIONS, Params, State, Target
from .touch import Touch


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


def init_part(part: Any, name: str, params: Params, config: Config) -> Any:
    """State of a specialisation that has seen nothing; `None` where it is off.

    Raises:
        ValueError: when it is on in only one of config and parameters.
    """
    given, chosen = getattr(params, name), getattr(config, name)
    if (chosen is None) != (given is None):
        found = "config without parameters" if given is None else "the reverse"
        raise ValueError(f"{name}: found {found}, expected both; see `with_{name}`")
    return None if chosen is None else part.init(given, config=chosen)


def mapped(
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


def propagated(
    params: Params, state: State, event: Event, seen: Features, config: Config
) -> tuple[State, Features]:
    """Local prices are trusted less while outside news is not yet in them."""
    given, before, chosen = params.propagation, state.propagation, config.propagation
    assert given is not None
    assert before is not None
    assert chosen is not None
    after, said = news.update(given, before, event, config=chosen)
    tick = event.rules.tick_bp
    variance = folds.variance(params, state, seen.half_spread_bp, tick)
    noise = folds.price_noise(params, seen.half_spread_bp, tick, variance)
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


def watched(
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


def drifting(
    params: Params, before: State, state: State, event: Event, at: Touch
) -> tuple[State, tuple[Float[Array, ""], Float[Array, ""]]]:
    """What says that the price drifts; `state` has taken in the rest of the row."""
    assert params.trend is not None
    assert before.trend is not None
    variance = folds.variance(params, state, state.touch.half_spread_bp, event.rules.tick_bp)
    new, told = drifts.update(
        params.trend,
        before.trend,
        event,
        at,
        folds.arrived(before, event)[1],
        state.is_flowing & (event.dt_s < params.freeze_s),
        state.depth_ratio,
        variance,
        params.sample_s,
    )
    return dataclasses.replace(state, trend=new), told


def with_drift(seen: Features, z: Float[Array, ""], precision: Float[Array, ""]) -> Features:
    """The observation of mu with one more in it, each by its precision."""
    row = [target for _, target in OBSERVATIONS].index(Target.MU)
    old, precision = seen.precision[row], jnp.where(seen.has_book, precision, 0.0)
    total = old + precision
    mean = (old * seen.z[row] + precision * z) / jnp.where(total > 0, total, 1.0)
    return dataclasses.replace(
        seen, z=seen.z.at[row].set(mean), precision=seen.precision.at[row].set(total)
    )
