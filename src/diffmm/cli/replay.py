"""`diffmm replay`: the engine on a recording or a world, orders filled by the hard rule."""

import argparse
import json
import pathlib
import shlex
import sys
import time
from typing import Any

from . import checkpoints


OK, USAGE = 0, 2
CADENCES = {"full": None, "5@0.5s": (5, 0.5), "20@5s": (20, 5.0)}
"""Levels and seconds between books, by the name of the cadence."""


def add_account_arguments(parser: argparse.ArgumentParser) -> None:
    """Inputs of the account, which are no parameters of the engine."""
    add = parser.add_argument
    add("--fee-bp", type=float, default=1.5, help="maker fee, a rebate is negative")
    add("--wealth-usd", type=float, default=100_000.0)
    add("--room-usd", type=float, default=20_000.0, help="inventory room")
    add("--gamma-limit-usd", type=float, default=0.2)


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """The four numbers of the hard fills."""
    add = parser.add_argument
    add("--order-latency-ms", type=float, default=350.0)
    add("--cancel-latency-ms", type=float, default=350.0)
    add("--queue-cancel-ahead", type=float, default=0.5, help="share of cancels in front of us")
    add("--fill-on", choices=["prints", "prints_or_touch"], default="prints")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("path", nargs="?", help="recording of `<receive ns> <json>` lines, plain or .gz; or a run")
    add("--world", help="generative world in place of a recording: a name or a .toml file")
    add("--seed", type=int, default=0, help="of the world, the bootstrap and the learner's draws")
    add("--for", dest="for_s", type=float, metavar="SECONDS", help="length of a world")
    add("--coin", help="market; not needed for a world")
    add("--reference", metavar="COIN", help="market of the same recording that leads")
    add(
        "--checkpoint",
        metavar="DIR|NAME",
        help="parameters; default checkpoints/default, of a world of_world/NAME or worlds there",
    )
    add("--set", action="append", default=[], metavar="P=V", help="one parameter otherwise")
    add("--books", choices=CADENCES, default="full", help="thin the books to a cadence")
    add_rule_arguments(parser)
    add("--learn", action="store_true", help="nine counterfactual rows and their weights")
    add(
        "--portfolio",
        choices=["shared", "apart"],
        help="several coins (--coin A,B or --world A,B), one budget; apart: only measured together",
    )
    add("--correlation", action="append", default=[], metavar="P=V", help="memory_s, clock_s, tail")
    add("--json", action="store_true", help="one object on one line of stdout")
    add("--html", metavar="OUT", help="write a self-contained page")
    add_account_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Replay once; the exit code."""
    from diffmm.training import CheckpointError, OverrideError
    from diffmm.venues.tape_io import TapeError
    from diffmm.venues.world_io import WorldError

    from . import portfolio, rerun

    if args.path and pathlib.Path(args.path).is_dir():
        return rerun.main(args, pathlib.Path(args.path))
    try:
        return portfolio.run(args) if args.portfolio else _run(args)
    except (CheckpointError, OverrideError, TapeError, WorldError) as error:
        say(f"error: {error}")
        return USAGE


def _run(args: argparse.Namespace) -> int:
    from diffmm.engine import loop, stepper
    from diffmm.report import summary as report

    account = account_inputs(args)
    tape, told, _ = find_tape(args, account)
    on_touch = args.fill_on == "prints_or_touch"
    config = loop.Config.default(on_touch, takers_have_limits=bool(args.world))
    params = load_params(args.checkpoint, args.set, is_generated=bool(args.world), world=args.world)
    rule = fill_rule(args)
    steps = stepper.Stepper(params, rule, config)
    started = time.perf_counter()
    record = steps.replay(tape.frames())
    events_per_s = len(tape.rows) / (time.perf_counter() - started)
    scored = report.score(tape, record, account)
    summary = report.summary(
        scored,
        rule,
        account,
        fill_on_touch=on_touch,
        events_per_s=round(events_per_s),
        seed=args.seed,
    )
    summary = {**told, **summary, "set": args.set}
    learner = None
    if args.learn:
        learner, summary["learner"] = learn(args, tape, params, rule, config)
    _write(args, summary, tape, scored.record, learner)
    return OK


def account_inputs(args: argparse.Namespace) -> Any:
    """The account that the arguments ask for."""
    from diffmm.market import AccountInputs

    return AccountInputs(
        wealth_usd=args.wealth_usd,
        room_usd=args.room_usd,
        gamma_limit_usd=args.gamma_limit_usd,
        maker_fee_bp=args.fee_bp,
    )


def _write(args: argparse.Namespace, summary: Any, tape: Any, record: Any, learner: Any) -> None:
    if args.html:
        from diffmm.report import write_page

        page = pathlib.Path(args.html)
        page.parent.mkdir(parents=True, exist_ok=True)
        write_page(
            page,
            title=f"{tape.instrument.coin} on {summary['market']}",
            mode="replay",
            summary=summary,
            tape=tape,
            record=record,
            learner=learner,
            reproduce=shlex.join(["diffmm", *sys.argv[1:]]),
        )
        say(f"page {page}")
    if args.json:
        sys.stdout.write(json.dumps(summary) + "\n")
    two = summary["two_sided_fraction"]
    say(
        f"{summary['market']} {summary['coin']}: {summary['events']} events, "
        f"{summary['decisions']} decisions, two-sided {two if two is None else round(two, 3)}, "
        f"{summary['fills']} modelled fills, pnl {summary['pnl_usd']:+.2f} USD "
        + " ".join(f"{name} {x:+.2f}" for name, x in summary["pnl_parts"].items())
    )


def find_tape(args: argparse.Namespace, account: Any) -> tuple[Any, dict[str, Any], int]:
    """The market as rows, what is to be said of it, and the receive time of its last row in ns."""
    import dataclasses

    from diffmm.market import EncoderConfig
    from diffmm.venues import tape_io, world_io

    if bool(args.path) == bool(args.world):
        raise tape_io.TapeError(
            f"found path {args.path!r} and world {args.world!r}; give a recording or --world NAME"
        )
    if args.world:
        from diffmm.simulation import generative

        world = world_io.load_world(args.world)
        market = generative.simulate(world, args.seed, args.for_s)
        tape, encoder = generative.tape(market, account, EncoderConfig())
        notices: dict[str, int] = {}
        name = f"world {args.world}, seed {args.seed}"
    else:
        lines = list(tape_io.read_lines(pathlib.Path(args.path)))
        known = tape_io.universe(lines)
        coin = tape_io.named(known, args.coin or "")
        reference = tape_io.named(known, args.reference) if args.reference else None
        reference = reference if reference != coin else None
        for one in filter(None, (coin, reference)):
            if one not in known:
                raise tape_io.TapeError(f"no coin {one!r} in {args.path}; it has {sorted(known)}")
        if not coin:
            raise tape_io.TapeError(f"--coin is missing; {args.path} has {sorted(known)}")
        if cadence := CADENCES[args.books]:
            lines = list(tape_io.thin(lines, *cadence))
        tape, encoder, notices = tape_io.encode(
            lines,
            known[coin],
            account,
            EncoderConfig(),
            known[reference] if reference else None,
        )
        name = pathlib.Path(args.path).name
    told = {
        "market": name,
        "coin": tape.instrument.coin,
        "reference": args.reference,
        "books": args.books,
        "counters": dataclasses.asdict(encoder.counters),
        "notices": dict(notices),
    }
    return tape, told, encoder.now_ns


def load_params(
    checkpoint: str | None, settings: list[str], *, is_generated: bool, world: str | None = None
) -> Any:
    """A checkpoint's parameters, by default those shipped for the market, with settings on top."""
    named = checkpoints.for_market(checkpoint, is_generated=is_generated, world=world)
    return checkpoints.load(named, settings)[0]


def fill_rule(args: argparse.Namespace) -> Any:
    """The hard fills that the arguments ask for."""
    from diffmm.core import defaults
    from diffmm.simulation import hard_fills
    from diffmm.training import apply

    names = ("order_latency_ms", "cancel_latency_ms", "queue_cancel_ahead")
    return apply(defaults(hard_fills.Params), [f"{x}={getattr(args, x)}" for x in names])


def learn(
    args: argparse.Namespace, tape: Any, params: Any, rule: Any, config: Any, round_s: int = 60
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the page draws, and what the JSON object holds."""
    from diffmm.learning import counterfactual

    chosen = counterfactual.Config(seed=args.seed, round_s=round_s)
    found = counterfactual.run(tape, params, rule, config, args.fee_bp, chosen)
    drawn = {
        "offsets_bp": found.offsets_bp,
        "weights": found.weights,
        "times": [chosen.round_s * k for k in range(len(found.weights))],
        "regret": found.regret,
        "bound": found.bound,
    }
    told = {
        "offsets_bp": list(found.offsets_bp),
        "rounds": len(found.weights),
        "final_weights": [float(x) for x in found.weights[-1]],
        "best_offset_bp": found.offsets_bp[found.best],
        "regret": found.regret,
        "bound": found.bound,
        "played_pnl_usd": found.played_pnl_usd,
    }
    return drawn, told


def say(words: str) -> None:
    """Words go to stderr; stdout is for the object."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()
