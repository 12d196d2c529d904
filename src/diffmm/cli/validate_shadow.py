"""`diffmm validate shadow`: were limits kept, and did the orders earn what was expected of them?"""

import argparse
import json
import pathlib
import sys
from typing import Any

from . import markets, runs
from .replay import account_inputs, fill_rule, load_params, say
from .validate_pricing import RULES


def run(args: argparse.Namespace) -> int:
    """Replay a tape or a run's journal, score it and print; the exit code.

    Raises:
        ValueError: for a recording, run or coin that is not there.
    """
    folder = _folder(args.path)
    told = _of_run(args, folder) if folder else _of_tapes(args)
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


def _folder(path: str | None) -> pathlib.Path | None:
    """The folder of a run, by path or by its name under `runs/live`."""
    if path is None:
        raise ValueError("give a recording, a world, or the folder of a run")
    for one in (pathlib.Path(path), runs.RUNS / path):
        if one.is_dir():
            return one
    return None


def _of_tapes(args: argparse.Namespace) -> dict[str, Any]:
    """A shadow replay of each coin, the first one's figures on top where there is only one."""
    from diffmm.engine import loop, stepper
    from diffmm.report import shadow

    account = account_inputs(args)
    found = markets.find(args, account)
    params = load_params(args.checkpoint, args.set, is_generated=found[0].is_world, world=args.path)
    rule = fill_rule(args)
    on_touch = args.fill_on == RULES[True]
    config = loop.Config.default(on_touch, takers_have_limits=found[0].is_world)
    each = {}
    for market in found:
        record = stepper.Stepper(params, rule, config).replay(market.tape.frames())
        each[market.name] = shadow.summary(market.tape, record, account, args.seed)
    return {
        "market": pathlib.Path(args.path).name,
        **shadow.pooled(each),
        "fills_are": "modelled by the hard fill rule; no order was sent",
        "fill_rule": shadow.fill_rule(rule, on_touch),
        "coins": each,
        "set": args.set,
    }


def _of_run(args: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """A run's journal again: its own account, parameters and fills, and the targets it chose."""
    from diffmm.live import rerun
    from diffmm.live.journal import JournalError
    from diffmm.report import shadow

    try:
        header, records = rerun.last_run(folder)
        if header.get("mode") == "shadow":
            return _of_lines(args, folder, header, records)
        tape, record, account = _again(header, records)
    except (rerun.RerunError, JournalError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{folder}: {error!s}; expected the folder of a run") from error
    return {
        "market": str(folder),
        **shadow.summary(tape, record, account, args.seed, fills_are_told=True),
        "fills_are": "the venue's own",
        "standing_is": "the targets of each decision",
        "set": header["set"],
    }


def _again(header: dict[str, Any], records: list[dict[str, Any]]) -> tuple[Any, Any, Any]:
    from diffmm.engine import loop, stepper
    from diffmm.live import rerun, Timed
    from diffmm.market import AccountInputs, EncoderConfig, Instrument
    from diffmm.venues.intake import Intake

    at = Instrument.hyperliquid(header["coin"], header["size_decimals"])
    account = AccountInputs(**header["account"])
    params = load_params(header["checkpoint"], header["set"], is_generated=False)
    steps = Timed(stepper.Stepper(params, None, loop.Config.default()))
    again = rerun.Rerun(steps, Intake(at, account, EncoderConfig()), account)
    again.run(records)
    if not again.decisions:
        raise rerun.RerunError("a run without a decision")
    return again.tape(), again.record(), account


def _of_lines(
    args: argparse.Namespace,
    folder: pathlib.Path,
    header: dict[str, Any],
    records: list[dict[str, Any]],
) -> dict[str, Any]:
    """A shadow session wrote down what it heard: the same lines, replayed."""
    from diffmm.engine import loop, stepper
    from diffmm.market import EncoderConfig
    from diffmm.report import shadow
    from diffmm.venues import tape_io

    lines = [f"{x['ns']} {x['raw']}" for x in records if x["t"] == "line"]
    known = tape_io.universe(lines)
    if header["coin"] not in known:
        raise ValueError(f"{folder}: no book of {header['coin']!r} in its journal")
    account, rule = account_inputs(args), fill_rule(args)
    tape, _, _ = tape_io.encode(lines, known[header["coin"]], account, EncoderConfig())
    on_touch = args.fill_on == RULES[True]
    named = args.checkpoint or header.get("checkpoint")
    params = load_params(named, args.set, is_generated=False)
    steps = stepper.Stepper(params, rule, loop.Config.default(on_touch))
    return {
        "market": str(folder),
        **shadow.summary(tape, steps.replay(tape.frames()), account, args.seed),
        "fills_are": "modelled by the hard fill rule; no order was sent",
        "fill_rule": shadow.fill_rule(rule, on_touch),
        "set": args.set,
    }


def _words(told: dict[str, Any]) -> None:
    shown = lambda x: "none" if x["value"] is None else f"{x['value']:+.3f}"
    say(
        f"{told['market']}: gamma violations {told['gamma_violations']}, expected edge "
        f"{shown(told['expected_edge_bp'])} bp, realised {shown(told['realised_edge_bp'])} bp, "
        f"{told['quote_seconds']:.0f} s quoted"
    )
