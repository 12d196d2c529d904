"""A shadow run's figures: limits kept, edge expected and realised, time quoted."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from diffmm.engine.loop import make_record, Record
from diffmm.evaluation import forecast, ladder, placed, shadow
from diffmm.market import AccountInputs, Tape

from . import summary as whole
from .summary import fill_rule as fill_rule


def summary(
    tape: Tape, record: Record, account: AccountInputs, seed: int, *, fills_are_told: bool = False
) -> dict[str, Any]:
    """The object that `diffmm validate shadow --json` prints of one market.

    Args:
        tape: the market.
        record: the decisions, stacked; without orders that stand, the targets are taken for them.
        account: the account it ran with.
        seed: of the bootstrap.
        fills_are_told: the fills are a venue's own and stand in the rows, not in the record.
    """
    record = jax.tree.map(np.asarray, record)
    if fills_are_told:
        targets = record.quotes.targets
        standing = targets.ticks, targets.lots
        record = make_record(record.lots, record.lots_ticks, record.quotes, *standing, record.seen)
    scored = whole.score(tape, record, account)
    event, known = tape.events(), forecast.path(tape)
    anchor_bp = -np.cumsum(np.asarray(event.shift_bp, np.float64))
    lot_usd = np.asarray(event.rules.lot_usd, np.float64)
    index, valid = scored.index, tape.frame_index()[1][: len(scored.index)]
    if fills_are_told:
        lots = np.asarray(event.fill.usd, np.float64) / lot_usd[:, None]
        step = np.expm1(known.tick_bp / placed.BP)[:, None]
        ticks = lots * np.expm1(np.asarray(event.fill.price_bp, np.float64) / placed.BP) / step
    else:
        lots, ticks = (
            _by_row(x, index, valid, len(tape.rows)) for x in (record.lots, record.lots_ticks)
        )
    f = placed.fills(known, anchor_bp, lot_usd, lots, ticks)
    side = (f.sign > 0).astype(int)
    at_tick = ticks[f.row, side] / np.where(lots[f.row, side] > 0, lots[f.row, side], 1.0)
    wakes, surface = index[:, -1], record.quotes.surface
    expected = shadow.at_fills_bp(surface, wakes, at_tick, f)
    holding_s = float(record.quotes.risk.holding_s[-1])
    end_s = float(known.time_s[scored.rows - 1])
    time_s = known.time_s[wakes]
    stood = ladder.priced(surface, record.standing_ticks, record.standing_lots, lot_usd[wakes])
    lasted = np.diff(np.append(time_s, max(end_s, float(time_s[-1]))))
    return {
        "coin": tape.instrument.coin,
        "decisions": len(index),
        "fills": len(f.row),
        "gamma_violations": whole.gamma_violations(scored),
        **shadow.edges(known, expected, f, holding_s, seed),
        "mark_s": holding_s,
        **shadow.quoted_s(record.standing_lots, time_s, end_s),
        "theta_below_gamma_share": ladder.below_gamma_share(stood, lasted),
    }


def pooled(each: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The same keys over several markets: counts add up, edges are by their number of fills.

    An interval is given only where there is one market: those of several share their moves.
    """
    if len(each) == 1:
        return dict(next(iter(each.values())))
    total = lambda name: sum(x[name] for x in each.values())

    def mean(name: str, weight: str) -> float | None:
        some = [(x[name], x[weight]) for x in each.values()]
        known = [(v["value"] if isinstance(v, Mapping) else v, n) for v, n in some]
        known = [(v, n) for v, n in known if v is not None and n > 0]
        n = sum(n for _, n in known)
        return sum(v * n for v, n in known) / n if n else None

    edges = ("expected_edge_bp", "realised_edge_bp", "realised_less_expected_bp")
    counts = ("decisions", "fills", "gamma_violations", "edge_fills")
    times = ("quote_seconds", "two_sided_seconds", "seconds")
    return {
        **{name: total(name) for name in (*counts, *times)},
        **{name: {"value": mean(name, "edge_fills"), "low": None, "high": None} for name in edges},
        "theta_below_gamma_share": mean("theta_below_gamma_share", "quote_seconds"),
    }


def _by_row(values: np.ndarray, index: np.ndarray, valid: np.ndarray, rows: int) -> np.ndarray:
    """`[frames, E, side]` on the rows of the tape."""
    out = np.zeros((rows, values.shape[2]), np.int64)
    out[index[valid]] = values[valid]
    return out
