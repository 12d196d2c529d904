"""`diffmm ckpt`: checkpoints of one Params tree."""

import argparse
import json
import pathlib
import sys


OK, USAGE, FAILED = 0, 2, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    parser.add_argument("action", choices=["init", "show", "verify"])
    parser.add_argument("path", help="folder of the checkpoint")
    parser.add_argument("--set", action="append", default=[], metavar="P=V")


def main(args: argparse.Namespace) -> int:
    """Make, print or check one checkpoint; the exit code."""
    import importlib.metadata

    import numpy as np

    from diffmm.core import declarations, defaults
    from diffmm.engine import graph
    from diffmm.training import apply, CheckpointError, OverrideError, restore, save

    path, target = pathlib.Path(args.path), defaults(graph.Params)
    try:
        if args.action == "init":
            provenance = {
                "source": "the declared defaults of every leaf",
                "set": args.set,
                "version": importlib.metadata.version("diffmm"),
            }
            save(path, apply(target, args.set), provenance)
            return OK
        params, provenance = restore(path, target)
    except (CheckpointError, OverrideError) as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE if args.action == "init" else FAILED
    if args.action == "show":
        import jax

        pairs = zip(declarations(params), jax.tree.leaves(params), strict=True)
        leaves = {n: {"value": np.asarray(x).tolist(), "unit": d["unit"]} for (n, d), x in pairs}
        sys.stdout.write(json.dumps({"provenance": provenance, "leaves": leaves}) + "\n")
    return OK
