"""Placed quotes: ours and the reference policies on one tape, and every pair's difference."""

import dataclasses
import functools
from typing import Any

from .markets import Market


SPAN_S = 10.0
"""Over which volatility and the move after a print are taken."""
MOST_LOTS = 20
"""Room in quotes of a reference, at most: its table stays small and its quotes worth placing."""
FRAMES = 4096
"""Decisions kept whole at a time."""
GATE = "gate_and_zone"
"""The predecessor's quoter; no table of depths, so it runs beside those that are."""
MARGIN = 1.1
"""A quote is at least this many times the least notional, so that a fall does not drop it."""


def run(
    market: Market,
    params: Any,
    rule: Any,
    account: Any,
    probes: Any,
    size_usd: float,
    shares: tuple[float, float],
    *,
    on_touch: bool,
    seed: int,
    offsets_bp: tuple[float, ...] = (),
) -> dict[str, Any]:
    """Scores of each policy inside the window.

    Args:
        market: whose tape all run on.
        params: of our engine.
        rule: the hard fills.
        account: wealth, room and fee, the same for all.
        probes: outcomes, those before the window for the references' A and k; and their life.
        size_usd: mean print, the references' quote.
        shares: of the tape, from and to.
        on_touch: the rule's static choice.
        seed: of the bootstrap.
        offsets_bp: what is added to `pricing.offset_bp`, to find runs of ours that fill as much as
            each reference does.
    """
    import equinox as eqx
    import numpy as np

    from diffmm.engine import loop, stepper
    from diffmm.evaluation import forecast, ladder, placed
    from diffmm.policies import reference

    tape = market.tape
    event, known = tape.events(), forecast.path(tape)
    window = placed.Window(*(x * float(known.time_s[-1]) for x in shares))
    anchor_bp = -np.cumsum(np.asarray(event.shift_bp, np.float64))
    lot_usd = np.asarray(event.rules.lot_usd, np.float64)
    as_fills = lambda lots, ticks: placed.fills(known, anchor_bp, lot_usd, lots, ticks)

    tables, taste, fitted, why_not = {}, None, None, None
    try:
        fitted = _fit(known, event, probes, window)
        taste = _taste(params, account, size_usd, float(lot_usd[0]), tape.instrument)
        tables = reference.tables(fitted, taste)
    except ValueError as error:
        why_not = str(error)
    told: Any = None
    names: tuple[str, ...] = ()
    if taste is not None and tables:
        told = _references(market, rule, tables, taste.size_usd, on_touch)
        names = (*tables, GATE)
    wakes = tape.frame_index()[0][:, -1]
    standing = {
        name: (told.standing_ticks[wakes, k], told.standing_lots[wakes, k])
        for k, name in enumerate(names)
    }
    config = loop.Config.default(on_touch, takers_have_limits=market.is_world)
    ours, ladders = _ours(stepper.Stepper(params, rule, config), tape, standing, lot_usd[wakes])
    weight_s = _weights(known.time_s[wakes], window)
    fills = {"ours": as_fills(*ours)}
    swept = {0.0: fills["ours"]}
    for offset in offsets_bp:
        old = params.pricing.offset_bp
        shifted = eqx.tree_at(lambda p: p.pricing.offset_bp, params, old + offset)
        found, _ = _ours(stepper.Stepper(shifted, rule, config), tape, {}, lot_usd[wakes])
        swept[offset] = as_fills(*found)
    for k, name in enumerate(names):
        fills[name] = as_fills(told.lots[:, k], told.lots_ticks[:, k])
    fee, least = account.maker_fee_bp, float(lot_usd[0])
    net = lambda f, h: placed.net_usd(known, f, window, fee, h)
    pair = lambda a, b: {
        f"ours_less_it_{h}s_usd_per_hour": placed.told(
            placed.paired_per_hour(net(a, h), net(b, h), window, seed)
        )
        for h in placed.HORIZONS_S
    }
    policies = {}
    for name, f in fills.items():
        policies[name] = placed.scores(known, f, window, fee, seed)
        policies[name]["theta_below_gamma_share"] = ladder.below_gamma_share(
            ladders[name], weight_s
        )
        if name != "ours":
            policies[name] |= pair(fills["ours"], f)
        if name != "ours" and offsets_bp:
            volume = lambda x: float(np.log(placed.filled_usd(x, window) + least))
            theirs = volume(f)
            offset = min(swept, key=lambda x, v=theirs: (abs(volume(swept[x]) - v), abs(x)))
            policies[name]["at_matched_notional"] = {
                "edge_offset_bp": offset,
                **placed.scores(known, swept[offset], window, fee, seed),
                **pair(swept[offset], f),
            }
    if fitted is None:
        return {"policies": policies, "references": None, "why_not": why_not}
    return {
        "policies": policies,
        "references": {**dataclasses.asdict(fitted), **dataclasses.asdict(taste)},
    }


def _ours(steps: Any, tape: Any, standing: dict[str, Any], lot_usd: Any) -> Any:
    """Our fills by row, and every policy's ladder by the surface that we saw, frames in chunks."""
    import jax
    import numpy as np

    from diffmm.evaluation import ladder

    index, valid = tape.frame_index()
    lots, ticks = (np.zeros((len(tape.rows), 2), np.int64) for _ in range(2))
    parts: dict[str, list[Any]] = {name: [] for name in ("ours", *standing)}
    for start in range(0, len(index), FRAMES):
        part = slice(start, start + FRAMES)
        record = jax.tree.map(np.asarray, steps.replay(tape.frames(part.stop, start)))
        here = index[part][valid[part]]
        lots[here], ticks[here] = record.lots[valid[part]], record.lots_ticks[valid[part]]
        stands = {"ours": (record.standing_ticks, record.standing_lots)}
        stands |= {k: tuple(x[part][:, :, None] for x in pair) for k, pair in standing.items()}
        for name, pair in stands.items():
            found = ladder.priced(record.quotes.surface, *pair, lot_usd[part])
            parts[name].append(found)
    return (lots, ticks), {name: ladder.Ladder.join(x) for name, x in parts.items()}


def _fit(known: Any, event: Any, probes: tuple[Any, float], window: Any) -> Any:
    """A and k of probes, sigma and the move after a print, all before the window."""
    import numpy as np

    from diffmm.market import Kind
    from diffmm.policies import reference

    outcomes, life_s = probes
    before = outcomes.where(~outcomes.is_scored)
    rate, decay = reference.fill_rate(before.away_bp, before.is_filled, life_s)
    at = np.arange(0.0, window.start_s, SPAN_S)
    moves = np.diff(known.mid_bp[known.row_at(at)][1:])
    late = known.time_s + SPAN_S <= window.start_s
    prints = np.flatnonzero((np.asarray(event.kind) == int(Kind.TRADE)) & late)
    prints = prints[prints > 0]
    later = known.mid_bp[known.row_at(known.time_s[prints] + SPAN_S)]
    moved = np.asarray(event.trade.sign)[prints] * (later - known.mid_bp[prints - 1])
    return reference.Market(
        rate,
        decay,
        float(np.sqrt(np.mean(moves**2) / SPAN_S)),
        float(moved.mean()) if len(moved) else 0.0,
    )


def _taste(params: Any, account: Any, size_usd: float, lot_usd: float, instrument: Any) -> Any:
    """Our own wealth, room and gamma(q) in quotes of one size."""
    from diffmm.policies import reference

    size = max(size_usd, account.room_usd / MOST_LOTS, MARGIN * instrument.min_notional_usd)
    size = max(size // lot_usd, 1) * lot_usd
    return reference.Taste(
        size,
        max(int(account.room_usd // size), 1),
        1 / (float(params.risk.kelly_fraction) * account.wealth_usd),
        float(params.risk.convexity),
        float(params.risk.holding_s),
    )


def _references(
    market: Market, rule: Any, tables: dict[str, Any], size_usd: float, on_touch: bool
) -> Any:
    import equinox as eqx
    import jax
    import numpy as np

    from diffmm.core import defaults
    from diffmm.engine import chunks
    from diffmm.policies import gate_and_zone, on_tape
    from diffmm.simulation import hard_fills

    f = lambda x: np.asarray(x, np.float32)
    asked = on_tape.Params(
        rule,
        f([t.depths.bid for t in tables.values()]),
        f([t.depths.ask for t in tables.values()]),
        np.array([t.is_from_touch for t in tables.values()]),
        # The size is a whole number of lots, which single precision must not make one less.
        f(size_usd * (1 + 1e-6)),
    )
    # The fixed spread is what both of them ask for; their rules differ.
    quoter = eqx.tree_at(
        lambda p: (p.half_spread_bp, p.size_usd),
        defaults(gate_and_zone.Params),
        (f(np.min(tables["fixed_spread"].depths.bid)), asked.size_usd),
    )
    fills = hard_fills.Config(1, on_touch, takers_have_limits=market.is_world)
    run = lambda stage, given: chunks.whole(
        chunks.fold(stage, given, market.tape, unpack=chunks.as_packed())
    )
    told = run(_stage(fills, market.tape.layout), asked)
    gated = run(_gate_stage(fills, market.tape.layout), on_tape.Alone(rule, quoter))
    return jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), told, gated)


@functools.cache
def _stage(fills: Any, layout: Any) -> Any:
    from diffmm.policies import on_tape

    return on_tape.build(fills, layout)


@functools.cache
def _gate_stage(fills: Any, layout: Any) -> Any:
    from diffmm.policies import gate_and_zone, on_tape

    return on_tape.build_alone(gate_and_zone.build(gate_and_zone.Config()), fills, layout)


def _weights(wake_s: Any, window: Any) -> Any:
    """How long each decision stood inside the window."""
    import numpy as np

    until = np.append(wake_s[1:], window.end_s)
    return np.maximum(np.minimum(until, window.end_s) - np.maximum(wake_s, window.start_s), 0.0)
