"""The one object that a session prints."""

import argparse
import dataclasses
from typing import Any

from diffmm.live import Core, End
from diffmm.live.quoter import Quoter
from diffmm.live.trader import Trader
from diffmm.market import AccountInputs
from diffmm.report import summary as report
from diffmm.simulation import hard_fills

from .source import Source


NOTHING = {
    "events": 0,
    "decisions": 0,
    "fills": 0,
    "max_abs_position_usd": 0.0,
    "gamma_violations": 0,
    "pnl_usd": 0.0,
    "pnl_parts": {},
    "pnl_parts_1e8": {},
    "health": {},
    "quotes_digest": None,
}
"""What a run without a single decision has to say."""


def summary(
    args: argparse.Namespace, found: Source, setup: Any, core: Core, end: End
) -> dict[str, Any]:
    """Mode and venue first, then what a replay of the same rows would print, then the session."""
    encoder = core.intake.encoder
    return {
        "mode": args.mode,
        "venue": found.label,
        "coin": found.instrument.coin,
        "reference": found.reference.coin if found.reference else None,
        "seed": args.seed,
        "speed": args.speed if args.speed < float("inf") else "inf",
        "fills_are": "modelled by the hard fill rule; no order was sent",
        **_scored(core, args.seed, setup.rule),
        "set": args.set,
        "intents": core.orders.intents,
        "latency_us": core.stepper.stopwatch.quantiles_us(),
        "faults": dict(core.faults),
        "counters": dataclasses.asdict(encoder.counters),
        "notices": dict(core.intake.notices),
        "journal": str(core.journal.path),
        "ended": end.name.lower(),
    }


def traded(
    args: argparse.Namespace, venue: str, core: Trader, account: AccountInputs, code: int
) -> dict[str, Any]:
    """A trading run: what its rows and decisions say, and what the exact ledger and books say."""
    at, held, seen = core.desk.at, core.books.balance, core.seen
    told = {
        "mode": args.mode,
        "venue": venue,
        "coin": at.coin,
        "seed": args.seed,
        "fills_are": "the venue's own",
        **_scored(core, args.seed),
        **report.money(core.ledger),
        "set": args.set,
        "intents": core.intents,
        "latency_us": core.stepper.stopwatch.quantiles_us(),
        "rejects": dict(core.desk.rejects),
        "gate_denials": dict(core.denials),
        "resting_at_exit": core.resting_at_exit,
        "is_confirmed": core.is_confirmed,
        "reconnects": core.wire.reconnects,
        "books": None if held is None else dataclasses.asdict(held),
        "venue_account": None if seen is None else dataclasses.asdict(seen),
        "ledger_equals_venue": seen is not None and core.books.difference(seen) is None,
        "dead_man": core.dead_man,
        "faults": dict(core.faults),
        "counters": dataclasses.asdict(core.intake.encoder.counters),
        "notices": dict(core.intake.notices),
        "exit_code": code,
    }
    return {**told, "account": dataclasses.asdict(account)}


def _scored(core: Quoter, seed: int, rule: hard_fills.Params | None = None) -> dict[str, Any]:
    if not core.decisions:
        return NOTHING
    scored = report.score(core.tape(), core.record(), core.account)
    told = report.summary(scored, rule, core.account, seed=seed)
    del told["events_per_s"]
    return told
