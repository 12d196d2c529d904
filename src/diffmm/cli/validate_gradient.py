"""`diffmm validate gradient`: the gradient through fills against differences of hard runs."""

import argparse
import json
import sys
import time
from typing import Any

from .replay import load_params, say


def run(args: argparse.Namespace) -> int:
    """Compare once and print; the exit code.

    Raises:
        ValueError: when the number of paths is no multiple of a block.
    """
    import numpy as np

    from diffmm.training import anchors
    from diffmm.training.gradient_check import Check, Config, NAMES
    from diffmm.venues import world_io

    config = Config()
    if args.paths < 1 or args.paths % config.block:
        raise ValueError(f"--paths {args.paths}, expected a multiple of {config.block}")
    world = world_io.load_world(args.world)
    check = Check(world, load_params(args.checkpoint, args.set), config)
    far = np.zeros(len(NAMES))
    z = check.near(far) if args.point == "near" else far
    found = check.compare(z, args.paths // config.block)
    told = {
        "world": args.world,
        "point": args.point,
        "paths": args.paths,
        "frames": config.frames,
        "utility_usd": float(check.call(check.hard, z, check.draw(0)).mean()),
        **found.summary(NAMES),
        "cost_forwards": _cost(check, z),
        "temporary_bytes_per_event": check.bytes_per_event(),
        "anchors": anchors.figures(args.seed),
        "set": args.set,
    }
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


def _cost(check: Any, z: Any) -> float:
    """Time of a gradient over that of a forward pass of the same paths, the fastest of three."""
    block = check.draw(0)

    def best(fn: Any) -> float:
        times = []
        for _ in range(3):
            before = time.perf_counter()
            check.call(fn, z, block)
            times.append(time.perf_counter() - before)
        return min(times)

    return best(check.gradient) / best(check.hard)


def _words(told: dict[str, Any]) -> None:
    for one in told["parameters"]:
        z = "" if one["z"] is None else f"z {one['z']:+.2f}"
        say(
            f"{one['name']:<36}{one['autodiff']:+.5f}  hard {one['finite_difference']:+.5f}  "
            f"error {one['standard_error']:.5f}  {z}"
        )
    names = ("cosine", "cosine_if_exact", "norm_ratio", "estimator_variance", "cost_forwards")
    say("  ".join(f"{name} {told[name]:.4g}" for name in names))
