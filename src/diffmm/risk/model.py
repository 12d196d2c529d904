"""One quadratic in one place: the cost of inventory in USD, its carry, and the Kelly ceiling.

    gamma_0 = 1 / (c W),   gamma(q) = gamma_0 (1 + beta (q / q_max)^2)
    C(q) = 1e-8 [1/2 gamma(q) q + gamma_0 x] sigma^2 T q     USD, sigma in bp per sqrt(s)

Quotes feel the marginal cost `C'(q) = 1e-8 gamma_0 sigma^2 T [q (1 + 2 beta (q / q_max)^2) + x]`.
x is what the positions in other instruments amount to here (`portfolio.cross_usd`): it is zero for
an instrument that is run alone, bends nothing, and takes from the Kelly ceiling like a position.
Source: log wealth to second order; convex gamma(q), ours.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.belief import Belief
from diffmm.core import param, POSITIVE, Stage, UNIT
from diffmm.features import Features
from diffmm.market import Event

from . import kelly


BP = 1e4
"""Basis points in one."""
HOUR_S = 3600
"""Seconds of the funding interval."""


@dataclasses.dataclass(frozen=True)
class Config:
    """No static choice."""

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls()


class Params(eqx.Module):
    kelly_fraction: Float[Array, ""] = param(UNIT, 0.25)
    convexity: Float[Array, ""] = param(POSITIVE, 3.0)
    holding_s: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")


class State(eqx.Module):
    """Nothing is remembered."""


class RiskBudget(eqx.Module):
    """What the next stages need to price and to bound inventory.

    **Attributes:**

    - `position_usd`: q.
    - `gamma0`: absolute risk aversion at q = 0, 1/USD.
    - `convexity`: beta.
    - `room_usd`: q_max.
    - `variance_bp2`: sigma^2 T over the holding horizon.
    - `holding_s`: T.
    - `carry_bp`: what a long position pays over T; negative is received.
    - `kelly_usd`: S*, ceiling of |q + x| after any fills.
    - `cross_usd`: x, the positions in other instruments.
    """

    position_usd: Float[Array, ""]
    gamma0: Float[Array, ""]
    convexity: Float[Array, ""]
    room_usd: Float[Array, ""]
    variance_bp2: Float[Array, ""]
    holding_s: Float[Array, ""]
    carry_bp: Float[Array, ""]
    kelly_usd: Float[Array, ""]
    cross_usd: Float[Array, ""]

    @property
    def exposure_usd(self) -> Float[Array, "*s"]:
        """`q + x`, which the Kelly ceiling bounds."""
        return self.position_usd + self.cross_usd


def cost_usd(risk: RiskBudget, q: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`C(q)` in USD, but for the linear part `c q`, which `cross_bp` is the slope of."""
    used = (q / risk.room_usd) ** 2
    return risk.gamma0 * (1 + risk.convexity * used) * risk.variance_bp2 * (q / BP) ** 2 / 2


def cross_bp(risk: RiskBudget) -> Float[Array, "*s"]:
    """`c` in bp: what a dollar more costs beside the positions in other instruments."""
    return risk.gamma0 * risk.variance_bp2 * risk.cross_usd / BP


def marginal_cost(risk: RiskBudget, q: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`C'(q)`, USD per USD."""
    used = (q / risk.room_usd) ** 2
    return risk.gamma0 * (1 + 2 * risk.convexity * used) * risk.variance_bp2 * q / BP**2


def init(params: Params, *, config: Config) -> State:
    """Nothing is remembered."""
    del params, config
    return State()


def update(
    params: Params, state: State, inputs: tuple[Event, Features, Belief], *, config: Config
) -> tuple[State, RiskBudget]:
    """Risk at this wake."""
    del config
    event, seen, belief = inputs
    account = event.account
    variance = belief.sigma_bp**2 * params.holding_s
    rate = jnp.where(event.context.is_valid, event.context.funding_rate_1h, 0.0)
    # The most that a maker can earn on a unit of inventory here is the half spread.
    edge = jnp.reshape(seen.half_spread_bp + event.rules.tick_bp / 2, (1,)) / BP
    bet = kelly.fractions(edge, jnp.reshape(variance, (1, 1)) / BP**2)[0]
    return state, RiskBudget(
        position_usd=account.position_usd,
        gamma0=1 / (params.kelly_fraction * account.wealth_usd),
        convexity=params.convexity,
        room_usd=account.room_usd,
        variance_bp2=variance,
        holding_s=params.holding_s,
        carry_bp=BP * rate * params.holding_s / HOUR_S,
        kelly_usd=params.kelly_fraction * account.wealth_usd * bet,
        cross_usd=account.cross_usd,
    )


def build(config: Config) -> Stage[Params, State, tuple[Event, Features, Belief], RiskBudget]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
