"""`diffmm train`: parameters moved uphill by the gradient through the fills of a world."""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import platform
import shlex
import subprocess
import sys
import time
from typing import Any

from . import checkpoints
from .replay import say


OK, FAILED, USAGE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("-c", "--config", required=True, metavar="FILE", help="an experiment's .toml")
    add("--set", action="append", default=[], metavar="P=V", help="one value of it otherwise")
    add("--steps", type=int, metavar="N", help="the same as --set train.steps=N")
    add("--out", default="checkpoints", metavar="DIR", help="where runs are kept")
    add(
        "--resume",
        default="auto",
        metavar="auto|never|RUN",
        help="go on with the newest run of the same experiment that has not ended, or with one",
    )
    add("--devices", type=int, default=1, metavar="N", help="share the paths of a step out")
    add("--coordinator", metavar="HOST:PORT", help="of the first process, to share a run with it")
    add("--processes", type=int, default=1, metavar="N", help="which share the run, one a host")
    add("--process", type=int, default=0, metavar="I", help="which of them; 0 keeps the files")
    add("--json", action="store_true", help="one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """Train once; the exit code."""
    from diffmm.training import CheckpointError, OverrideError
    from diffmm.training.experiment_file import ExperimentError
    from diffmm.training.objective import RuinError
    from diffmm.training.train import TrainingError
    from diffmm.venues.world_io import WorldError

    try:
        return _run(args)
    except (TrainingError, RuinError) as error:
        say(f"error: {error}")
        return FAILED
    except (CheckpointError, ExperimentError, OverrideError, WorldError, ValueError) as error:
        say(f"error: {error}")
        return USAGE


def _run(args: argparse.Namespace) -> int:
    from diffmm.training import train
    from diffmm.training.experiment_file import load
    from diffmm.training.hosts import Follower, Leader

    more = [] if args.steps is None else [f"train.steps={args.steps}"]
    experiment = load(pathlib.Path(args.config), [*args.set, *more])
    devices = _meet(args)
    given, told = prepare(experiment, devices)
    if args.process:
        train.run(given, experiment, Follower(), lambda line: None)
        return OK
    folder = _folder(args, experiment, told)
    if args.processes > 1:
        folder = Leader(folder.path)
    say(f"run {folder.path}")
    progress = Progress(given, experiment.train.steps)
    try:
        result = train.run(given, experiment, folder, progress.tell)
    except (train.TrainingError, ValueError) as error:
        folder.put("FAILED.json", {"error": str(error)})
        raise
    lines = list(folder.lines())
    audits = [x["z"] for x in lines if x["kind"] == "audit"]
    result = {
        "experiment": experiment.experiment.name,
        "run": str(folder.path),
        "world": experiment.world.name,
        **result,
        "largest_audit_z": max(map(abs, audits), default=None),
        "wall_s": round(progress.wall_s(), 1),
        "events_per_s": round(progress.rate()),
    }
    best = given.at.chosen(_best(lines, given), given.start)
    folder.keep_best(best, {"source": "diffmm train", **told, "result": result})
    _page(args, experiment, folder, result, lines)
    folder.put("DONE", result)
    _words(result)
    if args.json:
        sys.stdout.write(json.dumps(result) + "\n")
    return OK


def _meet(args: argparse.Namespace) -> int:
    """How many devices share the paths, the other processes' among them."""
    if args.coordinator is None:
        if (args.processes, args.process) != (1, 0):
            raise ValueError("--processes and --process, expected --coordinator HOST:PORT too")
        return args.devices
    import jax

    from diffmm.training.hosts import Hosts

    Hosts(args.coordinator, args.processes, args.process).join()
    return len(jax.devices())


def prepare(experiment: Any, devices: int = 1) -> tuple[Any, dict[str, Any]]:
    """The problem of an experiment, and where all of it comes from.

    Raises:
        ValueError: for something that is not there.
    """
    import jax
    import msgspec

    from diffmm.training import train
    from diffmm.venues import world_io

    world = world_io.load_world(experiment.world.name)
    start = checkpoints.of_experiment(experiment)
    found = jax.devices()
    if not 1 <= devices <= len(found):
        raise ValueError(f"--devices {devices}, expected 1 to {len(found)}, which are here")
    shared = found[:devices] if devices > 1 else None
    text = json.dumps(msgspec.to_builtins(world), sort_keys=True)
    told = {
        "experiment": experiment.plain(),
        "world_sha256": _digest(text.encode()),
        "versions": {
            name: importlib.metadata.version(name) for name in ("diffmm", "jax", "jaxlib", "optax")
        },
        "python": platform.python_version(),
        "devices": [f"{x.platform} {x.device_kind}" for x in found[:devices]],
        "commit": _commit(),
    }
    return train.problem(experiment, world, start, shared), told


def _folder(args: argparse.Namespace, experiment: Any, told: dict[str, Any]) -> Any:
    """The run that is gone on with, or a new one."""
    from diffmm.training.run_folder import RunFolder

    root = pathlib.Path(args.out)
    if args.resume not in ("auto", "never"):
        path = pathlib.Path(args.resume)
        if not (path / "config.json").exists():
            raise ValueError(f"--resume {path}, expected auto, never, or the folder of a run")
        if json.loads((path / "config.json").read_text()) != json.loads(
            json.dumps(experiment.plain())
        ):
            raise ValueError(f"{path} is of another experiment; compare its config.toml")
        if (path / "DONE").exists():
            raise ValueError(f"{path} has ended; give --resume never for a new run")
        return RunFolder(path)
    found = RunFolder.unfinished(root, experiment) if args.resume == "auto" else None
    if found is not None:
        return found
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    return RunFolder.create(root, experiment, stamp, told)


def _best(lines: list[dict[str, Any]], given: Any) -> Any:
    """Where the best look was."""
    import numpy as np

    looks = [x for x in lines if x["kind"] == "look"]
    best = max(looks, key=lambda x: (x["held_out_usd"], -x["step"]))
    return np.array(best["z"], np.float32)


def _page(args: argparse.Namespace, experiment: Any, folder: Any, result: Any, lines: Any) -> None:
    from diffmm.report.training import write_training

    about = experiment.experiment
    write_training(
        folder.path / "report.html",
        f"{about.name} in {experiment.world.name}"
        + (f": {about.answers}" if about.answers else ""),
        result,
        lines,
        (folder.path / "config.toml").read_text(encoding="utf-8"),
        shlex.join(["diffmm", "train", "-c", args.config, *(f"--set={x}" for x in args.set)]),
    )


class Progress:
    """What a person watches: a line a look, and between them one that is written over."""

    def __init__(self, given: Any, steps: int) -> None:
        self.given, self.steps = given, steps
        self.started = time.perf_counter()
        self.since: tuple[int, float] | None = None
        self.done = 0

    def tell(self, line: dict[str, Any]) -> None:
        """One line of metrics, on stderr."""
        if line["kind"] == "look":
            say(
                f"step {line['step']}/{self.steps}  hard, kept apart "
                f"{line['held_out_usd']:+.4f} USD  best {line['best_usd']:+.4f}"
            )
        elif line["kind"] == "audit":
            say(
                f"step {line['step']}  slope {line['relaxed']:+.4f}, hard {line['hard']:+.4f} "
                f"+- {line['standard_error']:.4f}"
            )
        else:
            self._step(line)

    def _step(self, line: dict[str, Any]) -> None:
        now = time.perf_counter()
        if self.since is None:
            # The first step compiles, and says nothing of the rate.
            self.since = line["step"], now
        self.done = line["step"] - self.since[0]
        if not sys.stderr.isatty():
            return
        value, norm = (line[x] or float("nan") for x in ("objective_usd", "gradient_norm"))
        left = (self.steps - line["step"]) * (now - self.since[1]) / max(self.done, 1)
        sys.stderr.write(
            f"\rstep {line['step']}/{self.steps}  {value:+.4f} USD  gradient {norm:.4f}  "
            f"{self.rate():,.0f} events/s  {left:,.0f} s left   \r"
        )
        sys.stderr.flush()

    def wall_s(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.started

    def rate(self) -> float:
        """Events a second after the first step, all else included."""
        if self.since is None or not self.done:
            return 0.0
        return self.done * self.given.events(0) / (time.perf_counter() - self.since[1])


def _words(result: dict[str, Any]) -> None:
    gain = result["gain_usd"]
    say(
        f"unseen paths, hard fills: {result['start_usd']:+.4f} -> {result['end_usd']:+.4f} USD, "
        f"gain {gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    )
    say(f"checkpoint {result['run']}/best, page {result['run']}/report.html")


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _commit() -> str | None:
    """Of the checkout this is run from, if it is one."""
    here = pathlib.Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True
        )
    except OSError:
        return None
    return found.stdout.strip() or None
