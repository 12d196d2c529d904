"""The whole engine on one page: `observe` and `decide`, top to bottom, are the data flow."""

import dataclasses
import functools as ft

import equinox as eqx
from jaxtyping import Array, UInt32

from diffmm import allocation, belief, execution, features, pricing, risk
from diffmm.core import all_finite, flag, Health, Stage
from diffmm.market import Event

from .run import Engine


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices of every stage."""

    features: features.Config
    belief: belief.Config
    risk: risk.Config
    pricing: pricing.Config
    allocation: allocation.Config
    execution: execution.Config

    @classmethod
    def default(cls) -> "Config":
        """The sizes of the product."""
        return cls(
            features.Config(),
            belief.Config(),
            risk.Config(),
            pricing.Config(),
            allocation.Config(),
            execution.Config(),
        )

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(
            features.Config.small(),
            belief.Config.small(),
            risk.Config.small(),
            pricing.Config.small(),
            allocation.Config.small(),
            execution.Config.small(),
        )


class Params(eqx.Module):
    """Every number that shapes a quote."""

    features: features.Params
    belief: belief.Params
    risk: risk.Params
    pricing: pricing.Params
    allocation: allocation.Params
    execution: execution.Params


class Observing(eqx.Module):
    """State folded on every event."""

    features: features.State
    belief: belief.State


class Deciding(eqx.Module):
    """State folded on wakes."""

    risk: risk.State
    pricing: pricing.State
    allocation: allocation.State
    execution: execution.State


class Seen(eqx.Module):
    """What `observe` hands to `decide`."""

    features: features.Features
    belief: belief.Belief
    health: UInt32[Array, ""]


class Quotes(eqx.Module):
    """What a decision was made of, whole: the report reads it, nothing computes it again."""

    risk: risk.RiskBudget
    surface: pricing.Surface
    allocation: allocation.Allocation
    targets: execution.Targets
    health: UInt32[Array, ""]


def observe(
    params: Params, state: Observing, event: Event, *, config: Config
) -> tuple[Observing, Seen]:
    """Fold one event into what is believed."""
    s, seen = features.update(params.features, state.features, event, config=config.features)
    b, believed = belief.update(params.belief, state.belief, (event, seen), config=config.belief)
    health = believed.health | flag(~all_finite(seen), Health.NONFINITE_FEATURES)
    health = health | flag(~seen.has_book, Health.NO_BOOK)
    return Observing(s, b), Seen(seen, believed, health)


def decide(
    params: Params, state: Deciding, inputs: tuple[Seen, Event], *, config: Config
) -> tuple[Deciding, Quotes]:
    """Evaluate the quotes at a wake."""
    seen, event = inputs
    f, b = seen.features, seen.belief
    r_state, budget = risk.update(params.risk, state.risk, (event, f, b), config=config.risk)
    p_state, surface = pricing.update(
        params.pricing, state.pricing, (event, f, b, budget, params.belief), config=config.pricing
    )
    a_state, sizes = allocation.update(
        params.allocation, state.allocation, (event, budget, surface), config=config.allocation
    )
    x_state, targets = execution.update(
        params.execution, state.execution, (event, budget, surface, sizes), config=config.execution
    )
    health = seen.health | targets.health
    out = Quotes(budget, surface, sizes, targets, health)
    return Deciding(r_state, p_state, a_state, x_state), out


def init_observing(params: Params, *, config: Config) -> Observing:
    """Nothing seen, nothing believed."""
    return Observing(
        features.init(params.features, config=config.features),
        belief.init(params.belief, config=config.belief),
    )


def init_deciding(params: Params, *, config: Config) -> Deciding:
    """No decision yet."""
    return Deciding(
        risk.init(params.risk, config=config.risk),
        pricing.init(params.pricing, config=config.pricing),
        allocation.init(params.allocation, config=config.allocation),
        execution.init(params.execution, config=config.execution),
    )


def build(config: Config) -> Engine:
    """Bind the static choices."""
    return Engine(
        Stage(ft.partial(init_observing, config=config), ft.partial(observe, config=config)),
        Stage(ft.partial(init_deciding, config=config), ft.partial(decide, config=config)),
    )
