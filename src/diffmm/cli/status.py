"""`diffmm status`: what runs say of themselves, and whether they still live."""

import argparse
import pathlib
import sys
import time
from typing import Any

import msgspec

from diffmm.live import outside
from diffmm.live.state_file import Pulse, RunState

from . import runs
from .durations import seconds
from .saying import say


OK, USAGE, UNWELL, LATCHED = 0, 2, 3, 4
"""Exit codes."""
CLEAR = "\x1b[H\x1b[2J"
"""To the top of an empty screen."""
USD = 10**8
RECENT = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("run", nargs="?", help="name under runs/live, or a folder; default: all")
    add("--watch", action="store_true", help="again every --every until Ctrl-C")
    add("--every", type=seconds, default=1.0, metavar="TIME")
    add("--json", action="store_true", help="one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """Show once, or until Ctrl-C; 3 when a run is dead or silent, 4 when one is latched."""
    try:
        while True:
            told = [_look(folder) for folder in _chosen(args.run)]
            _show(args, told)
            if not args.watch:
                return max((one["code"] for one in told), default=OK)
            time.sleep(args.every)
    except runs.NoRunError as error:
        say("error", str(error))
        return USAGE
    except KeyboardInterrupt:
        return OK


def _chosen(run: str | None) -> list[pathlib.Path]:
    return runs.folders() if run is None else [runs.find(run)]


def _look(folder: pathlib.Path) -> dict[str, Any]:
    """One run as it is told: what is seen from outside, words, an exit code for the whole."""
    seen = outside.look(folder)
    state, pulse = seen["state"], seen["pulse"]
    words = [seen["error"]] if state is None else list(_words(state, pulse, seen["age_s"]))
    code = UNWELL if pulse in (None, Pulse.DEAD, Pulse.SILENT) else OK
    if seen["latched"] is not None:
        code = LATCHED
    return {"run": folder.name, "folder": str(folder), **seen, "words": words, "code": code}


def _show(args: argparse.Namespace, told: list[dict[str, Any]]) -> None:
    out = sys.stdout
    if args.json:
        plain = [{k: v for k, v in one.items() if k not in ("words", "code")} for one in told]
        one = {"runs": plain} if args.run is None else plain[0]
        out.write(msgspec.json.encode(one).decode() + "\n")
        out.flush()
        return
    if args.watch and out.isatty():
        out.write(CLEAR)
    if not told:
        out.write(f"no run in {runs.RUNS} yet; python run_live.py starts one\n")
    for one in told:
        latch = "" if one["latched"] is None else f"   KILL LATCH: {one['latched']}"
        out.write(f"{one['run']}{latch}\n")
        out.writelines(f"  {line}\n" for line in one["words"])
    out.flush()


def _words(state: RunState, pulse: Pulse, age_s: float):
    """A run in a few lines."""
    why = f" ({state.reason})" if state.reason else ""
    yield f"{state.mode.upper()} {state.coin} on {state.venue}: {state.phase.value}{why}"
    if pulse is Pulse.DEAD:
        yield f"DEAD: process {state.pid} is gone without a farewell, {age_s:.0f} s ago"
    elif pulse is Pulse.SILENT:
        yield f"SILENT: process {state.pid} lives and has written nothing for {age_s:.0f} s"
    elif pulse is Pulse.ENDED:
        yield f"ended with exit code {state.exit_code}, {age_s:.0f} s ago"
    yield f"mid {state.mid or '-'}   bid {state.bid or '-'}   ask {state.ask or '-'}"
    parts = " ".join(f"{name} {x / USD:+.2f}" for name, x in state.pnl_parts_1e8.items())
    yield f"position {state.position}   pnl {state.pnl_1e8 / USD:+.2f} USD   {parts}".rstrip()
    yield (
        f"fills {state.fills}   resting {state.resting}   unknown {state.unknown}   "
        f"rejects {state.rejects}   reconnects {state.reconnects}   "
        f"denied {sum(state.gate_denials.values())}   faults {sum(state.faults.values())}"
    )
    for words in state.recent[-RECENT:]:
        yield f"| {words}"
