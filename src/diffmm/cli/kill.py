"""`diffmm kill`: the latch first, then the word to the run, if it lives."""

import argparse
import pathlib
import sys

from diffmm.live import control, kill_latch, lock
from diffmm.live.events import Command

from . import runs
from .durations import seconds
from .saying import say


OK, USAGE, FAILED = 0, 2, 3
"""Exit codes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("run", nargs="?", help="name under runs/live, or a folder; default: the only one")
    add("--all", action="store_true", help="every run there is")
    add("--reason", default="diffmm kill", help="kept with the latch")
    add("--timeout", type=seconds, default=5.0, metavar="TIME", help="for the run to confirm")


def main(args: argparse.Namespace) -> int:
    """Latch and tell; 3 when something could not be confirmed."""
    try:
        if args.all and args.run:
            raise runs.NoRunError(f"--all and {args.run!r} exclude each other")
        chosen = runs.folders() if args.all else [runs.find(args.run)]
    except runs.NoRunError as error:
        say("error", str(error))
        return USAGE
    return max((_kill(folder, args.reason, args.timeout) for folder in chosen), default=OK)


def _kill(folder: pathlib.Path, reason: str, timeout_s: float) -> int:
    code = OK
    try:
        kill_latch.latch(folder, reason, at=runs.now(), by=runs.operator())
        sys.stdout.write(f"{folder.name}: latched; nothing starts here before diffmm unkill\n")
    except kill_latch.LatchError as error:
        # The run is told all the same: a full disk must not keep it quoting.
        say("error", str(error))
        code = FAILED
    if not lock.is_held(folder):
        sys.stdout.write(f"{folder.name}: no run is alive; its last orders are in diffmm status\n")
        return code
    try:
        said = control.ask(folder, Command.KILL, reason, timeout_s)
        sys.stdout.write(f"{folder.name}: {said}\n")
    except control.ControlError as error:
        say("error", str(error))
        code = FAILED
    return code
