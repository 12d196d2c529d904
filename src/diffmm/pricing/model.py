"""The E[PnL](side, price, size) surface: every cost once, in bp, added.

For a quote at x on side s (+1 ask), n USD, quote life tau, holding horizon T:

    E[PnL] = P_u n [s (x - E[V at t + T]) - gm - exit - inv - carry - fee - offset]
             - n opt - P_o n [exit0 + carry + fee]

`P_u` probability of a fill by flow that does not snipe us, `gm` what the fill says about V today,
`opt` what public moves take before our cancel lands, `P_o` the probability that they do (a unit so
filled pays its fee, carry and unwinding like any other), `exit` our own liquidity and unwinding. No
term is scaled by another. Of the takers who come, the share `takers_met` meets the book that we saw
when we decided: the market moves on before most of them come, and it moves through quotes in jumps
of its own, which count from when the order stands. It may pass one: inside the spread a quote meets
takers who would have left without a print. The queue in front erodes by cancels while the order
flies and stands. The option counts the moves since the market was last seen, over the time in which
the order stands. Left out: that a quote is filled only once, at most `P_u P_o`, and that flow
reaches it sooner when V moved towards it within its life, `sigma^2 tau k / (2 unit)` bp. Takers
lean around a settlement where the Governor says so; the belief's evidence is without that.
Source: ours; Copeland & Galai (1983) for the option.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, UInt32

from diffmm import belief as beliefs, risk as risks
from diffmm.belief import Belief
from diffmm.core import all_finite, flag, Health, param, POSITIVE, REAL, SHARE, small, Stage
from diffmm.features import Features, hawkes
from diffmm.market import Event, SIDE_SIGN
from diffmm.risk import RiskBudget

from . import option
from .candidates import Candidates, candidates, Config as CandidatesConfig


BP = 1e4
TERMS = ("gm", "option", "exit", "inventory", "carry", "fee", "offset")
"""The costs of the bracket, by the names under which they are reported."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `candidates`: how many prices of each kind.
    """

    candidates: CandidatesConfig = dataclasses.field(default_factory=CandidatesConfig)

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(CandidatesConfig(inside=2, near=3, deep=3))


class Params(eqx.Module):
    cancel_latency_s: Float[Array, ""] = param(POSITIVE, 0.35, unit="s")
    wake_interval_s: Float[Array, ""] = param(POSITIVE, 0.25, unit="s")
    order_latency_s: Float[Array, ""] = param(POSITIVE, 0.35, unit="s")
    reach: Float[Array, ""] = param(POSITIVE, 8.0)
    takers_met: Float[Array, ""] = param(POSITIVE, 0.9)
    queue_erosion: Float[Array, ""] = param(POSITIVE, 0.1, unit="1/s")
    sniping: Float[Array, ""] = param(SHARE, 0.7)
    jump_rate: Float[Array, ""] = param(POSITIVE, 0.005, unit="1/s")
    jump_sigmas: Float[Array, ""] = param(POSITIVE, 3.0, unit="s^0.5")
    taking: Float[Array, ""] = param(SHARE, 0.2)
    impact: Float[Array, ""] = param(SHARE, 0.5)
    impact_power: Float[Array, ""] = param(POSITIVE, 0.6)
    depth_s: Float[Array, ""] = param(POSITIVE, 1.0, unit="s")
    offset_bp: Float[Array, ""] = param(REAL, 0.0, unit="bp")
    reference_prints: Float[Array, ""] = param(POSITIVE, 1.0)


class State(eqx.Module):
    """Nothing is remembered."""


class Surface(eqx.Module):
    """Terms of every candidate, then of every order of ours, `columns = M + S`; costs in bp.

    **Attributes:**

    - `ticks`, `price_bp`, `is_valid`: the quote.
    - `ahead_usd`: notional in front of it.
    - `fill`, `log_fill`: P_u and its logarithm.
    - `sniped`: P_o, the chance that a diffusing V has passed the quote and finds it (kappa) or that
      a jump has.
    - `edge_bp`: `s (x - E[V at t + T])`.
    - `gm_bp`, `option_bp`, `exit_bp`, `carry_bp`, `fee_bp`, `offset_bp`: costs a unit; `option_bp`
      stands outside the fill probability.
    - `inventory_bp`, `impact_bp`: at the reference size `size_usd`, for the report; the programme
      has its own.
    - `net_bp`: `e_i`, the edge a filled unit keeps, without inventory and impact.
    - `depth_usd`, `impact_scale_bp`, `impact_power`: `exit` grows by `scale (n / D)^power`.
    - `gamma_bp`: Gamma exposure per USD, `1/2 Gamma sigma^2 tau`.
    - `epnl_usd`: E[PnL] of the reference size.
    - `tau_s`: quote life.
    - `has_book`: whether anything here means something.
    - `health`: flags.
    """

    ticks: Int32[Array, "side columns"]
    price_bp: Float[Array, "side columns"]
    is_valid: Bool[Array, "side columns"]
    ahead_usd: Float[Array, "side columns"]
    fill: Float[Array, "side columns"]
    log_fill: Float[Array, "side columns"]
    sniped: Float[Array, "side columns"]
    edge_bp: Float[Array, "side columns"]
    gm_bp: Float[Array, "side columns"]
    option_bp: Float[Array, "side columns"]
    exit_bp: Float[Array, ""]
    carry_bp: Float[Array, "side columns"]
    fee_bp: Float[Array, ""]
    offset_bp: Float[Array, ""]
    inventory_bp: Float[Array, "side columns"]
    impact_bp: Float[Array, "side columns"]
    net_bp: Float[Array, "side columns"]
    depth_usd: Float[Array, "side columns"]
    impact_scale_bp: Float[Array, ""]
    impact_power: Float[Array, ""]
    gamma_bp: Float[Array, "side columns"]
    size_usd: Float[Array, ""]
    epnl_usd: Float[Array, "side columns"]
    tau_s: Float[Array, ""]
    has_book: Bool[Array, ""]
    health: UInt32[Array, ""]


def init(params: Params, *, config: Config) -> State:
    """Nothing is remembered."""
    del params, config
    return State()


def update(
    params: Params,
    state: State,
    inputs: tuple[Event, Features, Belief, RiskBudget, beliefs.Params],
    *,
    config: Config,
) -> tuple[State, Surface]:
    """Price every candidate and every order of ours at this wake."""
    event, seen, belief, risk, belief_params = inputs
    sigma = belief.sigma_bp + jnp.finfo(seen.sigma_bp.dtype).eps
    unit = beliefs.depth_unit_bp(belief_params, seen, event.rules.tick_bp)
    grid = _columns(
        event, candidates(event.book, event.rules.tick_bp, params.reach * unit, config.candidates)
    )
    sign = jnp.asarray(SIDE_SIGN, sigma.dtype)[:, None]
    trade = jnp.where(seen.trade_usd > 0, seen.trade_usd, event.rules.lot_usd)
    size = params.reference_prints * trade

    # Income: the chance of a fill and what it is worth before costs.
    v_now, v_var = belief.mean[beliefs.V], belief.cov[beliefs.V, beliefs.V]
    depth = sign * (grid.price_bp - v_now)
    tau = params.cancel_latency_s + params.wake_interval_s
    waits_s = event.age_s + params.order_latency_s
    reached = lambda ahead: jnp.exp(
        beliefs.reach.log_reach(belief_params.reach, depth, ahead, unit, trade)
    )
    met = reached(grid.ahead_usd)
    informed = beliefs.informed_share(
        belief_params,
        belief.mean[beliefs.INFORMED],
        belief.cov[beliefs.INFORMED, beliefs.INFORMED],
        params.reference_prints,
    )
    filled = beliefs.glosten_milgrom.posterior(
        v_now,
        v_var,
        grid.price_bp,
        sign,
        informed,
        met / 2,
        belief_params.signal_noise * unit,
    )
    arrivals = hawkes.expected(
        seen.arrival_rate,
        seen.base_rate,
        seen.branching,
        seen.arrival_decay,
        waits_s,
        tau,
    )
    arrivals = arrivals * jnp.exp(-sign[:, 0] * risk.flow_log)
    # Those in front of us leave without being filled; half way through the life stands for all. A
    # fill teaches by the queue that we joined behind, and so does `gm`.
    left = grid.ahead_usd * jnp.exp(-params.queue_erosion * (params.order_latency_s + tau / 2))
    likelihood = filled.likelihood + (1 - informed) * (reached(left) - met) / 2
    fill = -jnp.expm1(-2 * params.takers_met * arrivals[:, None] * likelihood)
    tiny, top = jnp.finfo(sigma.dtype).tiny, jnp.finfo(sigma.dtype).max
    log_fill = jnp.log(fill + tiny)

    # Costs, each once.
    gm = sign * (filled.mean_bp - v_now)
    life = tau + event.age_s
    by_mode = belief.mode_sigma_bp[:, None, None]
    sd = by_mode * jnp.sqrt(life) + jnp.finfo(sigma.dtype).eps
    weight = jnp.exp(belief.log_mode)[:, None, None]
    # The market moves since it was last seen; the order stands from its latency on.
    stands = lambda average: small.total(
        weight * option.between(average, depth[None], by_mode, waits_s, tau), 0
    )
    picked = stands(option.time_average)
    jumps = option.jump_option(depth, params.jump_rate, params.jump_sigmas * sigma, tau)
    option_bp = params.sniping * picked + jumps
    passed = stands(option.time_average_chance)
    jumped = option.jump_chance(depth, params.jump_rate, params.jump_sigmas * sigma, tau)
    sniped = 1 - (1 - params.sniping * passed) * jnp.exp(-jumped)
    gamma = small.total(weight * option.gamma(depth[None], sd) * sd**2, 0) / 2
    exit_bp = params.taking * (seen.half_spread_bp + event.account.taker_fee_bp)
    carry = -sign * risk.carry_bp
    edge = sign * (grid.price_bp - belief.expected_v(risk.holding_s))
    scale = params.impact * seen.half_spread_bp
    liquid = grid.ahead_usd + params.depth_s * seen.volume_usd_s + event.rules.lot_usd
    impact = scale * (size / liquid) ** params.impact_power
    after = risks.cost_usd(risk, risk.position_usd - sign * size)
    inventory = BP * (after - risks.cost_usd(risk, risk.position_usd)) / size
    inventory = inventory - sign * risks.cross_bp(risk)
    if (rid := risks.reducing(risk, sign)) is not None:
        inventory = inventory - BP * (rid[0] - rid[1] * size / 2)

    paid = exit_bp + carry + event.account.maker_fee_bp
    fixed = edge - gm - paid - params.offset_bp
    outside = option_bp + sniped * paid
    # A quote that hardly fills is still picked off: the ratio grows, to a bound that stays finite.
    ratio = jnp.exp(jnp.minimum(-log_fill, jnp.log(top) / 2))
    net = fixed - outside * ratio
    bracket = fixed - inventory - impact
    epnl = (fill * bracket - outside) * size / BP
    ok = grid.is_valid & seen.has_book & belief.is_ready
    shape = jnp.ones_like(depth)
    surface = Surface(
        ticks=grid.ticks,
        price_bp=grid.price_bp,
        is_valid=ok,
        ahead_usd=grid.ahead_usd,
        fill=fill,
        log_fill=log_fill,
        sniped=sniped,
        edge_bp=edge,
        gm_bp=gm,
        option_bp=option_bp,
        exit_bp=exit_bp,
        carry_bp=carry * shape,
        fee_bp=event.account.maker_fee_bp,
        offset_bp=params.offset_bp,
        inventory_bp=inventory * shape,
        impact_bp=impact,
        net_bp=net,
        depth_usd=liquid,
        impact_scale_bp=scale,
        impact_power=params.impact_power,
        gamma_bp=gamma,
        size_usd=size,
        epnl_usd=epnl,
        tau_s=tau,
        has_book=seen.has_book & belief.is_ready,
        health=flag(seen.has_book & ~all_finite((net, fill, gamma)), Health.NONFINITE_SURFACE),
    )
    return state, surface


def _columns(event: Event, grid: Candidates) -> Candidates:
    """Candidates, then our own orders with their own queue."""
    orders = event.orders
    join = lambda a, b: jnp.concatenate([a, b], axis=1)
    return Candidates(
        join(grid.ticks, orders.ticks),
        join(grid.price_bp, orders.price_bp),
        join(grid.ahead_usd, orders.ahead_usd),
        join(grid.is_valid, orders.is_live),
    )


def build(config: Config) -> Stage:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
