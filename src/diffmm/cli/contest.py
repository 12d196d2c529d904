"""Placed quotes: ours and the reference policies on one tape, and every pair's difference."""

import dataclasses
from typing import Any

from .markets import Market


SPAN_S = 10.0
"""Over which volatility and the move after a print are taken."""
MOST_LOTS = 20
"""Room in quotes of a reference, at most: its table stays small and its quotes worth placing."""
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
    """
    import jax
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

    config = loop.Config.default(on_touch, takers_have_limits=market.is_world)
    record = jax.tree.map(np.asarray, stepper.Stepper(params, rule, config).replay(tape.frames()))
    index, valid = tape.frame_index()
    by_row = lambda x: _by_row(x, index, valid, len(tape.rows))
    ours = as_fills(by_row(record.lots), by_row(record.lots_ticks))
    wakes = index[:, -1]
    surface = record.quotes.surface
    weight_s = _weights(known.time_s[wakes], window)
    theta = lambda ticks, lots: ladder.below_gamma_share(
        ladder.priced(surface, ticks, lots, lot_usd[wakes]), weight_s
    )
    score = lambda f: placed.scores(known, f, window, account.maker_fee_bp, seed)
    net = lambda f, h: placed.net_usd(known, f, window, account.maker_fee_bp, h)
    policies = {
        "ours": {
            **score(ours),
            "theta_below_gamma_share": theta(record.standing_ticks, record.standing_lots),
        }
    }
    try:
        fitted = _fit(known, event, probes, window)
    except ValueError as error:
        return {"policies": policies, "references": None, "why_not": str(error)}
    taste = _taste(params, account, size_usd, float(lot_usd[0]), tape.instrument)
    tables = reference.tables(fitted, taste)
    told = _references(market, rule, tables, taste.size_usd, on_touch)
    for k, name in enumerate(tables):
        theirs = as_fills(told.lots[:, k], told.lots_ticks[:, k])
        at = lambda x, k=k: x[wakes, k][:, :, None]
        policies[name] = {
            **score(theirs),
            "theta_below_gamma_share": theta(at(told.standing_ticks), at(told.standing_lots)),
            **{
                f"ours_less_it_{h}s_usd_per_hour": placed.told(
                    placed.paired_per_hour(net(ours, h), net(theirs, h), window, seed)
                )
                for h in placed.HORIZONS_S
            },
        }
    return {
        "policies": policies,
        "references": {**dataclasses.asdict(fitted), **dataclasses.asdict(taste)},
    }


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
    import jax
    import numpy as np

    from diffmm.engine import run as runner
    from diffmm.policies import on_tape
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
    fills = hard_fills.Config(1, on_touch, takers_have_limits=market.is_world)
    stage = on_tape.build(fills, market.tape.layout)
    told = runner.watch(stage, asked, market.tape.rows, unpack=lambda row: row)
    return jax.tree.map(np.asarray, told)


def _by_row(values: Any, index: Any, valid: Any, rows: int) -> Any:
    """`[frames, E, side]` on the rows of the tape."""
    import numpy as np

    out = np.zeros((rows, values.shape[2]), np.int64)
    out[index[valid]] = values[valid]
    return out


def _weights(wake_s: Any, window: Any) -> Any:
    """How long each decision stood inside the window."""
    import numpy as np

    until = np.append(wake_s[1:], window.end_s)
    return np.maximum(np.minimum(until, window.end_s) - np.maximum(wake_s, window.start_s), 0.0)
