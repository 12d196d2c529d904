"""`diffmm tune`: the gradient beside searches without one, each on the same budget of events."""

import argparse
import datetime
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np

from . import costs
from .replay import say
from .train import prepare


OK, FAILED, USAGE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("-c", "--config", required=True, metavar="FILE", help="an experiment's .toml")
    add("--method", required=True, choices=["grad", "cma", "tpe", "random"])
    add("--budget", required=True, type=float, metavar="EVENTS", help="forward-equivalent events")
    add("--seed", type=int, default=0, help="of the search; worlds and draws are the experiment's")
    add("--set", action="append", default=[], metavar="P=V", help="one value of it otherwise")
    add("--out", default="checkpoints", metavar="DIR", help="where results are kept")
    add("--json", action="store_true", help="one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """Search once; the exit code."""
    from diffmm.training import CheckpointError, OverrideError
    from diffmm.training.experiment_file import ExperimentError
    from diffmm.training.searches import SearchError
    from diffmm.venues.world_io import WorldError

    try:
        return _run(args)
    except (
        CheckpointError,
        ExperimentError,
        OverrideError,
        SearchError,
        WorldError,
        ValueError,
    ) as error:
        say(f"error: {error}")
        return USAGE


def _run(args: argparse.Namespace) -> int:
    from diffmm.training import save, searches, train
    from diffmm.training.experiment_file import load

    experiment = load(pathlib.Path(args.config), args.set)
    given, told = prepare(experiment)
    is_grad, start = args.method == "grad", np.zeros(len(given.at.names))
    forwards = costs.forwards(given, start, experiment.objective) if is_grad else 1.0
    asked = searches.Asked(given, experiment, args.budget, forwards, args.seed)
    started, shown, curve = time.perf_counter(), 0.0, []
    last = searches.Spent(0.0, 0.0, start)
    for last in searches.search(args.method, asked):
        if last.charged < shown:
            continue
        shown = last.charged + args.budget / experiment.tune.looks
        curve.append(_point(given, experiment, last, time.perf_counter() - started))
        say(f"{last.charged:,.0f} of {args.budget:,.0f} events  {curve[-1]['hard_usd']:+.4f} USD")
    wall_s = time.perf_counter() - started
    if not curve:
        least = f"{asked.candidate_events:,.0f} events a candidate"
        raise ValueError(f"--budget {args.budget:g} does not pay for one round of {least}")
    result = {
        "experiment": experiment.experiment.name,
        "world": experiment.world.name,
        "method": args.method,
        "seed": args.seed,
        "budget": args.budget,
        "simulated": last.simulated,
        "charged": last.charged,
        "forwards_of_a_gradient": forwards if is_grad else None,
        "wall_s": round(wall_s, 1),
        **train.verdict(given, experiment, np.asarray(last.z)),
        "curve": curve,
    }
    folder = _folder(args, experiment)
    save(
        folder / "best",
        given.at.chosen(last.z, given.start),
        {"source": "diffmm tune", **told, "result": result},
    )
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    gain = result["gain_usd"]
    say(
        f"unseen paths, hard fills: {result['start_usd']:+.4f} -> {result['end_usd']:+.4f} USD, "
        f"gain {gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    )
    if args.json:
        sys.stdout.write(json.dumps(result) + "\n")
    return OK


def _point(given: Any, experiment: Any, at: Any, wall_s: float) -> dict[str, Any]:
    """What is recommended now, on paths that no search sees or selects by; not charged."""
    from diffmm.training import train

    value = train.worth(given, experiment, at.z, train.CURVE, experiment.tune.curve_paths)
    return {
        "simulated": at.simulated,
        "charged": at.charged,
        "wall_s": round(wall_s, 2),
        "hard_usd": value,
        "z": np.asarray(at.z, float).tolist(),
    }


def _folder(args: argparse.Namespace, experiment: Any) -> pathlib.Path:
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{stamp}-{args.method}-{args.seed}-{experiment.digest()}"
    path = pathlib.Path(args.out) / experiment.experiment.name / "tune" / name
    path.mkdir(parents=True)
    return path
