"""`diffmm fit`: features, belief and fills from recordings or worlds, by likelihood."""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import sys
from typing import Any

from . import markets, tapes


OK, USAGE = 0, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add(
        "path", nargs="+", help="recordings of `<receive ns> <json>` lines, plain or .gz; or worlds"
    )
    add("--coin", metavar="C[,C...]", help="markets of each recording, pooled")
    add("--to", type=float, default=1.0, metavar="F", help="share of each recording to fit on")
    add("-o", "--out", required=True, metavar="DIR", help="checkpoint to write; must not exist")
    add("--set", action="append", default=[], metavar="P=V", help="one parameter to start from")
    add("--steps", type=int, help="of the gradient; 0 fits the index alone")
    add("--fills", action="store_true", help="the fill model too, by what became of probe quotes")
    add(
        "--rounds",
        type=int,
        default=1,
        metavar="N",
        help="fits of the fills, each on what the belief makes of the one before; default 1",
    )
    add("--private", action="store_true", help="with private information, as --set says of it")
    add("--trend", action="store_true", help="with a trend, fitted on the drifts of worlds")
    add("--seed", type=int, default=100, help="of a world: of its first run")
    add("--seeds", type=int, default=1, help="of a world: runs, from --seed on")
    add("--for", dest="for_s", type=float, metavar="SECONDS", help="length of a world")
    add("--json", action="store_true", help="one object on one line of stdout")
    tapes.add_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Fit once and write the checkpoint; the exit code."""
    from diffmm.training import CheckpointError, OverrideError
    from diffmm.venues.tape_io import TapeError

    try:
        return _run(args)
    except (CheckpointError, OverrideError, TapeError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE


def _run(args: argparse.Namespace) -> int:
    from diffmm.core import defaults
    from diffmm.engine import graph
    from diffmm.training import (
        apply,
        CheckpointError,
        fit,
        save,
        trend_fit,
        with_private,
        with_trend,
    )

    if not 0 < args.to <= 1:
        raise ValueError(f"--to {args.to}, expected a share in (0, 1]")
    out = pathlib.Path(args.out)
    if out.exists():
        raise CheckpointError(f"{out} exists already; choose another folder or remove it")
    config = fit.Config() if args.steps is None else fit.Config(steps=args.steps)
    if args.rounds < 1:
        raise ValueError(f"--rounds {args.rounds}, expected at least 1")
    is_world = [markets.is_world(path) for path in args.path]
    if any(is_world) and not all(is_world):
        raise ValueError("found recordings beside worlds, expected one kind: fit them apart")
    if args.trend and not any(is_world):
        raise ValueError(
            "found --trend with recordings, which do not tell their drift: give worlds"
        )
    if not any(is_world) and not args.coin:
        raise ValueError("--coin is missing; a recording may hold several markets")
    coins = args.coin.split(",") if args.coin else []
    params = defaults(graph.Params)
    params = with_private(params) if args.private else params
    params = apply(with_trend(params) if args.trend else params, args.set)
    if any(is_world):
        found_in, aged = _worlds(args)
        given = [market.tape for market in found_in]
        truths = [market.truth_bp for market in found_in]
    else:
        asked = [(path, coin) for path in args.path for coin in coins]
        read = lambda clock: [
            tapes.read(x, coin, args.reference, clock, args.books).tape for x, coin in asked
        ]
        given, truths = read(args.clock), [None] * len(asked)
        # A fill is decided by how old what we know is when our order arrives: never without it.
        aged = read("receive") if args.fills else []
    params, found = fit.fit(params, given, args.to, config)
    if args.trend:
        drifts = [market.drift_bp_s for market in found_in]
        params, found["trend"] = trend_fit.fit(params, given, drifts, args.to, trend_fit.Config())
    if args.fills:
        known = list(zip(aged, truths, strict=True))
        for _ in range(args.rounds):
            params, found["fills"] = _fills(params, known, args.to)
    provenance = {
        "source": "diffmm fit",
        "tapes": _sources(args),
        "coins": coins,
        "reference": args.reference,
        "to": args.to,
        "clock": args.clock,
        "books": args.books,
        "set": args.set,
        "steps": config.steps,
        "fills": args.fills,
        "rounds": args.rounds,
        "private": args.private,
        "trend": args.trend,
        "found": found,
        "version": importlib.metadata.version("diffmm"),
    }
    save(out, params, provenance)
    if args.json:
        sys.stdout.write(json.dumps(provenance) + "\n")
    sys.stderr.write(f"checkpoint {out}\n")
    return OK


def _worlds(args: argparse.Namespace) -> tuple[list[markets.Market], list[Any]]:
    """Every world's runs, and their tapes: a world's clock is the receive clock."""
    from diffmm.market import AccountInputs

    named = [argparse.Namespace(**{**vars(args), "path": path}) for path in args.path]
    found = [market for one in named for market in markets.find(one, AccountInputs())]
    return found, [market.tape for market in found]


def _sources(args: argparse.Namespace) -> dict[str, Any]:
    """What each recording or world was: its digest, or its runs."""
    runs = {"seed": args.seed, "seeds": args.seeds, "for_s": args.for_s}
    return {
        pathlib.Path(path).name: runs if markets.is_world(path) else _digest(path)
        for path in args.path
    }


def _fills(params: Any, told: list[tuple[Any, Any]], to: float) -> Any:
    from diffmm.core import defaults
    from diffmm.engine import graph
    from diffmm.simulation import hard_fills
    from diffmm.training import fill_fit

    config, engine, rule = fill_fit.Config(), graph.Config.default(), defaults(hard_fills.Params)
    samples = [
        fill_fit.sample(tape, params, rule, to, config, engine, truth_bp=truth)
        for tape, truth in told
    ]
    return fill_fit.fit(params, samples, config, engine)


def _digest(path: str) -> str:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
