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

    from . import launchers

    launchers.check(args.launcher)
    experiment = experiment_file.load(pathlib.Path(args.config), args.set)
    every = sweep.trials(experiment)
    asked = sweep.of(experiment)
    mine = _sharded(every, args.shard)
    depends_on = _depends_on(every)
    if args.dry_run:
        return _dry_run(args, every, sweep.batches(mine, asked.rows), asked.duration_s)
    folder = SweepFolder.open(pathlib.Path(args.out), experiment, every, depends_on)
    left = [x for x in mine if not folder.is_done(x.number)]
    if len(left) < len(mine) and not args.resume:
        raise experiment_file.ExperimentError(
            f"{folder.path} has {len(mine) - len(left)} of these trials; --resume plays the rest, "
            "or give another --out"
        )
    todo = sweep.batches(left, asked.rows)
    jobs = _jobs(folder, todo, asked.duration_s)
    at_once = max(1, min(args.jobs or os.cpu_count() or 1, len(jobs)))
    say("sweep", f"{len(every)} trials, {len(left)} to play in {len(jobs)} batches: {folder.path}")
    told = _play(args.launcher, jobs, at_once, folder.path / "logs")
    return _finish(args, experiment, folder, every, todo, told)


def _sharded(trials: list[Any], shard: str | None) -> list[Any]:
    from diffmm.training.experiment_file import ExperimentError

    if shard is None:
        return trials
    try:
        i, n = map(int, shard.split("/"))
        if not 0 <= i < n:
            raise ValueError
    except ValueError:
        raise ExperimentError(f"--shard {shard!r}, expected I/N with 0 <= I < N") from None
    return [x for x in trials if x.number % n == i]


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


def _frames(batches: list[Any], duration_s: float) -> list[int]:
    """Frames of each batch's tape, padded; a market is made once for all of its batches."""
    from diffmm.training import sweep

    from . import sweep_worker

    known: dict[str, int] = {}
    for batch in batches:
        first = batch.trials[0]
        if first.market not in known:
            tape, _ = sweep_worker.market(first, duration_s)
            known[first.market] = sweep.padded(len(tape.frame_index()[0]))
    return [known[x.trials[0].market] for x in batches]


def _jobs(folder: Any, batches: list[Any], duration_s: float) -> list[dict[str, Any]]:
    return [
        {
            "cwd": str(pathlib.Path.cwd()),
            "folder": str(folder.path.resolve()),
            "trials": [x.plain() for x in batch.trials],
            "width": batch.width,
            "frames": frames,
            "duration_s": duration_s,
            "program": f"{batch.trials[0].program} {batch.width} {frames}",
        }
        for batch, frames in zip(batches, _frames(batches, duration_s), strict=True)
    ]


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


def _dry_run(args: argparse.Namespace, every: Any, batches: Any, duration_s: float) -> int:
    frames = _frames(batches, duration_s)
    names = {program: k for k, program in enumerate(dict.fromkeys(x.program for x in every))}
    shapes = {(x.trials[0].program, x.width, n) for x, n in zip(batches, frames, strict=True)}
    rows = [
        {
            "trial": trial.number,
            "seed": trial.seed,
            "values": trial.values,
            "program": names[trial.program],
            "batch": k,
        }
        for k, batch in enumerate(batches)
        for trial in batch.trials
    ]
    rows.sort(key=lambda x: x["trial"])
    told = {
        "trials": len(every),
        "to_play": len(rows),
        "programs": len(names),
        "batches": len(batches),
        "compiles": len(shapes),
        "rows": max((x.width for x in batches), default=0),
    }
    if args.json:
        sys.stdout.write(json.dumps({**told, "table": rows}) + "\n")
    else:
        paths = list(dict.fromkeys(path for row in rows for path in row["values"]))
        line = lambda cells: "  ".join(f"{x!s:>{w}}" for x, w in zip(cells, wide, strict=True))
        head = ["trial", "seed", "program", "batch", *paths]
        wide = [max(len(x), 7) for x in head]
        sys.stdout.write(line(head) + "\n")
        for row in rows:
            values = [_short(row["values"].get(path, "-")) for path in paths]
            sys.stdout.write(line([*(row[x] for x in head[:4]), *values]) + "\n")
    say(
        "dry run",
        f"{told['to_play']} of {told['trials']} trials, {told['programs']} programs, "
        f"{told['batches']} batches of up to {told['rows']} rows, {told['compiles']} compiles",
    )
    return OK


def _short(x: Any) -> str:
    return f"{x:.6g}" if isinstance(x, float) else str(x)
