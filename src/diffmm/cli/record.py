"""`diffmm record`: public market data to a file that replay and `live --tape` read."""

import argparse
import asyncio
import dataclasses
import json
import logging
import pathlib
import sys
from typing import Any

from .durations import seconds
from .saying import say
from .stopping import Stopper


OK, UNEXPECTED, USAGE, LOST = 0, 1, 2, 5
"""Exit codes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("--coin", required=True, metavar="C[,C2]", help="markets, as the venue spells them")
    add("--venue", default="hyperliquid", metavar="URL", help="ws://..., wss://... or a name")
    add("--for", dest="for_s", type=seconds, metavar="TIME", help="e.g. 2h; else until Ctrl-C")
    add("-o", "--out", required=True, metavar="FILE.jsonl.gz", help="continued where it exists")
    add("--patience", type=seconds, default=30.0, metavar="TIME", help="wait for a first frame")
    add("--seed", type=int, default=0, help="of the reconnect jitter")
    add("--json", action="store_true", help="one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """Record; the exit code."""
    # What goes wrong with the peer is said here; the library would add a traceback.
    logging.getLogger("websockets").addHandler(logging.NullHandler())
    from diffmm.venues.recorder import RecordingError

    from .source import UsageError

    try:
        return _run(args)
    except UsageError as error:
        say("error", str(error))
        return USAGE
    except RecordingError as error:
        say("error", str(error))
        return UNEXPECTED


def _run(args: argparse.Namespace) -> int:
    from diffmm.venues.recorder import Recorder, Recording

    from . import source

    coins = list(dict.fromkeys(x for x in args.coin.split(",") if x))
    if not coins:
        raise source.UsageError(f"--coin {args.coin!r}, expected one name or several with commas")
    url = source.address(args.venue)
    with Stopper() as stopper:
        recording = Recording(pathlib.Path(args.out))
        try:
            say("record", f"{', '.join(coins)} from {url} to {recording.path}   Ctrl-C stops")
            recorder = Recorder(recording, args.for_s, args.patience)
            asyncio.run(_listen(recorder, source.feed(url, coins, args.seed), stopper))
        finally:
            recording.close()
    told = recorder.told
    if args.json:
        sys.stdout.write(json.dumps(_told(args, coins, recording, told)) + "\n")
    if not told.lines and not stopper.is_asked:
        why = told.last_loss or "it said nothing"
        say("error", f"no frame from {url} within {args.patience:g} s: {why}; check the network")
        return LOST
    say("summary", f"{told.lines} lines, {told.gaps} gaps")
    return OK


async def _listen(recorder: Any, feed: Any, stopper: Stopper) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    stopper.watch(lambda: loop.call_soon_threadsafe(stop.set))
    await recorder.run(feed, stop)


def _told(args: argparse.Namespace, coins: list[str], recording: Any, told: Any) -> dict:
    return {
        "path": str(recording.path),
        "coins": coins,
        "venue": args.venue,
        "is_continued": recording.is_continued,
        "dropped_bytes": recording.dropped_bytes,
        **dataclasses.asdict(told),
    }
