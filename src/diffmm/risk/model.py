"""One quadratic in one place: the cost of inventory in USD, its carry, and the Kelly ceiling.

    gamma_0 = 1 / (c W),   gamma(q) = gamma_0 (1 + beta (q / q_max)^2)
    C(q) = 1e-8 [1/2 gamma(q) q + gamma_0 x] sigma^2 T q     USD, sigma in bp per sqrt(s)

Quotes feel the marginal cost `C'(q) = 1e-8 gamma_0 sigma^2 T [q (1 + 2 beta (q / q_max)^2) + x]`.
x is what the positions in other instruments amount to here (`portfolio.cross_usd`): it is zero for
an instrument that is run alone, bends nothing, and takes from the Kelly ceiling like a position.

Where there is a table of the unwind policy, the reducing side feels what it says beyond that too.

The target inventory q* is where the same quadratic is best, `1e4 C'(q*) = E[V(t + T)] - V - carry`.
It is read off and reported: quotes feel the drift in their edge, the carry as a term and C about 0,
so that C about q* would charge both twice.

The Kelly ceiling is that of two fills of the ladder, whichever sides or levels, whose PnL is
correlated by

    rho = crisis + (1 - crisis) calm_correlation,   then   rho - beyond (1 + rho)

with the crisis' probability, in which all fills are one bet, raised by `proximity_share` of the
proximity of liquidations, and `beyond` the `recovery_share` of a cascade's exhaustion, when the
quotes behind it earn what those before it lose. As shipped both shares are 0 and all fills are one
bet: no recording has told otherwise. The mean edge is known from `edge_samples` horizons only,
which shrinks the ceiling. Correlation and shrink enter here and nowhere else.
Source: log wealth to second order; convex gamma(q), mixture of correlations, ours (tests/risk).
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.belief import Belief, V
from diffmm.core import param, POSITIVE, SHARE, Stage, UNIT
from diffmm.features import Features
from diffmm.market import Event

from . import funding as payments, kelly, unwind as unwinding


BP = 1e4
"""Basis points in one."""


@dataclasses.dataclass(frozen=True)
class Config:
    """No static choice."""

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls()


class Params(eqx.Module):
    """Risk aversion and horizon, funding, and how fills go together.

    **Attributes:**

    - `funding`: what a rate tells of the next.
    - `kelly_fraction`: c.
    - `convexity`: beta.
    - `holding_s`: T.
    - `calm_correlation`, `proximity_share`, `recovery_share`, `edge_samples`: of the ceiling.
    - `unwind`: tables of the unwind policy, `None` to leave it out of the program.
    """

    funding: payments.Params
    kelly_fraction: Float[Array, ""] = param(UNIT, 0.25)
    convexity: Float[Array, ""] = param(POSITIVE, 3.0)
    holding_s: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")
    calm_correlation: Float[Array, ""] = param(SHARE, 1.0)
    proximity_share: Float[Array, ""] = param(SHARE, 0.0)
    recovery_share: Float[Array, ""] = param(SHARE, 0.0)
    edge_samples: Float[Array, ""] = param(POSITIVE, 10_000.0)
    unwind: unwinding.Params | None = None


class State(eqx.Module):
    """What is remembered of the funding rate."""

    funding: payments.State


class RiskBudget(eqx.Module):
    """What the next stages need to price and to bound inventory.

    **Attributes:**

    - `position_usd`: q.
    - `gamma0`: absolute risk aversion at q = 0, 1/USD.
    - `convexity`: beta.
    - `room_usd`: q_max.
    - `variance_bp2`: sigma^2 T over the holding horizon.
    - `holding_s`: T.
    - `carry_bp`: what a long position is expected to pay over T; negative is received.
    - `kelly_usd`: S*, ceiling of |q + x| after any fills.
    - `target_usd`: the inventory at which drift, carry and C' balance, within room and ceiling.
    - `flow_log`: change of the logarithm of the rate of sellers around a settlement, minus it of
      buyers.
    - `cross_usd`: x, the positions in other instruments.
    - `unwind`: what the unwind policy says.
    """

    position_usd: Float[Array, ""]
    gamma0: Float[Array, ""]
    convexity: Float[Array, ""]
    room_usd: Float[Array, ""]
    variance_bp2: Float[Array, ""]
    holding_s: Float[Array, ""]
    carry_bp: Float[Array, ""]
    kelly_usd: Float[Array, ""]
    target_usd: Float[Array, ""]
    flow_log: Float[Array, ""]
    cross_usd: Float[Array, ""]
    unwind: unwinding.Unwind | None = None

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


def target(
    net_bp: Float[Array, "*s"],
    gamma0: Float[Array, ""],
    convexity: Float[Array, ""],
    room_usd: Float[Array, ""],
    variance_bp2: Float[Array, ""],
) -> Float[Array, "*s"]:
    """Inventory in the room at which the marginal cost is `net_bp`, what holding earns.

    The cubic `y + 2 beta y^3 = x` of `y = q / q_max` has one root, by hyperbolic sines.
    """
    most = 1 + 2 * convexity
    scale = gamma0 * variance_bp2 * room_usd / BP
    is_risky = scale > 0
    bounded = jnp.clip(net_bp / jnp.where(is_risky, scale, 1.0), -most, most)
    x = jnp.where(is_risky, bounded, most * jnp.sign(net_bp))
    bend = jnp.sqrt(6 * convexity)
    return room_usd * 2 / bend * jnp.sinh(jnp.arcsinh(1.5 * bend * x) / 3)


def correlation(params: Params, seen: Features, belief: Belief) -> Float[Array, ""]:
    """Correlation, rho, of two fills of the ladder; the last mode is the crisis."""
    crisis = jnp.exp(belief.log_mode[-1])
    if seen.frontier is None:
        return crisis + (1 - crisis) * params.calm_correlation
    either = lambda x: 1 - (1 - x[0]) * (1 - x[1])
    crisis = crisis + (1 - crisis) * params.proximity_share * either(seen.frontier.proximity)
    rho = crisis + (1 - crisis) * params.calm_correlation
    return rho - params.recovery_share * either(seen.frontier.exhaustion) * (1 + rho)


def with_unwind(params: Params, tables: unwinding.Params) -> Params:
    """The same with an unwind policy, in place of the one that there was."""
    return dataclasses.replace(params, unwind=tables)


def reducing(
    risk: RiskBudget, sign: Float[Array, "*s"]
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]] | None:
    """What being rid of N saves beyond `C`: `saving N - slope N^2 / 2` on the side that reduces.

    Args:
        risk: with or without an unwind policy.
        sign: +1 for our ask.

    Returns:
        `saving` in USD per USD and `slope` in 1/USD by side, zero where a side adds; `None` without
        a policy.
    """
    if risk.unwind is None:
        return None
    on = (sign * risk.position_usd > 0).astype(risk.position_usd.dtype)
    return on * risk.unwind.saving, on * risk.unwind.slope


def init(params: Params, *, config: Config) -> State:
    """Nothing was told."""
    del config
    return State(payments.init(params.funding))


def update(
    params: Params, state: State, inputs: tuple[Event, Features, Belief], *, config: Config
) -> tuple[State, RiskBudget]:
    """Risk at this wake."""
    del config
    event, seen, belief = inputs
    account = event.account
    variance = belief.sigma_bp**2 * params.holding_s
    gamma0 = 1 / (params.kelly_fraction * account.wealth_usd)
    left_s = event.context.settlement_s
    told, rate = payments.update(params.funding, state.funding, event.context)
    carry = payments.carry_bp(params.funding, rate, left_s, params.holding_s)
    # The most that a maker can earn on a unit of inventory here is the half spread.
    edge = jnp.reshape(seen.half_spread_bp + event.rules.tick_bp / 2, (1,)) / BP
    bet = kelly.fractions(edge, jnp.reshape(variance, (1, 1)) / BP**2)[0]
    bets = kelly.bets(correlation(params, seen, belief))
    shrunk = kelly.shrink(bets * edge[0] * bet, jnp.ones_like(bet), params.edge_samples)
    ceiling = params.kelly_fraction * account.wealth_usd * bets * bet * shrunk
    earned = belief.expected_v(params.holding_s) - belief.mean[V] - carry
    best = target(earned, gamma0, params.convexity, account.room_usd, variance)
    budget = RiskBudget(
        position_usd=account.position_usd,
        gamma0=gamma0,
        convexity=params.convexity,
        room_usd=account.room_usd,
        variance_bp2=variance,
        holding_s=params.holding_s,
        carry_bp=carry,
        kelly_usd=ceiling,
        target_usd=jnp.clip(best, -ceiling, ceiling),
        flow_log=payments.flow_log(params.funding, rate, left_s, belief.sigma_bp),
        cross_usd=account.cross_usd,
    )
    if params.unwind is None:
        return State(told), budget
    charged = unwinding.Charged(
        marginal=marginal_cost(budget, budget.position_usd),
        carry=budget.carry_bp / BP,
        fall=(belief.mean[V] - belief.expected_v(budget.holding_s)) / BP,
    )
    said = unwinding.read(
        params.unwind,
        budget.position_usd,
        budget.room_usd,
        belief.log_mode,
        rate,
        event.context.settlement_s,
        charged,
    )
    return State(told), dataclasses.replace(budget, unwind=said)


def build(config: Config) -> Stage[Params, State, tuple[Event, Features, Belief], RiskBudget]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
