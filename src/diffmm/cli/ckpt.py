"""`diffmm ckpt`: checkpoints of one Params tree, their promotion and their export."""

import argparse
import json
import pathlib
import sys
from typing import Any

from . import checkpoints
from .saying import say


OK, USAGE, FAILED = 0, 2, 3
ROOT = pathlib.Path("checkpoints")
ACTIONS = {
    "init": "write the declared values, with --set on top",
    "show": "print every leaf with its unit",
    "verify": "check every byte, the leaves and their domains",
    "ls": "what is under checkpoints/, and what is promoted",
    "extend": "one from before some leaves were declared, with their declared values",
    "promote": "after its gate, let it trade by a name",
    "export": "with the live step's programs beside it",
}


WRITES = ("extend", "export")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    words = "; ".join(map(": ".join, ACTIONS.items()))
    parser.add_argument("action", choices=ACTIONS, help=words)
    parser.add_argument("path", nargs="?", help="folder of the checkpoint, or a promoted name")
    add = parser.add_argument
    add("--set", action="append", default=[], metavar="P=V", help="init: one leaf otherwise")
    add("--to", metavar="NAME", help="promote: the name it is started by; default the folder's")
    add("--against", metavar="DIR|NAME", help="promote: compared with; default checkpoints/worlds")
    add("-o", "--out", metavar="DIR", help="export, extend: a folder that does not exist yet")
    add("--json", action="store_true", help="promote, export, ls: one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """One action on one checkpoint; the exit code."""
    from diffmm.training import CheckpointError, OverrideError
    from diffmm.venues.world_io import WorldError

    if args.action == "ls":
        return _ls(args)
    if args.path is None or (args.action in WRITES and args.out is None):
        what = "PATH" if args.path is None else "-o DIR"
        say("error", f"ckpt {args.action} needs {what}")
        return USAGE
    action = {
        "init": _init,
        "show": _show,
        "verify": _verify,
        "extend": _extend,
        "promote": _promote,
        "export": _export,
    }[args.action]
    try:
        return action(args)
    except WorldError as error:
        say("error", str(error))
        return USAGE
    except (CheckpointError, OverrideError) as error:
        say("error", str(error))
        return USAGE if args.action == "init" else FAILED


def _init(args: argparse.Namespace) -> int:
    import importlib.metadata

    from diffmm.core import defaults
    from diffmm.engine import graph
    from diffmm.training import apply, save

    provenance = {
        "source": "the declared defaults of every leaf",
        "set": args.set,
        "version": importlib.metadata.version("diffmm"),
    }
    save(pathlib.Path(args.path), apply(defaults(graph.Params), args.set), provenance)
    return OK


def _restored(args: argparse.Namespace) -> tuple[pathlib.Path, Any, Any]:
    """Folder, parameters and provenance, every byte checked, an export's too."""
    from diffmm.training import CheckpointError, export, restore, target

    folder = checkpoints.find(args.path).folder
    if folder is None:
        raise CheckpointError("there is no checkpoint; give its folder")
    params, provenance = restore(folder, target(folder))
    export.verify(folder)
    return folder, params, provenance


def _verify(args: argparse.Namespace) -> int:
    _restored(args)
    return OK


def _show(args: argparse.Namespace) -> int:
    import jax
    import numpy as np

    from diffmm.core import declarations

    _, params, provenance = _restored(args)
    pairs = zip(declarations(params), jax.tree.leaves(params), strict=True)
    leaves = {n: {"value": np.asarray(x).tolist(), "unit": d["unit"]} for (n, d), x in pairs}
    sys.stdout.write(json.dumps({"provenance": provenance, "leaves": leaves}) + "\n")
    return OK


def _extend(args: argparse.Namespace) -> int:
    from diffmm.core import defaults
    from diffmm.engine import graph
    from diffmm.training import extend, save

    params, provenance = extend(pathlib.Path(args.path), defaults(graph.Params))
    save(pathlib.Path(args.out), params, provenance)
    say(
        "extended", f" {args.path} to {args.out}: {', '.join(provenance['extended'][-1]['leaves'])}"
    )
    return OK


def _promote(args: argparse.Namespace) -> int:
    from diffmm.training import deployed, gate

    from . import gate as replays

    if args.to is not None:
        deployed.record_path(args.to)
    folder, params, provenance = _restored(args)
    name = args.to or _name(folder)
    path = deployed.record_path(name)
    against = checkpoints.for_market(args.against, is_generated=True)
    default, found = checkpoints.load(against, [])
    told = replays.run(params, default, gate.Config())
    told["against"] = found.label
    if args.json:
        sys.stdout.write(json.dumps({"name": name, "path": str(folder), **told}) + "\n")
    if not told["passed"]:
        for reason in told["reasons"]:
            say("refused", reason)
        return FAILED
    deployed.promote(folder, name, told | {"provenance": provenance})
    say("promoted", f" {folder} as {name}: {path}; diffmm live --checkpoint {name}")
    return OK


def _name(folder: pathlib.Path) -> str:
    """A folder's own name; of a training run's best, its experiment's."""
    at = folder.resolve()
    return at.parents[1].name if at.name == "best" else at.name


def _export(args: argparse.Namespace) -> int:
    from diffmm.training import export

    folder, _, _ = _restored(args)
    sizes = export.write(folder, pathlib.Path(args.out))
    if args.json:
        told = {"path": args.out, "programs": sizes, **export.here()}
        sys.stdout.write(json.dumps(told) + "\n")
    said = ", ".join(f"{name} {size:,} bytes" for name, size in sizes.items())
    say("exported", f" {folder} to {args.out}: {said}")
    return OK


def _ls(args: argparse.Namespace) -> int:
    """Every checkpoint and every record, each checked."""
    from diffmm.training import checkpoint, CheckpointError, deployed, export, restore, target

    rows = []
    for path in sorted(ROOT.glob(f"**/{checkpoint.MANIFEST}")):
        folder = path.parent
        if folder.parent.name == "steps":
            # The state of a training run, which is no parameters.
            continue
        try:
            _, provenance = restore(folder, target(folder))
            export.verify(folder)
            said = str(provenance.get("source", provenance.get("experiment", "")))
            row = {"state": "sound", "words": said, "is_exported": export.has_step(folder)}
        except CheckpointError as error:
            row = {"state": "unusable", "words": str(error), "is_exported": False}
        rows.append({"path": str(folder), "promoted_as": [], **row})
    at = {pathlib.Path(row["path"]).resolve(): row for row in rows}
    names = []
    for path in sorted((ROOT / deployed.FOLDER.name).glob("*.json")):
        try:
            folder, record = deployed.read(path)
            names.append({"name": path.stem, "path": str(folder), "state": "sound"})
            names[-1]["pnl_usd_per_hour"] = deployed.pnl_usd_per_hour(record)
            if folder in at:
                at[folder]["promoted_as"].append(path.stem)
        except CheckpointError as error:
            names.append({"name": path.stem, "state": "unusable", "words": str(error)})
    if args.json:
        sys.stdout.write(json.dumps({"checkpoints": rows, "promoted": names}) + "\n")
        return OK
    for row in rows:
        also = ", ".join([*row["promoted_as"], *(["exported"] if row["is_exported"] else [])])
        sys.stdout.write(f"{row['path']:<40}{row['state']:<10}{also:<24}{row['words'][:120]}\n")
    for row in names:
        if row["state"] != "sound":
            sys.stdout.write(f"{row['name']:<40}{row['state']:<10}{row['words']}\n")
    return OK
