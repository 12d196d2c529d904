"""`diffmm validate pricing`: what the surface says of probe quotes, against hard fills of them."""

import argparse
import dataclasses
import json
import pathlib
import shlex
import sys
from typing import Any

from . import contest, markets
from .replay import account_inputs, fill_rule, load_params, say


RULES = {False: "prints", True: "prints_or_touch"}
"""What fills us, by whether the opposite touch does."""
LIFE_S = 5.0
"""Quote life at which the bars were set; the engine's own life is scored beside it."""
SEED_GAP_S = 120.0
"""Between the seeds of a world on the pooled time axis, so that no block holds two of them."""


def run(args: argparse.Namespace) -> int:
    """Score once and print; the exit code.

    Raises:
        ValueError: for arguments that cannot be followed.
    """
    if not 0 <= args.start < args.end <= 1:
        raise ValueError(f"--from {args.start} --to {args.end}, expected 0 <= from < to <= 1")
    _offsets(args.edge_offsets_bp)
    account = account_inputs(args)
    is_world = args.path is not None and markets.is_world(args.path)
    params = load_params(args.checkpoint, args.set, is_generated=is_world, world=args.path)
    rule = fill_rule(args)
    cancel_s = float(params.pricing.cancel_latency_s)
    if args.life_s <= cancel_s:
        raise ValueError(
            f"--life-s {args.life_s:g}, expected more than pricing.cancel_latency_s {cancel_s:g}"
        )
    found = markets.find(args, account)
    probed = probe(args, found, params, rule)
    told = {**_about(args, found, rule), **probed}
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    if args.html:
        from diffmm.report.pricing import write_pricing

        page = pathlib.Path(args.html)
        page.parent.mkdir(parents=True, exist_ok=True)
        write_pricing(page, told, shlex.join(["diffmm", *sys.argv[1:]]))
        say(f"page {page}")
    _words(told)
    return 0


def probe(
    args: argparse.Namespace, found: list[markets.Market], params: Any, rule: Any
) -> dict[str, Any]:
    """Every market's probes, scored one by one and pooled."""
    from diffmm.engine import graph, probe_run
    from diffmm.evaluation import bars, calibration, forecast, probe_scores

    own_s = float(params.pricing.cancel_latency_s + params.pricing.wake_interval_s)
    split, on_touch = args.queue_cancel_ahead, args.fill_on == RULES[True]
    config = probe_run.Config()
    config = dataclasses.replace(config, splits=tuple(sorted({*config.splits, split})))
    per_market, counts, offset_s = [], {}, 0.0
    for k, market in enumerate(found):
        known = forecast.path(market.tape)
        span_s = float(known.time_s[-1])
        # In a world V is the mean of any later V; on a recording a fill is judged by a later mid.
        marks = (
            probe_run.Marks(market.truth_bp, 0.0)
            if market.is_world
            else probe_run.marks_at_mid(known, args.mark_s or float(params.risk.holding_s))
        )
        out, told = probe_run.run_probes(
            market.tape,
            params,
            rule,
            marks,
            (args.life_s, own_s),
            probe_run.Window(args.start * span_s, args.end * span_s),
            config=config,
            engine=graph.Config.default(),
            takers_have_limits=market.is_world,
            group=k,
        )
        later = lambda o, by=offset_s: dataclasses.replace(o, time_s=o.time_s + by)
        per_market.append({key: later(o) for key, o in out.items()})
        counts[market.name] = told
        # Coins of one recording share its moves and so its blocks; seeds share nothing.
        offset_s += (span_s // SEED_GAP_S + 2) * SEED_GAP_S if market.is_world else 0.0

    join = probe_scores.Outcomes.join
    pooled = (
        per_market[0]
        if len(found) == 1
        else {key: join([one[key] for one in per_market]) for key in per_market[0]}
    )
    if not any(o.is_scored.any() for o in pooled.values()):
        raise ValueError(f"no probe between --from {args.start} and --to {args.end}: too short")

    def scored(of: dict[Any, Any], life_s: float) -> dict[str, Any]:
        at = lambda touch, s: of[probe_run.Rule(life_s, touch, s)]
        by_rule = {
            RULES[touch]: {
                f"{s:g}": probe_scores.scores(at(touch, s), args.seed) for s in config.splits
            }
            for touch in config.on_touch
        }
        head = at(on_touch, split)
        inside = head.where(head.is_scored)
        return {
            "life_s": round(life_s, 6),
            **by_rule[RULES[on_touch]][f"{split:g}"],
            "by_depth": probe_scores.by_depth(head),
            "calibration": calibration.curve(inside.p, inside.is_filled),
            "by_rule": by_rule,
        }

    coins = {}
    for market, one in zip(found, per_market, strict=True):
        own = scored(one, own_s)
        coins[market.name] = {
            **scored(one, args.life_s),
            "quote_life": own,
            "counts": {**counts[market.name], **market.counters},
        }
    whole, own = scored(pooled, args.life_s), scored(pooled, own_s)
    asked = bars.SYNTHETIC if found[0].is_world else bars.RECORDED
    judged = lambda x, of: bars.verdicts(asked, x, x["by_rule"], of)
    placed = None
    if not args.probes_only:
        key = probe_run.Rule(args.life_s, on_touch, split)
        placed = {
            market.name: contest.run(
                market,
                params,
                rule,
                account_inputs(args),
                (one[key], args.life_s),
                counts[market.name]["size_usd"],
                (args.start, args.end),
                on_touch=on_touch,
                seed=args.seed,
                offsets_bp=_offsets(args.edge_offsets_bp),
            )
            for market, one in zip(found, per_market, strict=True)
        }
    return {
        **whole,
        "quote_life": {
            **own,
            "verdicts": judged(own, {c: x["quote_life"] for c, x in coins.items()}),
        },
        "verdicts": judged(whole, coins),
        "coins": coins,
        "placed": placed,
    }


def _offsets(text: str | None) -> tuple[float, ...]:
    try:
        found = {float(x) for x in (text or "").split(",") if x.strip()}
    except ValueError as error:
        raise ValueError(f"--edge-offsets-bp {text!r}, expected numbers and commas") from error
    return tuple(sorted(found - {0.0}))


def _about(args: argparse.Namespace, found: list[markets.Market], rule: Any) -> dict[str, Any]:
    from diffmm.report import summary

    on_touch = args.fill_on == RULES[True]
    return {
        "market": pathlib.Path(args.path).name,
        "from": args.start,
        "to": args.end,
        "reference": args.reference,
        "books": args.books,
        "clock": args.clock,
        "fee_bp": args.fee_bp,
        "mark": "true V when filled"
        if found[0].is_world
        else f"mid {args.mark_s or 'risk.holding_s'} s after the fill",
        "fill_rule": summary.fill_rule(rule, on_touch),
        "intervals": "90 %, blocks of 60 s",
        "set": args.set,
    }


def _words(told: dict[str, Any]) -> None:
    shown = lambda x: "none" if x is None else f"{x:+.3f}"
    for life in (told, told["quote_life"]):
        for name in ("p_fill", "edge_given_fill", "expected_pnl"):
            x = life[name]
            say(
                f"{life['life_s']:g} s  {name:<16} slope {shown(x['slope'])} "
                f"[{shown(x['low'])}, {shown(x['high'])}]  n {x['n']}"
            )
        for name, x in life["verdicts"].items():
            say(f"{life['life_s']:g} s  {name:<24} {x['bar']}: {x['verdict']}")
    for coin, found in (told["placed"] or {}).items():
        for name, x in found["policies"].items():
            say(
                f"{coin:<12}{name:<20}{x['fills']:>6} fills  60 s net "
                f"{shown(x['markout_60s_bp']['value'])} bp  "
                f"{shown(x['markout_60s_usd_per_hour']['value'])} USD/h"
            )
