"""Fills of a plain quote in a market whose takers are known, and what the belief made of them.

The quote stands `depth_bp` from the mid on each side and does not listen to the belief, so the same
takers fill it whatever the parameters. The worlds hold three of the five types: an uninformed taker
is `retail`, an informed one `whale`, a sniper `arbitrage`.
"""

import dataclasses
import functools as ft
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from diffmm import belief, features
from diffmm.belief import depth_unit_bp, flow_type
from diffmm.core import Stage, where
from diffmm.engine import graph, run
from diffmm.market import Kind, Layout, SIDE_SIGN, Tape
from diffmm.policies import quoting
from diffmm.simulation import generative, hard_fills, laws


TYPE_OF_KIND = {
    laws.UNINFORMED: flow_type.TYPES.index("retail"),
    laws.INFORMED: flow_type.TYPES.index("whale"),
    laws.SNIPER: flow_type.TYPES.index("arbitrage"),
}
NOBODY = -1
"""Type of a fill that came of takers of several types."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `engine`: of features and belief.
    - `layout`: of an event.
    """

    engine: graph.Config = dataclasses.field(default_factory=graph.Config.default)
    layout: Layout = dataclasses.field(default_factory=Layout)


class Params(eqx.Module):
    """The engine's, whose belief has types; the fill rule; depth and size of the quotes."""

    engine: graph.Params
    rule: hard_fills.Params
    depth_bp: Float[Array, ""]
    size_usd: Float[Array, ""]


class Told(eqx.Module):
    """One row: what was filled in it, what was told of fills in it, the belief about that.

    **Attributes:**

    - `lots`: filled by this row's taker.
    - `price_bp`, `usd`: of the fills the engine is told of.
    - `typed`: the classifier.
    - `v`, `v_var`, `informed`, `informed_var`: mixture moments as if there were no fill.
    - `reach`, `noise_bp`, `size`: of the fill's likelihood.
    - `log_mode`, `mode_v`, `mode_var`: posterior of V after the fill.
    """

    lots: Int32[Array, "side"]
    price_bp: Float[Array, "side"]
    usd: Float[Array, "side"]
    typed: flow_type.FlowType
    v: Float[Array, ""]
    v_var: Float[Array, ""]
    informed: Float[Array, ""]
    informed_var: Float[Array, ""]
    reach: Float[Array, "side"]
    noise_bp: Float[Array, ""]
    size: Float[Array, "side"]
    log_mode: Float[Array, "modes"]
    mode_v: Float[Array, "modes"]
    mode_var: Float[Array, "modes"]


@dataclasses.dataclass(frozen=True)
class Fills:
    """Fills of one type of taker each, in order of rows.

    **Attributes:**

    - `row`, `time_s`, `side`, `type`: where, when, which quote, who.
    - `told`: of the row, `side` picked.
    - `truth_bp`: V then, in the belief's coordinate.
    - `log_score`: of V, by the belief after the fill.
    """

    row: np.ndarray
    time_s: np.ndarray
    side: np.ndarray
    type: np.ndarray
    told: dict[str, np.ndarray]
    truth_bp: np.ndarray
    log_score: np.ndarray


def build(config: Config) -> Stage:
    """Fill rule, quotes, features and belief; the input of a row is a packed vector."""
    rule = hard_fills.Config(config.layout.slots, takers_have_limits=True)

    def init(params: Params) -> Any:
        p, chosen = params.engine, config.engine
        return (
            hard_fills.init(params.rule, config=rule),
            features.init(p.features, config=chosen.features),
            belief.init(p.belief, config=chosen.belief),
        )

    def update(params: Params, state: Any, vector: Array) -> tuple[Any, Told]:
        world, sensed, believed = state
        given = config.layout.unpack(vector)
        world, (event, filled) = hard_fills.update(params.rule, world, given, config=rule)
        p, chosen = params.engine, config.engine
        sensed, seen = features.update(p.features, sensed, event, config=chosen.features)
        fold = ft.partial(belief.update, p.belief, believed, config=chosen.belief)
        none = dataclasses.replace(event.fill, usd=0 * event.fill.usd)
        before = fold((dataclasses.replace(event, fill=none), seen))[1]
        believed, after = fold((event, seen))
        price = event.book.price_bp[:, 0]
        mid = (price[0] + price[1]) / 2
        targets = quoting.place(event, mid, params.depth_bp, params.depth_bp, params.size_usd)
        acted = hard_fills.act(world, targets, event)
        world = where(event.wake & event.is_valid, acted, world)
        unit = depth_unit_bp(p.belief, seen, event.rules.tick_bp)
        trade = jnp.where(seen.trade_usd > 0, seen.trade_usd, 1.0)
        v, k = before.mean[belief.V], belief.INFORMED
        away = jnp.asarray(SIDE_SIGN, v.dtype) * (event.fill.price_bp - v)
        queue = event.fill.depth_usd
        reach = belief.reach.log_reach(p.belief.reach, away, queue, unit, trade)
        return (world, sensed, believed), Told(
            lots=filled.lots,
            price_bp=event.fill.price_bp,
            usd=event.fill.usd,
            typed=after.flow_type,
            v=v,
            v_var=before.cov[belief.V, belief.V],
            informed=before.mean[k],
            informed_var=before.cov[k, k],
            reach=jnp.exp(reach) / 2,
            noise_bp=p.belief.signal_noise * unit,
            size=event.fill.usd / trade,
            log_mode=after.log_mode,
            mode_v=after.mode_mean[:, belief.V],
            mode_var=after.mode_var,
        )

    return Stage(init, update)


def types_of_rows(market: generative.Market, tape: Tape) -> np.ndarray:
    """Type of the taker of each row, `NOBODY` where a row is no taker.

    Raises:
        ValueError: where the tape is not of this market.
    """
    found = np.full(len(tape.rows), NOBODY)
    is_taker = np.asarray(tape.events().kind) == int(Kind.TRADE)
    kind = market.kind[np.argsort(market.at_takers, kind="stable")]
    if is_taker.sum() != len(kind):
        raise ValueError(f"{is_taker.sum()} takers on the tape, {len(kind)} in the market")
    found[is_taker] = [TYPE_OF_KIND[x] for x in kind.tolist()]
    return found


def gather(
    stage: Stage, params: Params, tape: Tape, types: np.ndarray, truth_bp: np.ndarray
) -> Fills:
    """Fills of a plain quote on one market.

    Args:
        stage: from `build`; one object for all markets, so that it is compiled once.
        params: of it.
        tape: the market.
        types: by row, from `types_of_rows`.
        truth_bp: V by row about the tape's first anchor.
    """
    told = run.watch(stage, params, tape.rows, unpack=_packed)
    told = jax.tree.map(np.asarray, told)
    event = tape.events()
    truth = truth_bp + np.cumsum(np.asarray(event.shift_bp, np.float64))
    time_s = np.cumsum(np.asarray(event.dt_s, np.float64))
    rows, sides, who = [], [], []
    met: list[set[int]] = [set(), set()]
    # A row is told of what was filled before it.
    for row in np.flatnonzero((told.lots > 0).any(axis=1) | (told.usd > 0).any(axis=1)).tolist():
        for side in range(len(SIDE_SIGN)):
            if told.usd[row, side] > 0:
                if len(met[side]) == 1:
                    rows, sides = [*rows, row], [*sides, side]
                    who.append(next(iter(met[side])))
                met[side] = set()
            if told.lots[row, side] > 0:
                met[side].add(int(types[row]))
    row, side = np.array(rows, int), np.array(sides, int)
    score = _log_normal(truth[row, None], told.mode_v[row], told.mode_var[row])
    by_side = {"price_bp": told.price_bp, "reach": told.reach, "size": told.size}
    by_side |= {"z": told.typed.z, "is_known": told.typed.is_known}
    by_side |= {"log_type": told.typed.log_type}
    by_row = {x: getattr(told, x) for x in ("v", "v_var", "informed", "informed_var", "noise_bp")}
    return Fills(
        row,
        time_s[row],
        side,
        np.array(who, int),
        {k: x[row, side] for k, x in by_side.items()} | {k: x[row] for k, x in by_row.items()},
        truth[row],
        np.logaddexp.reduce(told.log_mode[row] + score, axis=1),
    )


def joined(parts: list[Fills], gap_s: float) -> Fills:
    """Fills of several markets, one after the other in time, `gap_s` being longer than each."""
    moved = [dataclasses.replace(x, time_s=x.time_s + i * gap_s) for i, x in enumerate(parts)]
    many = lambda name: np.concatenate([getattr(x, name) for x in moved])
    told = {k: np.concatenate([x.told[k] for x in moved]) for k in moved[0].told}
    names = [x.name for x in dataclasses.fields(Fills) if x.name != "told"]
    return Fills(told=told, **{name: many(name) for name in names})


def _packed(row: Array) -> Array:
    """The stage unpacks: the fill rule rewrites what the engine sees."""
    return row


def _log_normal(x: np.ndarray, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
    return -((x - mean) ** 2) / (2 * var) - np.log(2 * np.pi * var) / 2
