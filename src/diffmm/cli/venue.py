"""`diffmm venue`: a venue on this machine that speaks Hyperliquid, for play money."""

import argparse
import asyncio
import json
import logging
import os
import pathlib
import sys
from typing import Any

from .durations import seconds, speed
from .saying import say
from .stopping import Stopper


OK, UNEXPECTED, USAGE = 0, 1, 2
"""Exit codes."""
PARENT_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("--port", type=int, default=0, metavar="P", help="0: the system chooses, and it is printed")
    add("--seed", type=int, default=0, help="of the generative market; same seed, same market")
    add("--tape", metavar="FILE", help="recorded market in place of the generative one")
    add("--coin", metavar="C[,C2]", help="markets of the tape")
    add("--speed", type=speed, default=1.0, help="market seconds per second, funding included")
    add("--for", dest="for_s", type=seconds, metavar="TIME", help="e.g. 60s; else until Ctrl-C")
    add("--fund", action="append", default=[], metavar="ADDRESS", help="pay 100,000 play USD")
    add("--maker-fee-bp", type=float, default=1.5, help="a rebate is negative")
    add("--taker-fee-bp", type=float, default=4.5)
    add("--scheduled-volume", type=int, default=1_000_000, metavar="USD", help="dead-man gate")
    add("--no-traffic-limits", action="store_true", help="requests a minute, sockets' frames")
    add("--with-parent", action="store_true", help="end when the process that started it ends")
    add("--json", action="store_true", help="the line on stdout is one object")


def main(args: argparse.Namespace) -> int:
    """Serve; the exit code."""
    # What a peer does wrong is answered; the library would add a traceback.
    logging.getLogger("aiohttp").addHandler(logging.NullHandler())
    parent = os.getppid()
    with Stopper() as stopper:
        try:
            return asyncio.run(_serve(args, stopper, parent))
        except (OSError, ValueError) as error:
            say("error", str(error))
            return USAGE


async def _serve(args: argparse.Namespace, stopper: Stopper, parent: int) -> int:
    from diffmm.venues.local.server import Clock, serve_venue
    from diffmm.venues.local.venue import Venue

    clock_ns = Clock()
    config, market = _market(args)
    venue = Venue(config, market, clock_ns())
    for address in args.fund:
        _fund(venue, address)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    stopper.watch(lambda: loop.call_soon_threadsafe(stop.set))
    async with serve_venue(venue, clock_ns, args.port) as (url, failed):
        failed.add_done_callback(lambda _: stop.set())
        sys.stdout.write(_line(args, url, config) + "\n")
        sys.stdout.flush()
        if args.for_s is not None:
            loop.call_later(args.for_s, stop.set)
        await _until(stop, parent if args.with_parent else None)
        if failed.done():
            say("error", f"the venue failed: {failed.exception()!r}")
            return UNEXPECTED
        failed.cancel()
    return OK


async def _until(stop: asyncio.Event, parent: int | None) -> None:
    """Wait for a stop, or for the parent's end: then someone else is our parent."""
    while not stop.is_set() and (parent is None or os.getppid() == parent):
        try:
            await asyncio.wait_for(stop.wait(), None if parent is None else PARENT_S)
        except TimeoutError:
            continue


def _market(args: argparse.Namespace) -> tuple[Any, Any]:
    """The venue's configuration and who trades on it."""
    from diffmm.venues.local.config import Config, LISTINGS, NS
    from diffmm.venues.local.exchange import Rules
    from diffmm.venues.local.flow import Flow
    from diffmm.venues.local.listing import USD
    from diffmm.venues.local.tape import find_listings, TapeMarket

    if args.speed == float("inf"):
        raise ValueError("--speed inf, expected a finite speed: orders need time to be sent")
    listings, market = LISTINGS, Flow(args.seed, speed=args.speed)
    if args.tape:
        if not args.coin:
            raise ValueError("--tape needs --coin C[,C2], the markets of the tape that are traded")
        path = pathlib.Path(args.tape)
        listings = find_listings(path, args.coin.split(","))
        market = TapeMarket(path, args.speed)
    rules = Rules(
        maker_ppm=round(args.maker_fee_bp * 100), taker_ppm=round(args.taker_fee_bp * 100)
    )
    config = Config(
        listings=listings,
        rules=rules,
        funding_ns=max(round(3600 * NS / args.speed), NS),
        scheduled_volume=args.scheduled_volume * USD,
        has_traffic_limits=not args.no_traffic_limits,
    )
    return config, market


def _fund(venue: Any, address: str) -> None:
    from diffmm.venues.local.desk import is_address

    if not is_address(address):
        raise ValueError(f"--fund {address!r}, expected 0x and 40 hexadecimal digits")
    venue.gateway.drip(address.lower())


def _line(args: argparse.Namespace, url: str, config: Any) -> str:
    """What is said once the port listens."""
    coins = [x.coin for x in config.listings]
    if args.json:
        told = {"url": url, "ws": f"ws{url[4:]}/ws", "coins": coins, "speed": args.speed}
        return json.dumps({**told, "tape": args.tape, "seed": None if args.tape else args.seed})
    what = f"tape {args.tape}" if args.tape else f"seed {args.seed}"
    return f"venue   {url}   {', '.join(coins)}   {what}   play money   Ctrl-C stops"
