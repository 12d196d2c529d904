"""`diffmm validate unwind`: inventory and PnL with the unwind policy and without, market by market.

The tables are estimated on the part of every market before `--from`, from the run without them, and
both runs are scored on the part after.
"""

import argparse
import json
import pathlib
import sys
from typing import Any

from . import markets
from .replay import account_inputs, fill_rule, load_params, say
from .validate_pricing import RULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this part takes."""
    parser.add_argument(
        "--out", metavar="DIR", help="of unwind, flow-type: checkpoint with what was fitted"
    )


def run(args: argparse.Namespace) -> int:
    """Run every market twice, score and print; the exit code.

    Raises:
        ValueError: for arguments that cannot be followed.
    """
    if not 0 < args.start < args.end <= 1:
        raise ValueError(f"--from {args.start} --to {args.end}, expected 0 < from < to <= 1")
    if args.out and pathlib.Path(args.out).exists():
        raise ValueError(f"{args.out} exists already; choose another folder or remove it")
    told = _compared(args)
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


def _compared(args: argparse.Namespace) -> dict[str, Any]:
    from diffmm.engine import loop, stepper
    from diffmm.evaluation import unwind as evaluation
    from diffmm.learning import unwind as learning
    from diffmm.report import summary
    from diffmm.risk import unwind
    from diffmm.training import save, with_unwind

    account, rule = account_inputs(args), fill_rule(args)
    found = markets.find(args, account)
    plain = load_params(args.checkpoint, args.set, is_generated=found[0].is_world, world=args.path)
    if plain.risk.unwind is not None:
        raise ValueError("this checkpoint has an unwind policy already; give one without")
    on_touch, prior = args.fill_on == RULES[True], learning.Config()
    config = loop.Config.default(on_touch, takers_have_limits=found[0].is_world)

    def runs(params: Any, *, is_first: bool) -> tuple[list[Any], list[Any]]:
        step = stepper.step_of(params, rule, config).compile()
        paths, counted = [], []
        for market in found:
            record = stepper.Stepper(params, rule, config, step).replay(market.tape.frames())
            paths.append(_path(args, market.tape, record))
            kind, pnl = "without" if is_first else "with", paths[-1].scores["pnl_usd"]
            say(f"{market.name} {kind}: pnl {pnl:+.2f} USD")
            if is_first:
                before = _window(market.tape, 0.0, args.start)
                fee = account.maker_fee_bp
                counted.append(learning.gather(market.tape, record, params, before, fee, prior))
        return paths, counted

    without, counted = runs(plain, is_first=True)
    evidence = counted[0]
    for one in counted[1:]:
        evidence = evidence + one
    problem = learning.problem(evidence, plain, account, prior)
    params = with_unwind(plain, unwind.tables(problem))
    with_it, _ = runs(params, is_first=False)
    about = {
        "market": pathlib.Path(args.path).name,
        "from": args.start,
        "to": args.end,
        "fee_bp": args.fee_bp,
        "wealth_usd": args.wealth_usd,
        "fill_rule": summary.fill_rule(rule, on_touch),
        "set": args.set,
    }
    if args.out:
        save(pathlib.Path(args.out), params, {"source": "diffmm validate unwind", **about})
    pairs = zip(found, without, with_it, strict=True)
    return {
        **about,
        **evaluation.compare(without, with_it, args.seed),
        "intervals": "90 %, markets resampled",
        "problem": {k: x.tolist() for k, x in vars(problem).items()},
        "coins": {m.name: {"without": a.scores, "with": b.scores} for m, a, b in pairs},
    }


def _window(tape: Any, start: float, end: float) -> Any:
    import numpy as np

    from diffmm.evaluation import placed

    span_s = float(np.sum(tape.events().dt_s, dtype=np.float64))
    return placed.Window(start * span_s, end * span_s)


def _path(args: argparse.Namespace, tape: Any, record: Any) -> Any:
    from diffmm.evaluation import placed, unwind
    from diffmm.learning.unwind import fills_of

    fills, known = fills_of(tape, record)
    window = _window(tape, args.start, args.end)
    scores = placed.scores(known, fills, window, args.fee_bp, args.seed)
    return unwind.Path(placed.inventory_usd(known, fills, window), scores)


def _words(told: dict[str, Any]) -> None:
    shown = lambda x: "none" if x is None else f"{x:,.4g}"
    half = told["inventory_half_life_s"]
    change = "none" if half["change"] is None else f"{100 * half['change']:+.0f} %"
    say(f"half-life s {shown(half['without'])} -> {shown(half['with'])} ({change})")
    for name in ("reversion_per_s", "rms_inventory_usd", "pnl_usd"):
        x = told[name]
        say(
            f"{name} {shown(x['without'])} -> {shown(x['with'])}, difference "
            f"{shown(x['difference'])} [{shown(x['low'])}, {shown(x['high'])}]"
        )
    for name, x in told["coins"].items():
        a, b = x["without"], x["with"]
        said = ", ".join(
            f"{key} {shown(a[key])} -> {shown(b[key])}"
            for key in ("inventory_half_life_s", "pnl_usd", "drawdown_usd", "fills")
        )
        say(f"{name:<16}{said}")
