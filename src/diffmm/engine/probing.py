"""What the surface says of probe quotes: a fixed grid of depths on both sides, priced, not placed.

The engine watches the market as it would without orders; at every wake the probes take the place of
our own orders in the surface's columns, so they are priced by the very code that prices quotes, at
their price, with all that is displayed in front of them, once for each life asked for: a life is
the surface's own `tau_s`, the wake interval being what is left of it after the cancel latency.
Source: ours; tested in `tests/engine/test_probing.py`.
"""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from diffmm import belief, pricing, risk
from diffmm.core import Stage
from diffmm.features import Features
from diffmm.market import Event, Orders
from diffmm.pricing.candidates import outward, queue_ahead
from diffmm.simulation import hard_fills, resting

from . import graph, loop


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where probes stand.

    **Attributes:**

    - `inside`: shares of the way from our touch to the opposite one.
    - `beyond`: distances beyond our touch, in the market's scale of a depth
      (`belief.depth_unit_bp`), rounded outwards to ticks.
    """

    inside: tuple[float, ...] = (0.6, 0.3)
    beyond: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)

    @property
    def total(self) -> int:
        """Probes a side."""
        return len(self.inside) + len(self.beyond)


class Params(eqx.Module):
    """The engine's, the rule by which a world's takers become prints, and the lives in s."""

    engine: graph.Params
    rule: hard_fills.Params
    lives_s: Float[Array, "lives"]


class State(eqx.Module):
    """A world without orders, and what is folded of the engine."""

    world: hard_fills.State
    observing: graph.Observing
    risk: risk.State
    pricing: pricing.State


class Asked(eqx.Module):
    """What the surface is asked at one wake: the probes stand in the event as orders of ours."""

    event: Event
    features: Features
    belief: belief.Belief
    budget: risk.RiskBudget


class Priced(eqx.Module):
    """Probes at one wake, all zero elsewhere; costs in bp, columns `[side, depths]`.

    **Attributes:**

    - `is_priced`: whether this is a wake with a book and a belief.
    - `is_valid`: whether the probe's price differs from the one nearer to the market.
    - `ticks`, `price_bp`, `ahead_usd`: the quote.
    - `fill`, `sniped`: P_u and P_o.
    - `edge_bp`, `gm_bp`, `option_bp`: the surface's; the option stands outside P_u.
    - `paid_bp`: exit, carry and fee of a unit filled by anyone; `feared_bp`: inventory, impact and
      offset, of one filled by flow that does not snipe.
    - `epnl_bp`: E[PnL] of the reference size `size_usd`, per USD of it.
    - `tau_s`: the life that was priced.
    - `unit_bp`: scale of a depth.
    """

    is_priced: Bool[Array, ""]
    is_valid: Bool[Array, "side depths"]
    ticks: Int32[Array, "side depths"]
    price_bp: Float[Array, "side depths"]
    ahead_usd: Float[Array, "side depths"]
    fill: Float[Array, "lives side depths"]
    sniped: Float[Array, "lives side depths"]
    edge_bp: Float[Array, "lives side depths"]
    gm_bp: Float[Array, "lives side depths"]
    option_bp: Float[Array, "lives side depths"]
    paid_bp: Float[Array, "lives side depths"]
    feared_bp: Float[Array, "lives side depths"]
    epnl_bp: Float[Array, "lives side depths"]
    size_usd: Float[Array, "lives"]
    tau_s: Float[Array, "lives"]
    unit_bp: Float[Array, ""]


def init(params: Params, *, config: loop.Config) -> State:
    """Nothing seen, nothing priced."""
    deciding = graph.init_deciding(params.engine, config=config.engine)
    return State(
        hard_fills.init(params.rule, config=config.fills),
        graph.init_observing(params.engine, config=config.engine),
        deciding.risk,
        deciding.pricing,
    )


def update(
    params: Params, state: State, vector: Float[Array, " width"], *, config: loop.Config, grid: Grid
) -> tuple[State, Priced]:
    """One packed row; at a wake the probes are priced after it."""
    price = ft.partial(_price, params, config=config, grid=grid)
    return _at_wakes(params, state, vector, price, config=config)


def watch(
    params: Params, state: State, vector: Float[Array, " width"], *, config: loop.Config, grid: Grid
) -> tuple[State, Asked]:
    """One packed row; at a wake what the surface is asked, all zero elsewhere."""

    def at_wake(state: State, seen: graph.Seen, told: Event) -> Any:
        risk_state, asked = ask(params, state, seen, told, config=config, grid=grid)
        return (risk_state, state.pricing), asked

    return _at_wakes(params, state, vector, at_wake, config=config)


def _at_wakes(
    params: Params,
    state: State,
    vector: Float[Array, " width"],
    fn: Callable[[State, graph.Seen, Event], Any],
    *,
    config: loop.Config,
) -> tuple[State, Any]:
    """One row through the market and the engine's eyes; `fn` at a wake, zeros elsewhere."""
    pair = (state.world, state.observing)
    pair, (seen, told, _) = loop.observe_row(
        params.engine, params.rule, pair, vector, config=config
    )
    state = State(pair[0], pair[1], state.risk, state.pricing)
    nothing = lambda state, seen, told: jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(fn, state, seen, told)[1]
    )
    deciding, out = jax.lax.cond(
        told.wake & told.is_valid,
        fn,
        lambda *x: ((x[0].risk, x[0].pricing), nothing(*x)),
        state,
        seen,
        told,
    )
    return State(state.world, state.observing, *deciding), out


def ask(
    params: Params, state: State, seen: graph.Seen, told: Event, *, config: loop.Config, grid: Grid
) -> tuple[risk.State, Asked]:
    """The probes of one wake, before they are priced."""
    engine, f, b = params.engine, seen.features, seen.belief
    unit = belief.depth_unit_bp(engine.belief, f, told.rules.tick_bp)
    told = dataclasses.replace(told, orders=probes(told, unit, grid))
    risk_state, budget = risk.update(
        engine.risk, state.risk, (told, f, b), config=config.engine.risk
    )
    return risk_state, Asked(told, f, b, budget)


def surfaces(
    engine: graph.Params,
    lives_s: Float[Array, "lives"],
    state: pricing.State,
    asked: Asked,
    *,
    config: pricing.Config,
) -> tuple[pricing.State, pricing.Surface]:
    """The surface for each life; its last columns are the probes."""

    def one(life_s: Float[Array, ""]) -> tuple[pricing.State, pricing.Surface]:
        wake_s = life_s - engine.pricing.cancel_latency_s
        return pricing.update(
            dataclasses.replace(engine.pricing, wake_interval_s=wake_s),
            state,
            (asked.event, asked.features, asked.belief, asked.budget, engine.belief),
            config=config,
        )

    return jax.vmap(one)(lives_s)


def _price(
    params: Params, state: State, seen: graph.Seen, told: Event, *, config: loop.Config, grid: Grid
) -> tuple[tuple[risk.State, pricing.State], Priced]:
    risk_state, asked = ask(params, state, seen, told, config=config, grid=grid)
    pricing_state, s = surfaces(
        params.engine, params.lives_s, state.pricing, asked, config=config.engine.pricing
    )
    ours = lambda x: x[:, :, -grid.total :]
    wide = lambda x: x[:, None, None]
    epnl = 1e4 * s.epnl_usd / wide(s.size_usd)
    paid = wide(s.exit_bp) + s.carry_bp + wide(s.fee_bp)
    feared = s.inventory_bp + s.impact_bp + wide(s.offset_bp)
    orders = asked.event.orders
    priced = Priced(
        is_priced=s.has_book[0],
        is_valid=ours(s.is_valid)[0],
        ticks=orders.ticks,
        price_bp=orders.price_bp,
        ahead_usd=orders.ahead_usd,
        fill=ours(s.fill),
        sniped=ours(s.sniped),
        edge_bp=ours(s.edge_bp),
        gm_bp=ours(s.gm_bp),
        option_bp=ours(s.option_bp),
        paid_bp=ours(paid),
        feared_bp=ours(feared),
        epnl_bp=ours(epnl),
        size_usd=s.size_usd,
        tau_s=s.tau_s,
        unit_bp=belief.depth_unit_bp(
            params.engine.belief, asked.features, asked.event.rules.tick_bp
        ),
    )
    # Pricing remembers nothing that depends on the life.
    first = jax.tree.map(lambda x: x[0], pricing_state)
    return (risk_state, first), priced


def probes(event: Event, unit_bp: Float[Array, ""], grid: Grid) -> Orders:
    """The grid on one book, as orders; not live where a price repeats the one before it."""
    touch = outward(event.book.ticks)[:, :1]
    room = jnp.maximum(touch + touch[::-1] - 1, 0)
    share = jnp.asarray(grid.inside, unit_bp.dtype)[None, :]
    nearer = touch - jnp.floor(share * room.astype(unit_bp.dtype)).astype(touch.dtype)
    steps = jnp.asarray(grid.beyond, unit_bp.dtype) * unit_bp / event.rules.tick_bp
    farther = touch + jnp.ceil(steps)[None, :].astype(touch.dtype)
    out = jnp.concatenate([nearer, farther], axis=1)
    fresh = jnp.concatenate([jnp.ones_like(out[:, :1], bool), out[:, 1:] > out[:, :-1]], axis=1)
    ticks = outward(out)
    price = resting.price_bp(event, ticks.astype(unit_bp.dtype))
    zero = jnp.zeros_like(price)
    return Orders(
        ticks=ticks,
        price_bp=price,
        usd=zero,
        ahead_usd=queue_ahead(event.book, out),
        age_s=zero,
        is_live=fresh & event.book.is_valid[:, :1],
        is_resting=jnp.zeros_like(fresh),
    )


def build(config: loop.Config, grid: Grid, *, is_priced: bool = True) -> Stage:
    """Bind the static choices; the input of a row is a packed vector.

    Args:
        config: of the loop.
        grid: of the probes.
        is_priced: whether what comes out is priced, or only asked.
    """
    step = update if is_priced else watch
    return Stage(ft.partial(init, config=config), ft.partial(step, config=config, grid=grid))
