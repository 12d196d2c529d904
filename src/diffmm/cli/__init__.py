"""The one command, `diffmm`. Nothing heavy is imported until a command needs it."""

import argparse
import importlib
import importlib.metadata
import sys

from . import flags


COMMANDS = {
    "live": "the engine on a streamed market, in shadow mode",
    "replay": "the engine on a recording or a generative world, orders filled by the hard rule",
    "validate": "fair value, the pricing surface or the gradient, against what came of them",
    "fit": "features and belief from recordings, by likelihood, to a checkpoint",
    "train": "parameters uphill by the gradient through the fills of a world, to a checkpoint",
    "sweep": "many configurations on the same random numbers, in processes, on Ray or Slurm",
    "tune": "the gradient, CMA-ES, TPE or random search on the same budget of events",
    "compare": "results of tune side by side, as curves and against a reference",
    "bench": "latency and throughput, each beside a trivial compiled call",
    "record": "write a venue's frames to a file that replay reads",
    "ckpt": "make, show, verify, promote and export checkpoints",
    "venue": "a venue on this machine that speaks Hyperliquid, for play money",
    "status": "what the runs say of themselves, and whether they live",
    "ctl": "pause, resume, reduce-only or stop one run",
    "kill": "latch a run and end it; nothing starts there before unkill",
    "unkill": "clear a kill latch, with a reason",
    "page": "a run in the browser, on the loopback",
    "doctor": "whether this machine can run",
}


USES_JAX = {
    "live",
    "replay",
    "validate",
    "fit",
    "train",
    "sweep",
    "tune",
    "bench",
    "ckpt",
    "doctor",
}


DIFFERENTIATES = {"fit", "train", "tune", "gradient"}
"""A backward pass as one kernel takes too long to compile."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="diffmm", description=__doc__)
    parser.add_argument("--version", action="version", version=importlib.metadata.version("diffmm"))
    parser.add_argument(
        "command", choices=COMMANDS, help="; ".join(map(": ".join, COMMANDS.items()))
    )
    name = parser.parse_args(argv[:1]).command
    command = importlib.import_module(f".{name}", __package__)
    own = argparse.ArgumentParser(prog=f"diffmm {name}", description=COMMANDS[name])
    command.add_arguments(own)
    args = own.parse_args(argv[1:])
    if name in USES_JAX and not DIFFERENTIATES & {name, getattr(args, "what", None)}:
        flags.set_compiler_flags()
    if name in USES_JAX:
        flags.configure_jax()
    return command.main(args)
