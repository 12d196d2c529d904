"""`diffmm ctl`: pause, resume, reduce-only, stop."""

import argparse
import sys

from diffmm.live import control
from diffmm.live.events import Command

from . import runs
from .durations import seconds
from .saying import say


OK, USAGE, FAILED = 0, 2, 3
"""Exit codes."""
WORDS = [c.value for c in (Command.PAUSE, Command.RESUME, Command.REDUCE_ONLY, Command.STOP)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("run", help="name under runs/live, or a folder")
    add("word", choices=WORDS, help="pause cancels all orders; resume is the only one that loosens")
    add("--reason", default="", help="kept in the journal")
    add("--timeout", type=seconds, default=5.0, metavar="TIME", help="then it is withdrawn")


def main(args: argparse.Namespace) -> int:
    """Command one run; the exit code."""
    try:
        folder = runs.find(args.run)
        said = control.ask(folder, Command(args.word), args.reason, args.timeout)
    except runs.NoRunError as error:
        say("error", str(error))
        return USAGE
    except control.ControlError as error:
        say("error", str(error))
        return FAILED
    sys.stdout.write(f"{folder.name}: {said}\n")
    return OK
