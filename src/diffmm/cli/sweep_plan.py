"""What a sweep is about to do: its shard, its batches as jobs, and the table of a dry run."""

import json
import pathlib
import sys
from typing import Any

from .saying import say


def sharded(trials: list[Any], shard: str | None) -> list[Any]:
    """Trials whose number leaves I when divided by N.

    Raises:
        ExperimentError: for a shard that is not `I/N`.
    """
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


def frames(batches: list[Any], duration_s: float) -> list[int]:
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


def jobs(folder: Any, batches: list[Any], duration_s: float) -> list[dict[str, Any]]:
    """Batches as plain words, for whatever process plays them."""
    return [
        {
            "cwd": str(pathlib.Path.cwd()),
            "folder": str(folder.path.resolve()),
            "trials": [x.plain() for x in batch.trials],
            "width": batch.width,
            "frames": n,
            "duration_s": duration_s,
            "program": f"{batch.trials[0].program} {batch.width} {n}",
        }
        for batch, n in zip(batches, frames(batches, duration_s), strict=True)
    ]


def show(every: list[Any], batches: list[Any], duration_s: float, as_json: bool) -> None:
    """Every trial with its program and its batch, and how many compiles there will be."""
    padded = frames(batches, duration_s)
    names = {program: k for k, program in enumerate(dict.fromkeys(x.program for x in every))}
    shapes = {(x.trials[0].program, x.width, n) for x, n in zip(batches, padded, strict=True)}
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
    if as_json:
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


def _short(x: Any) -> str:
    return f"{x:.6g}" if isinstance(x, float) else str(x)
