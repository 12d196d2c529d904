"""Shadow sessions over a real loopback socket, with servers that behave and servers that do not."""

import asyncio
import contextlib
import copy
import functools as ft
import io
import json

import numpy as np
from websockets.asyncio.server import serve

import events
from diffmm import live
from diffmm.core import defaults
from diffmm.engine import graph, loop
from diffmm.engine.stepper import Stepper
from diffmm.market import AccountInputs, EncoderConfig, Instrument, Layout
from diffmm.simulation import hard_fills
from diffmm.venues import world_io
from diffmm.venues.client import Config as FeedConfig, Feed
from diffmm.venues.intake import Intake


SMALL = loop.Config(
    graph.Config.small(),
    hard_fills.Config(events.SLOTS, False),
    Layout(events.LEVELS, events.SLOTS),
)
ACCOUNT = AccountInputs(maker_fee_bp=-2.0)
QUICK = FeedConfig(open_s=0.3, first_wait_s=0.02, most_wait_s=0.1)
COIN = "SIM"
NS = 1_000_000_000


@ft.cache
def pristine():
    return Stepper(defaults(graph.Params), defaults(hard_fills.Params), SMALL)


def fresh():
    """A stepper that has seen nothing; the programs are compiled once."""
    one = copy.copy(pristine())
    one._frame = []
    return one


@ft.cache
def market(duration_s=20.0, seed=0):
    """Lines of the thin world."""
    return tuple(world_io.lines(world_io.load_world("thin"), seed, duration_s, COIN))


def core(tmp_path, stepper=None, coin=COIN, decimals=2, config=SMALL):
    encoder = EncoderConfig(layout=config.layout, frame_rows=config.frame_rows)
    intake = Intake(Instrument.hyperliquid(coin, decimals), ACCOUNT, encoder)
    journal = live.journal.in_folder(tmp_path / "journal")
    return live.Core(live.Timed(stepper or fresh()), intake, ACCOUNT, journal)


def stamp(line):
    return int(line.split(" ", 1)[0])


def bbo(bid, ask, at_ms, coin=COIN):
    level = lambda x: None if x is None else {"px": x[0], "sz": x[1], "n": 1}
    data = {"coin": coin, "time": at_ms, "bbo": [level(bid), level(ask)]}
    return json.dumps({"channel": "bbo", "data": data}, separators=(",", ":"))


@contextlib.asynccontextmanager
async def scripted(*scripts):
    """A server whose n-th connection follows the n-th script; the last one repeats."""
    count = 0

    async def client(socket):
        nonlocal count
        script = scripts[min(count, len(scripts) - 1)]
        count += 1
        with contextlib.suppress(Exception):
            await script(socket)

    async with serve(client, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def sends(lines, then=None):
    """A script that sends lines, and then ends the tape or does something else."""

    async def script(socket):
        for line in lines:
            await socket.send(line)
        await (then or ends)(socket)

    return script


async def ends(socket):
    await socket.send(json.dumps({"channel": "tape", "data": {"end": 0, "speed": 1.0}}))


async def kills(socket):
    # What was sent must be on its way before the connection is torn down.
    await asyncio.sleep(0.05)
    socket.transport.abort()


async def waits(socket):
    await socket.wait_closed()


def run(served, inside, *, for_ns=None, patience_s=5.0, asked=(), after=None):
    """One session over what `served` yields; how it ended, and what was said."""
    said = io.StringIO()

    async def main():
        async with served as url:
            config = live.Config(for_ns, patience_s)
            feed = Feed(url, asked, 0, QUICK)
            session = live.Session(inside, feed, live.Status(said, 0.2), config)
            if after is not None:
                asyncio.get_running_loop().call_later(after, session.request_stop)
            return await session.run()

    return asyncio.run(main()), said.getvalue()


def targets(record):
    """`(ticks, lots)` of every decision, ticks of empty slots zeroed."""
    wanted = record.quotes.targets
    lots = np.asarray(wanted.lots)
    return np.where(lots > 0, np.asarray(wanted.ticks), 0), lots


def is_valid(inside):
    return np.array([bool(x.targets.is_valid) for x in inside.decisions])
