"""`diffmm fit`: parameters of features and belief from recordings, by likelihood."""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import sys
from typing import Any

from . import tapes


OK, USAGE = 0, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("path", nargs="+", help="recordings of `<receive ns> <json>` lines, plain or .gz")
    add("--coin", required=True, metavar="C[,C...]", help="markets of each recording, pooled")
    add("--to", type=float, default=1.0, metavar="F", help="share of each recording to fit on")
    add("-o", "--out", required=True, metavar="DIR", help="checkpoint to write; must not exist")
    add("--set", action="append", default=[], metavar="P=V", help="one parameter to start from")
    add("--steps", type=int, help="of the gradient; 0 fits the index alone")
    add("--fills", action="store_true", help="the fill model too, by what became of probe quotes")
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
    from diffmm.training import apply, CheckpointError, fit, save

    if not 0 < args.to <= 1:
        raise ValueError(f"--to {args.to}, expected a share in (0, 1]")
    out = pathlib.Path(args.out)
    if out.exists():
        raise CheckpointError(f"{out} exists already; choose another folder or remove it")
    config = fit.Config() if args.steps is None else fit.Config(steps=args.steps)
    coins = args.coin.split(",")
    asked = [(path, coin) for path in args.path for coin in coins]
    given = [tapes.read(x, coin, args.reference, args.clock, args.books).tape for x, coin in asked]
    params = apply(defaults(graph.Params), args.set)
    params, found = fit.fit(params, given, args.to, config)
    if args.fills:
        # A fill is decided by how old what we know is when our order arrives: never without it.
        aged = [
            tapes.read(x, coin, args.reference, "receive", args.books).tape for x, coin in asked
        ]
        params, found["fills"] = _fills(params, aged, args.to)
    provenance = {
        "source": "diffmm fit",
        "tapes": {pathlib.Path(path).name: _digest(path) for path in args.path},
        "coins": coins,
        "reference": args.reference,
        "to": args.to,
        "clock": args.clock,
        "books": args.books,
        "set": args.set,
        "steps": config.steps,
        "fills": args.fills,
        "found": found,
        "version": importlib.metadata.version("diffmm"),
    }
    save(out, params, provenance)
    if args.json:
        sys.stdout.write(json.dumps(provenance) + "\n")
    sys.stderr.write(f"checkpoint {out}\n")
    return OK


def _fills(params: Any, tapes: Any, to: float) -> Any:
    from diffmm.core import defaults
    from diffmm.engine import graph
    from diffmm.simulation import hard_fills
    from diffmm.training import fill_fit

    config, engine, rule = fill_fit.Config(), graph.Config.default(), defaults(hard_fills.Params)
    samples = [fill_fit.sample(tape, params, rule, to, config, engine) for tape in tapes]
    return fill_fit.fit(params, samples, config, engine)


def _digest(path: str) -> str:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
