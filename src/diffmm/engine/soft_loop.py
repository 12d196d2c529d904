"""The closed loop with fills that have a gradient: the same stages, one order a side.

On every row: features, belief; if it holds a taker, the order on his side is filled or not by the
odds of `taker_law` and the rule of `soft_fills`, and the same fill moves cash, inventory, and the
mean, variance and weights of the belief. On a wake: risk, pricing, allocation, and the replace step
of `execution.soft`. What is decided at a wake stands at the venue from the next one. Of a print the
engine sees what the other makers' book would have shown of it; the limit and the size with which
the taker meets *us* are drawn anew. Hard rules in place of relaxed ones give the simulator whose
gradient is meant: orders and prices are not rounded in either. Source: ours.
"""

import dataclasses
import functools as ft
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm import allocation, belief, features, pricing, risk
from diffmm.core import param, POSITIVE, REAL, where
from diffmm.execution import soft
from diffmm.market import Event, Fill, Layout, Orders
from diffmm.pricing.candidates import Config as CandidatesConfig
from diffmm.simulation import matching, resting, soft_fills, taker_law
from diffmm.simulation.paths import Path
from diffmm.simulation.taker_law import Law, Taker

from . import graph


BP = 1e4


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `engine`: every stage's.
    - `layout`: shapes of an event.
    - `chunk`: frames between checkpoints of the backward pass.
    """

    engine: graph.Config
    layout: Layout
    chunk: int = 8

    @classmethod
    def small(cls, inside: int = 4, near: int = 20) -> "Config":
        """The sizes on which the laws run, and only prices that no parameter moves."""
        return cls._of(graph.Config.small(), Layout(levels=4, slots=2), inside, near)

    @classmethod
    def default(cls, inside: int = 4, near: int = 20) -> "Config":
        """The sizes of the product but for its deep candidates."""
        return cls._of(graph.Config.default(), Layout(), inside, near)

    @classmethod
    def _of(cls, engine: graph.Config, layout: Layout, inside: int, near: int) -> "Config":
        # Deep candidates stand on whole ticks at a distance in the market's own units: they jump
        # when a parameter moves the unit, and their derivative is zero.
        prices = pricing.Config(CandidatesConfig(inside=inside, near=near, deep=0))
        sizes = allocation.Config(prices.candidates.total)
        return cls(dataclasses.replace(engine, pricing=prices, allocation=sizes), layout)


class Params(eqx.Module):
    """What is asked of a run, and how far it is relaxed; none of it shapes a quote.

    **Attributes:**

    - `aversion`: lambda of `E[X] - lambda Var[X] / 2`.
    - `excess`: what a second costs for each unit of position beyond the room, as a share of it.
    """

    fills: soft_fills.Params
    replace: soft.Params
    aversion: Float[Array, ""] = param(POSITIVE, 0.1, unit="1/USD", trainable=False)
    excess: Float[Array, ""] = param(REAL, 0.0, unit="1/s", trainable=False)


class State(eqx.Module):
    """State of a run.

    **Attributes:**

    - `standing`: at the venue; `sent`: decided last, on its way.
    - `position_usd`: q.
    - `utility_usd`: so far.
    """

    observing: graph.Observing
    deciding: graph.Deciding
    standing: soft.Standing
    sent: soft.Standing
    position_usd: Float[Array, ""]
    utility_usd: Float[Array, ""]


def init(params: graph.Params, *, config: Config) -> State:
    """Flat, nothing seen, nothing sent."""
    observing = graph.init_observing(params, config=config.engine)
    none = jnp.zeros_like(params.belief.tail)
    nothing = soft.Standing(jnp.stack([none, none]), jnp.stack([none, none]))
    deciding = graph.init_deciding(params, config=config.engine)
    return State(observing, deciding, nothing, nothing, none, none)


def play(
    params: graph.Params,
    asked: Params,
    law: Law,
    path: Path,
    draws: Float[Array, "frames rows"],
    fill: soft_fills.Rule,
    replace_temperature: Float[Array, ""] | None,
    *,
    config: Config,
) -> tuple[Float[Array, ""], Float[Array, "frames rows"]]:
    """Utility of one run in USD and the log odds of every fill; to be differentiated.

    `U = sum s (x - V) n f - costs - lambda / 2 integral q^2 sigma^2 dt - e integral (|q| - R)+ dt`:
    fills are marked at V when they happen, the mean of every later V, and inventory pays the
    variance of the rest, so that the mean of U is `E[X] - lambda Var[X] / 2` but for the variance
    of the income (Cartea, Jaimungal & Penalva 2015, section 10.2). The last term is a penalty for
    what lies beyond the room R.

    Args:
        params: of the engine.
        asked: the objective.
        law: of the world.
        path: one run.
        draws: log odds of the draws.
        fill: `soft_fills.hard`, or relaxed.
        replace_temperature: of the replace step, `None` for a hard one.
        config: static choices.

    Raises:
        ValueError: when the number of frames is not a multiple of `config.chunk`.
    """
    n = path.frames.shape[0]
    if n % config.chunk:
        raise ValueError(f"{n} frames are not a multiple of chunk {config.chunk}")
    given = jax.tree.map(
        lambda x: x.reshape(n // config.chunk, config.chunk, *x.shape[1:]), (path, draws)
    )
    step = ft.partial(_fold_frame, params, asked, law, fill, replace_temperature, config=config)
    fold = jax.checkpoint(lambda state, frames: jax.lax.scan(step, state, frames))
    state, odds = jax.lax.scan(fold, init(params, config=config), given)
    return state.utility_usd, odds.reshape(draws.shape)


def _fold_frame(
    params: graph.Params,
    asked: Params,
    law: Law,
    fill: soft_fills.Rule,
    replace_temperature: Float[Array, ""] | None,
    state: State,
    given: tuple[Path, Float[Array, " rows"]],
    *,
    config: Config,
) -> tuple[State, Float[Array, " rows"]]:
    """Rows of one frame, then the decision at its wake."""
    path, draws = given
    observe = ft.partial(_row, params, asked, law, fill, config=config)

    def row(carry: Any, given: Any) -> tuple[Any, Array]:
        state, *last = carry
        state, (seen, told, odds) = observe(state, given)
        return (state, *where(told.is_valid, (seen, told), tuple(last))), odds

    rows = (path.frames, path.takers, draws)
    shapes = jax.eval_shape(observe, state, jax.tree.map(lambda x: x[0], rows))[1]
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    again = jax.checkpoint(row, prevent_cse=False)
    (state, seen, told), odds = jax.lax.scan(again, (state, blank[0], blank[1]), rows)
    return _decide(params, state, seen, told, replace_temperature, config=config), odds


def _row(
    params: graph.Params,
    asked: Params,
    law: Law,
    fill: soft_fills.Rule,
    state: State,
    given: tuple[Float[Array, " width"], Taker, Float[Array, ""]],
    *,
    config: Config,
) -> tuple[State, tuple[graph.Seen, Event, Float[Array, ""]]]:
    """One row: who takes what of ours, what the engine is told, what it believes."""
    vector, taker, draw = given
    event = public(config.layout.unpack(vector), draw.dtype)
    s, is_ask = taker.sign, taker.sign > 0
    pick = lambda x: jnp.where(is_ask, x[1], x[0])
    price, usd = pick(state.standing.price_bp), pick(state.standing.usd)
    least = event.rules.min_notional_usd
    ahead = taker_law.ahead_usd(event, price, s)
    odds = taker_law.fill_log_odds(law, taker, price, usd, ahead, least)
    filled = fill(odds, draw)
    taken = taker_law.filled_usd(law, taker, usd, least)
    paid = event.account.maker_fee_bp + law.cost_bp
    gained = filled * taken * (s * (price - taker.value_bp) - paid) / BP
    dt_s = jnp.where(event.is_valid, event.dt_s, 0.0)
    held = dt_s * law.variance_bp2_s / BP**2
    beyond = jnp.maximum(jnp.abs(state.position_usd) - event.account.room_usd, 0.0)
    risked = asked.aversion / 2 * state.position_usd**2 * held + asked.excess * beyond * dt_s
    position = state.position_usd - s * filled * taken
    hit = jnp.stack([(s < 0), (s > 0)]).astype(price.dtype)
    told = dataclasses.replace(
        event,
        fill=Fill(hit * price, hit * taken, hit * ahead),
        account=dataclasses.replace(event.account, position_usd=position),
    )
    f_state, f = features.update(
        params.features, state.observing.features, told, config=config.engine.features
    )
    b_state, b = belief.update(
        params.belief,
        state.observing.belief,
        (told, f),
        config=config.engine.belief,
        filled=filled,
    )
    new = dataclasses.replace(
        state,
        observing=graph.Observing(f_state, b_state),
        position_usd=position,
        utility_usd=state.utility_usd + gained - risked,
    )
    return new, (graph.Seen(f, b, b.health), told, odds)


def _decide(
    params: graph.Params,
    state: State,
    seen: graph.Seen,
    told: Event,
    replace_temperature: Float[Array, ""] | None,
    *,
    config: Config,
) -> State:
    """Evaluate the quotes; what was sent before stands from now on."""
    f, b, engine = seen.features, seen.belief, config.engine
    told = dataclasses.replace(told, orders=_orders(told, state.sent))
    r_state, budget = risk.update(
        params.risk, state.deciding.risk, (told, f, b), config=engine.risk
    )
    _, surface = pricing.update(
        params.pricing,
        state.deciding.pricing,
        (told, f, b, budget, params.belief),
        config=engine.pricing,
    )
    a_state, sizes = allocation.update(
        params.allocation,
        state.deciding.allocation,
        (told, budget, surface),
        config=engine.allocation,
    )
    new = soft.replace(surface, sizes, state.sent, b.mean[belief.V], replace_temperature)
    deciding = dataclasses.replace(state.deciding, risk=r_state, allocation=a_state)
    return dataclasses.replace(state, deciding=deciding, standing=state.sent, sent=new)


def public(event: Event, dtype: Any) -> Event:
    """The row as everyone sees it without us: a taker's limit becomes his print, or none."""
    event = jax.tree.map(
        lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, event
    )
    none = jnp.zeros((2, 1, 1), dtype)
    no = none.astype(bool)
    nobody = resting.Resting(none.astype(jnp.int32), *([none] * 9), has_arrived=no, crosses=no)
    kind, trade = matching.public_print(event, nobody, matching.Taken(none, none))
    return dataclasses.replace(event, kind=kind, trade=trade)


def _orders(event: Event, sent: soft.Standing) -> Orders:
    """The order of each side in its first slot, at a price that is no candidate's tick."""
    slots = event.orders.ticks.shape[1]
    first = jnp.arange(slots) == 0
    put = lambda x: jnp.where(first[None, :], x[:, None], 0.0)
    ahead = [
        taker_law.ahead_usd(event, sent.price_bp[k], jnp.asarray(s, sent.usd.dtype))
        for k, s in enumerate((-1, 1))
    ]
    nowhere = jnp.full_like(event.orders.ticks, jnp.iinfo(jnp.int32).max)
    return Orders(
        ticks=nowhere,
        price_bp=put(sent.price_bp),
        usd=put(sent.usd),
        ahead_usd=put(jnp.stack(ahead)),
        age_s=jnp.zeros_like(event.orders.age_s),
        is_live=first[None, :] & (sent.usd > 0)[:, None],
        # A print that stops short of it would be a threshold in its price, without a gradient.
        is_resting=jnp.zeros_like(event.orders.is_resting),
    )
