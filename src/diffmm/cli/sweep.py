"""`diffmm sweep`: many configurations on the same random numbers, in rows of compiled programs."""

import argparse
import json
import os
import pathlib
import shlex
import sys
import time
from typing import Any

from .saying import say


OK, FAILED, USAGE, STOPPED = 0, 1, 2, 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("-c", "--config", required=True, metavar="FILE", help="an experiment with [sweep]")
    add("--set", action="append", default=[], metavar="P=V", help="one value of it otherwise")
    add("--launcher", choices=["local", "ray", "slurm"], default="local")
    add("--jobs", type=int, metavar="N", help="batches at a time; default one a core")
    add("--shard", metavar="I/N", help="only trials whose number leaves I when divided by N")
    add("--dry-run", action="store_true", help="print trials, programs and compiles; run nothing")
    add("--resume", action="store_true", help="play what has no DONE")
    add("--out", default="checkpoints", metavar="DIR", help="where sweeps are kept")
    add("--json", action="store_true", help="one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """Run one sweep, or a shard of it; the exit code."""
    from diffmm.training import CheckpointError, OverrideError
    from diffmm.training.experiment_file import ExperimentError
    from diffmm.venues.world_io import WorldError

    from .launchers import LauncherError, WorkerError

    try:
        return _run(args)
    except KeyboardInterrupt:
        say("stopped", " what is finished stays; --resume plays the rest")
        return STOPPED
    except WorkerError as error:
        say("error", str(error))
        return FAILED
    except (ExperimentError, CheckpointError, OverrideError, WorldError, LauncherError) as error:
        say("error", str(error))
        return USAGE


def _run(args: argparse.Namespace) -> int:
    from diffmm.training import experiment_file, sweep
    from diffmm.training.trials import SweepFolder

    from . import launchers, sweep_plan

    launchers.check(args.launcher)
    experiment = experiment_file.load(pathlib.Path(args.config), args.set)
    every = sweep.trials(experiment)
    asked = sweep.of(experiment)
    mine = sweep_plan.sharded(every, args.shard)
    depends_on = _depends_on(every)
    if args.dry_run:
        sweep_plan.show(every, sweep.batches(mine, asked.rows), asked.duration_s, args.json)
        return OK
    folder = SweepFolder.open(pathlib.Path(args.out), experiment, every, depends_on)
    left = [x for x in mine if not folder.is_done(x.number)]
    if len(left) < len(mine) and not args.resume:
        raise experiment_file.ExperimentError(
            f"{folder.path} has {len(mine) - len(left)} of these trials; --resume plays the rest, "
            "or give another --out"
        )
    todo = sweep.batches(left, asked.rows)
    jobs = sweep_plan.jobs(folder, todo, asked.duration_s)
    at_once = max(1, min(args.jobs or os.cpu_count() or 1, len(jobs)))
    say("sweep", f"{len(every)} trials, {len(left)} to play in {len(jobs)} batches: {folder.path}")
    told = _play(args.launcher, jobs, at_once, folder.path / "logs")
    return _finish(args, experiment, folder, every, todo, told)


def _depends_on(trials: list[Any]) -> dict[str, Any]:
    """What results depend on beside the experiment; nothing is played if any of it is missing."""
    import importlib.metadata

    import msgspec

    from diffmm.engine.exported import digest
    from diffmm.training import export, files
    from diffmm.venues import world_io

    from . import checkpoints

    worlds = {x.experiment.world.name for x in trials}
    starts = {x.experiment.engine.checkpoint: x.experiment for x in trials}
    read = lambda name: msgspec.to_builtins(world_io.load_world(name))
    found: dict[str, Any] = {}
    for name, one in starts.items():
        checkpoints.of_experiment(one)
        folder = checkpoints.start_folder(one)
        found[name] = None if folder is None else digest(files.digests(folder / "params"))
    return {
        "source": export.source(),
        "versions": {x: importlib.metadata.version(x) for x in ("diffmm", "jax", "jaxlib")},
        "worlds": {name: digest(read(name)) for name in sorted(worlds)},
        "starts": found,
    }


def _play(launcher: str, jobs: list[Any], at_once: int, logs: pathlib.Path) -> dict[str, Any]:
    """Every batch; what came of it."""
    from . import launchers, sweep_worker

    started, done, failed, events, wall_s = time.perf_counter(), 0, [], 0, 0.0
    answers = launchers.run(launcher, sweep_worker.work, jobs, at_once, logs) if jobs else ()
    for k, answer in enumerate(answers):
        done += len(answer["done"])
        failed += answer["failed"]
        events += answer["events"]
        wall_s += answer["wall_s"]
        spent = time.perf_counter() - started
        left = spent / (k + 1) * (len(jobs) - k - 1)
        rate = answer["events"] / answer["wall_s"] if answer["wall_s"] else 0.0
        say(
            "batch",
            f"{k + 1}/{len(jobs)}  {done} trials done, {len(failed)} failed  "
            f"{rate:,.0f} configuration-events/s after {answer['compile_s']:.1f} s of compiling  "
            f"{left:,.0f} s left",
        )
        if "error" in answer:
            say("failed", f"trials {answer['failed']}: {answer['error'][:500]}")
    return {
        "played": done,
        "wall_s": round(time.perf_counter() - started, 2),
        "configuration_events": events,
        "configuration_events_per_s": round(events / wall_s) if events else None,
    }


def _finish(
    args: argparse.Namespace, experiment: Any, folder: Any, every: Any, todo: Any, told: Any
) -> int:
    import tomli_w

    from diffmm.report.sweep import label, write_sweep
    from diffmm.training import comparison

    results = folder.write_table()
    found = comparison.compare(results)
    about = experiment.experiment
    summary = {
        "experiment": about.name,
        "sweep": str(folder.path),
        "trials": len(every),
        "done": len(results),
        "failed": folder.failures(),
        "configurations": len(every) // len(experiment.sweep.seeds),
        "seeds": len(experiment.sweep.seeds),
        "batches": len(todo),
        "programs": len({x.program for x in every}),
        **told,
        "best": found[:1],
    }
    page = folder.path / "report.html"
    write_sweep(
        page,
        about.name + (f": {about.answers}" if about.answers else ""),
        summary,
        found,
        tomli_w.dumps(experiment.plain()),
        shlex.join(["diffmm", *sys.argv[1:]]),
    )
    if args.json:
        sys.stdout.write(json.dumps(summary) + "\n")
    for row in found[:10]:
        pnl, fills = row["pnl_usd_per_hour"], row["fills_per_hour"]
        ends = "" if pnl["low"] is None else f" ({pnl['low']:+.2f} to {pnl['high']:+.2f})"
        say("", f"{pnl['value']:+10.2f} USD/h{ends}, {fills:.0f} fills/h  {label(row['values'])}")
    say("table", f"{folder.path / 'results.jsonl'}   page {page}")
    return FAILED if summary["failed"] else OK
