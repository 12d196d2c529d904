"""`diffmm page`: a run in the browser, for as long as the command stands."""

import argparse
import asyncio
import logging
import secrets
import sys

from diffmm.live import page_server
from diffmm.report import live_page

from . import runs
from .saying import say
from .stopping import Stopper


OK, UNEXPECTED, USAGE = 0, 1, 2
"""Exit codes."""
TOKEN_BYTES = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("run", nargs="?", help="name under runs/live, or a folder; default: the only one")
    add("--port", type=int, default=8787, help="on 127.0.0.1; 0 takes a free one")
    add("--read-only", action="store_true", help="print no token: the page can command nothing")


def main(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; the exit code."""
    # A browser that hangs up is no news; the library would log a traceback.
    logging.getLogger("websockets").addHandler(logging.NullHandler())
    try:
        page = made(runs.find(args.run))
        with Stopper() as stopper:
            asyncio.run(_serve(page, args, stopper))
    except runs.NoRunError as error:
        say("error", str(error))
        return USAGE
    except OSError as error:
        say("error", f"port {args.port}: {error.strerror}; choose another --port")
        return UNEXPECTED
    return OK


def made(folder) -> page_server.Page:
    """The page of one run, with a token of its own."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return page_server.Page(folder, live_page.render(), live_page.policy(), token, runs.now)


async def _serve(page: page_server.Page, args: argparse.Namespace, stopper: Stopper) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    stopper.watch(lambda: loop.call_soon_threadsafe(stop.set))
    async with page_server.served(page, args.port) as port:
        # Behind the `#`, so that it reaches neither a server nor its log.
        key = "" if args.read_only else f"#{page.token}"
        sys.stdout.write(f"http://{page_server.HOST}:{port}/{key}\n")
        sys.stdout.flush()
        await stop.wait()
