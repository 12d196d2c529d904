"""The JSON object of a run on a tape: replay and shadow session hand over the same types."""

import dataclasses
from typing import Any

import jax
import numpy as np

from diffmm import evaluation
from diffmm.engine.loop import Record
from diffmm.evaluation import decisions, Ledger, Markouts
from diffmm.evaluation.ledger import MONEY_DECIMALS
from diffmm.market import AccountInputs, Event, Tape
from diffmm.simulation import hard_fills


USD = 10**MONEY_DECIMALS


@dataclasses.dataclass(frozen=True)
class Scored:
    """A run taken apart, before it is written down.

    **Attributes:**

    - `record`: the decisions, stacked, as numpy.
    - `wakes`: the tape's rows at which they were made, stacked.
    - `prices`: of every row of the tape, exact.
    - `index`, `rows`: rows by frame, and how many rows the run used.
    - `fills`, `ledger`, `markouts`: of our orders.
    """

    record: Record
    wakes: Event
    prices: evaluation.Series
    index: np.ndarray
    rows: int
    fills: list[evaluation.Fill]
    ledger: Ledger
    markouts: Markouts


def score(tape: Tape, record: Record, account: AccountInputs) -> Scored:
    """Stream a run through the ledger and the markouts.

    Args:
        tape: the market.
        record: one entry a frame, from the first; it may stop before the tape does.
        account: gives the maker fee.

    Raises:
        ValueError: when there are more decisions than frames, or none.
    """
    record = jax.tree.map(np.asarray, record)
    n, index = len(record.lots), tape.frame_index()[0]
    if not 0 < n <= len(index):
        raise ValueError(f"{n} decisions on a tape of {len(index)} frames; pass the tape they saw")
    index = index[:n]
    prices = evaluation.series(tape)
    ours = evaluation.fills(prices, index, record.lots, record.lots_ticks)
    ledger = Ledger(tape.instrument, account.maker_fee_bp)
    markouts = Markouts()
    rows = int(index[-1, -1]) + 1
    evaluation.score(prices, ours, rows, ledger, markouts)
    wakes = tape.layout.unpack(tape.rows[index[:, -1]])
    return Scored(record, wakes, prices, index, rows, ours, ledger, markouts)


def summary(
    scored: Scored,
    rule: hard_fills.Params | None,
    account: AccountInputs,
    *,
    fill_on_touch: bool = False,
    events_per_s: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that `diffmm replay --json` prints of a run.

    Args:
        scored: the run.
        rule: the fill rule it ran under, `None` where a venue filled.
        account: the account it ran with.
        fill_on_touch: the rule's static choice.
        events_per_s: measured by whoever ran it.
        seed: of the bootstrap.
    """
    quotes = scored.record.quotes
    sides = evaluation.two_sided(
        scored.wakes, quotes.risk, quotes.surface, quotes.allocation, quotes.targets
    )
    estimates = scored.markouts.estimates(seed)
    return {
        "events": scored.rows,
        "decisions": len(scored.index),
        "two_sided_fraction": sides.fraction,
        "missing_side": {"main": sides.main_reason, **sides.missing},
        "quotes_digest": decisions.quotes_digest(quotes.targets.ticks, quotes.targets.lots),
        **money(scored.ledger),
        "markouts_bp": {h: dataclasses.asdict(x) for h, x in estimates.items()},
        "epnl_positive_share": _positive_share(scored),
        "gamma_violations": gamma_violations(scored),
        "nonfinite": decisions.nonfinite(quotes.health),
        "health": decisions.health_counts(quotes.health),
        "events_per_s": events_per_s,
        "fill_rule": None if rule is None else fill_rule(rule, fill_on_touch),
        "account": dataclasses.asdict(account),
    }


def money(ledger: Ledger) -> dict[str, Any]:
    """The ledger's part, for the status line too; the parts in 1e-8 USD sum exactly."""
    parts = ledger.pnl_parts_1e8
    return {
        "fills": ledger.fills,
        "max_abs_position_usd": ledger.most_abs_position_1e8 / USD,
        "pnl_usd": ledger.pnl_1e8 / USD,
        "pnl_parts": {name: x / USD for name, x in parts.items()},
        "pnl_parts_1e8": parts,
    }


def fill_rule(rule: hard_fills.Params, fill_on_touch: bool) -> dict[str, Any]:
    """The four parameters of the hard fills, rounded to what float32 means."""
    plain = lambda x: float(f"{float(x):.7g}")
    return {
        "order_latency_ms": plain(rule.order_latency_ms),
        "cancel_latency_ms": plain(rule.cancel_latency_ms),
        "queue_cancel_ahead": plain(rule.queue_cancel_ahead),
        "fill_on": "prints_or_touch" if fill_on_touch else "prints",
    }


def _positive_share(scored: Scored) -> dict[str, Any]:
    shares = evaluation.positive_share(
        scored.record.quotes.surface, scored.wakes, scored.record.seen.features.mid_bp
    )
    return {
        side: {name: dataclasses.asdict(x) for name, x in buckets.items()}
        for side, buckets in shares.items()
    }


def gamma_violations(scored: Scored) -> int:
    """Decisions after which our orders exceed the Gamma limit, see `evaluation.decisions`."""
    wake, record = scored.index[:, -1], scored.record
    return decisions.gamma_violations(
        record.standing_ticks,
        record.standing_lots,
        scored.prices.anchor[wake],
        scored.prices.tick[wake],
        scored.wakes,
        record.seen.belief,
        record.quotes.surface,
    )
