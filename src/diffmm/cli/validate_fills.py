"""`diffmm validate fills`: our hard fills beside hftbacktest's, for the same orders on one tape."""

import argparse
import dataclasses
import functools as ft
import json
import pathlib
import sys
from typing import Any

from .replay import say


NS_PER_MS = 1_000_000
AT_ONCE_S = 1e-9
"""A pairing time under which nothing is paired."""
TRADES = '"channel":"trades"'
OTHER_TIME = "both fill the order, farther apart than a quantum"
REFUSED = "the referee refused it as crossing"
UNKNOWN = "not explained"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this validation takes."""
    add = parser.add_argument
    add("--latency-ms", type=float, default=50.0, help="of fills: an order's and a cancel's")
    add("--every-s", type=float, default=5.0, help="of fills: from one order to the next")
    add("--stand-s", type=float, default=4.0, help="of fills: until an order's cancel is sent")


def run(args: argparse.Namespace) -> int:
    """Compare once and print; the exit code.

    Raises:
        ValueError: for a missing package, path or coin, or orders that would overlap.
    """
    from diffmm.evaluation import fill_match
    from diffmm.market import AccountInputs, EncoderConfig
    from diffmm.simulation import scripted
    from diffmm.venues import referee, tape_io

    if not args.path:
        raise ValueError("fills are compared on a recording; give its path")
    hft, _ = referee.load()
    raw = list(tape_io.read_lines(pathlib.Path(args.path)))
    instrument = _market(tape_io.universe(raw), args.coin, args.path)
    # What happened in one millisecond is read as it must have: prints, then the display after them.
    lines = tape_io.on_exchange_clock(raw)
    lines.sort(key=lambda x: (tape_io.split(x)[0], TRADES not in x))
    tape, encoder, _ = tape_io.encode(
        lines, instrument, AccountInputs(), EncoderConfig(base_latency_s=0.0)
    )
    config = scripted.Config(args.every_s, args.stand_s)
    script = scripted.join_the_touch(tape, args.latency_ms, config)
    if not len(script):
        raise ValueError(
            f"{args.path} has no two-sided book to join between its first and last 5 s"
        )
    now = scripted.times_ms(tape)
    start_ns = encoder.now_ns - int(now[-1]) * NS_PER_MS
    theirs, refused = referee.fills(
        referee.events(lines, instrument, hft),
        script,
        start_ns,
        min(tick for _, _, tick in tape.anchors),
        args.latency_ms,
    )
    ours = ft.partial(_ours, tape, script, args.latency_ms)
    alike = ours(Rule())
    compare = lambda fills: fill_match.compare(fills, theirs, args.latency_ms, _mark(tape))
    told = {
        "market": pathlib.Path(args.path).name,
        "coin": instrument.coin,
        "n": len(script),
        "latency_ms": args.latency_ms,
        "every_s": args.every_s,
        "stand_s": args.stand_s,
        **compare(alike),
        "unmatched": _unmatched(alike, theirs, refused, args.latency_ms),
        "otherwise": [
            {"setting": dataclasses.asdict(rule), **compare(ours(rule))} for rule in OTHERS
        ],
    }
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


@dataclasses.dataclass(frozen=True)
class Rule:
    """Settings of our rule; the defaults are those of the referee.

    **Attributes:**

    - `fill_on_touch`: the opposite best that reaches our price fills.
    - `queue_cancel_ahead`: share of unexplained decreases that was in front.
    - `pairing_s`: how long after the display fell a print still explains it.
    """

    fill_on_touch: bool = True
    queue_cancel_ahead: float = 0.0
    pairing_s: float = AT_ONCE_S


OTHERS = (Rule(pairing_s=1.0), Rule(fill_on_touch=False), Rule(queue_cancel_ahead=0.5))
"""Each of the three ways in which the rule of a replay is another, alone."""


def _market(known: dict[str, Any], coin: str | None, path: str) -> Any:
    from diffmm.venues import tape_io

    if coin is None and len(known) == 1:
        return next(iter(known.values()))
    name = tape_io.named(known, coin) if coin else None
    if name not in known:
        raise ValueError(f"{path} has {sorted(known)}, found --coin {coin}; name one of them")
    return known[name]


def _ours(tape: Any, script: Any, latency_ms: float, rule: Rule) -> Any:
    import equinox as eqx
    import jax.numpy as jnp

    from diffmm.core import defaults
    from diffmm.engine import run as runners
    from diffmm.simulation import scripted

    declared = defaults(scripted.Params)
    params = eqx.tree_at(
        lambda p: (p.order_latency_ms, p.cancel_latency_ms, p.queue_cancel_ahead, p.pairing_s),
        declared,
        tuple(
            jnp.asarray(x, declared.pairing_s.dtype)
            for x in (latency_ms, latency_ms, rule.queue_cancel_ahead, rule.pairing_s)
        ),
    )
    rows = (tape.rows, scripted.sent(script, len(tape.rows)))
    stage = scripted.stage(rule.fill_on_touch)
    filled = runners.watch(stage, params, rows, unpack=_unpack(tape.layout))
    return scripted.fills(tape, script, filled)


@ft.cache
def _unpack(layout: Any) -> Any:
    return lambda row: (layout.unpack(row[0]), row[1])


def _mark(tape: Any) -> float:
    """Mid at the end, price units."""
    import numpy as np

    from diffmm.simulation import scripted

    book = tape.events().book
    last = np.flatnonzero(np.asarray(book.is_valid)[:, :, 0].all(axis=1))[-1]
    ticks = np.asarray(book.ticks)[last, :, 0]
    return float(scripted.prices(tape, np.array([last, last]), ticks).mean())


def _unmatched(ours: Any, theirs: Any, refused: Any, latency_ms: float) -> list[dict[str, Any]]:
    """How many fills of either account have no partner, by cause."""
    import collections

    from diffmm.evaluation import fill_match

    mine, other = fill_match.match(ours, theirs, latency_ms)
    both = set(ours.order.tolist()) & set(theirs.order.tolist())
    crossing = set(refused.tolist())
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for who, orders in (("ours", ours.order[mine < 0]), ("theirs", theirs.order[other < 0])):
        for order in orders.tolist():
            known = REFUSED if order in crossing else UNKNOWN
            counts[who, OTHER_TIME if order in both else known] += 1
    return [{"who": who, "cause": cause, "n": n} for (who, cause), n in counts.items()]


def _words(told: dict[str, Any]) -> None:
    share = "none" if told["matched_share"] is None else f"{100 * told['matched_share']:.2f} %"
    say(
        f"{told['coin']}  {told['n']} orders: ours {told['ours']} fills, the referee's "
        f"{told['theirs']}, matched {share}, in the same millisecond {told['same_millisecond']}"
    )
    if told["pnl_difference_bp"] is not None:
        say(f"PnL apart by {told['pnl_difference_bp']:+.4f} bp of traded notional")
    for one in told["unmatched"]:
        say(f"  only {one['who']}: {one['n']}  {one['cause']}")
    for one in told["otherwise"]:
        if one["matched_share"] is not None:
            say(f"  with {one['setting']}: matched {100 * one['matched_share']:.2f} %")
