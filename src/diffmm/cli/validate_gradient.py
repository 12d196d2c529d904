"""`diffmm validate gradient`: the gradient through fills against differences of hard runs."""

import argparse
import json
import sys
from typing import Any

from . import costs
from .replay import load_params, say


def run(args: argparse.Namespace) -> int:
    """Compare once and print; the exit code.

    Raises:
        ValueError: when the number of paths is no multiple of a block.
    """
    import numpy as np

    from diffmm.training import anchors
    from diffmm.training.gradient_check import Check, Config
    from diffmm.training.problem import NAMES
    from diffmm.venues import world_io

    config = Config()
    if args.paths < 1 or args.paths % config.block:
        raise ValueError(f"--paths {args.paths}, expected a multiple of {config.block}")
    world = world_io.load_world(args.world)
    check = Check(world, load_params(args.checkpoint, args.set, is_generated=True), config)
    far = np.zeros(len(NAMES))
    z = check.near(far) if args.point == "near" else far
    found = check.compare(z, args.paths // config.block)
    told = {
        "world": args.world,
        "point": args.point,
        "paths": args.paths,
        "frames": config.frames,
        "utility_usd": float(check.problem.utilities(z, [0]).mean()),
        **found.summary(NAMES),
        "cost_forwards": costs.forwards(check.problem, z),
        "temporary_bytes_per_event": check.problem.bytes_per_event(),
        "anchors": anchors.figures(args.seed),
        "set": args.set,
    }
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


def _words(told: dict[str, Any]) -> None:
    for one in told["parameters"]:
        z = "" if one["z"] is None else f"z {one['z']:+.2f}"
        say(
            f"{one['name']:<36}{one['autodiff']:+.5f}  hard {one['finite_difference']:+.5f}  "
            f"error {one['standard_error']:.5f}  {z}"
        )
    names = ("cosine", "cosine_if_exact", "norm_ratio", "estimator_variance", "cost_forwards")
    say("  ".join(f"{name} {told[name]:.4g}" for name in names))
