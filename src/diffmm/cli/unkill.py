"""`diffmm unkill`: a person clears the latch, with a reason."""

import argparse
import sys

from diffmm.live import kill_latch, lock

from . import runs
from .saying import say


OK, USAGE, FAILED = 0, 2, 3
"""Exit codes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("run", help="name under runs/live, or a folder")
    add("--reason", required=True, metavar="TEXT", help="kept in the folder's kills.jsonl")


def main(args: argparse.Namespace) -> int:
    """Clear one latch; the exit code."""
    try:
        folder = runs.find(args.run)
        if lock.is_held(folder):
            say("error", f"{folder.name} still runs; it ends by itself once its orders are gone")
            return FAILED
        stood = kill_latch.clear(folder, args.reason, at=runs.now(), by=runs.operator())
    except (runs.NoRunError, kill_latch.LatchError) as error:
        say("error", str(error))
        return USAGE
    since = f" since {stood.at}" if stood.at else ""
    sys.stdout.write(f"{folder.name}: cleared; it was latched{since}: {stood.reason}\n")
    return OK
