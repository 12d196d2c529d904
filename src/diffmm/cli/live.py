"""`diffmm live`, and `run_live.py`: the engine on a market that reaches it over a websocket."""

import argparse
import asyncio
import dataclasses
import importlib.metadata
import json
import logging
import pathlib
import shlex
import sys
from typing import Any

from . import checkpoints, trading
from .durations import seconds, speed
from .replay import add_account_arguments, learn
from .saying import say
from .stopping import Stopper


OK, UNEXPECTED, USAGE, LOST, UNRECONCILED = 0, 1, 2, 5, 6
"""Exit codes."""
RUNS = pathlib.Path("runs") / "live"
PAGE = "report.html"
ROUND_S, SHORT_ROUND_S, LONG_S, LEAST_ROUNDS = 60, 5, 600.0, 5
"""Rounds of the learner in runs that are long, and in those that are not; fewer say nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add(
        "--mode",
        choices=["paper", "shadow", "live"],
        default="paper",
        help="paper: orders to a venue on this machine; shadow: none is sent; live: real money",
    )
    add("--for", dest="for_s", type=seconds, metavar="TIME", help="session time, e.g. 60s")
    add("--seed", type=int, default=0, help="of the world and of the reconnect jitter")
    add("--world", default="thin", help="shadow: generative world in place of a tape")
    add("--tape", metavar="FILE", help="recording to stream over the loopback")
    add(
        "--venue", metavar="URL", help="one that exists: http://127.0.0.1:P, wss://..., hyperliquid"
    )
    add("--coin", help="market, as the venue spells it")
    add("--reference", metavar="COIN", help="market of the same feed that leads")
    add("--size-decimals", type=int, help="of the coin; learnt from its first book if not given")
    add("--speed", type=speed, default=1.0, help="of a tape or world; changes no quote; inf")
    add(
        "--checkpoint",
        metavar="DIR|NAME",
        help="parameters; default checkpoints/default, on paper checkpoints/worlds",
    )
    add("--set", action="append", default=[], metavar="P=V", help="one parameter otherwise")
    add_account_arguments(parser)
    trading.add_arguments(parser)
    add("--name", help="of the run's folder under runs/live")
    add("--status", type=seconds, default=5.0, metavar="TIME", help="between status lines")
    add("--patience", type=seconds, default=30.0, metavar="TIME", help="wait for a silent venue")
    add("--json", action="store_true", help="one object on one line of stdout")
    add("--html", metavar="OUT", help="page; default in the run's folder; '' for none")


def main(args: argparse.Namespace) -> int:
    """Run one session; the exit code."""
    # What goes wrong with the peer is said by the session; the library would add a traceback.
    logging.getLogger("websockets").addHandler(logging.NullHandler())
    from diffmm.live import DamagedError, JournalError, KeyFileError
    from diffmm.training import CheckpointError, OverrideError

    from .source import UsageError, VenueError

    say("diffmm", importlib.metadata.version("diffmm"))
    codes: dict[type[Exception], int] = {
        UsageError: USAGE,
        KeyFileError: USAGE,
        CheckpointError: USAGE,
        OverrideError: USAGE,
        VenueError: LOST,
        DamagedError: UNRECONCILED,
        JournalError: UNEXPECTED,
    }
    is_paper = args.mode == "paper" and not args.tape
    is_world = args.mode == "shadow" and not (args.tape or args.venue)
    args.checkpoint = checkpoints.for_market(
        args.checkpoint,
        is_generated=is_paper or is_world,
        world=args.world if is_world else None,
    )
    try:
        return _shadow(args) if args.mode == "shadow" else trading.run(args)
    except tuple(codes) as error:
        say("error", str(error))
        return next(code for kind, code in codes.items() if isinstance(error, kind))


@dataclasses.dataclass(frozen=True)
class Setup:
    """Everything behind the socket, chosen and loaded before anything connects."""

    params: Any
    checkpoint: checkpoints.Found
    rule: Any
    config: Any
    account: Any


def compiled(args: argparse.Namespace) -> Any:
    """The engine for real orders, compiled before anything connects."""
    from diffmm import live
    from diffmm.engine import loop
    from diffmm.training import CheckpointError

    params, found = checkpoints.load(args.checkpoint, args.set)
    if args.mode == "live" and args.checkpoint and not found.is_promoted:
        raise CheckpointError(
            f"{args.checkpoint} is not promoted, and real money trades only what is; "
            f"diffmm ckpt promote {args.checkpoint} --to NAME, then --checkpoint NAME"
        )
    return live.Timed(checkpoints.stepper(found, params, None, loop.Config.default()))


def _shadow(args: argparse.Namespace) -> int:
    say("mode", "SHADOW - no order leaves this process, fills are modelled. No key was looked for")
    with Stopper() as stopper:
        from diffmm import live

        from .source import find

        found, setup = find(args), _setup(args)
        at = found.instrument
        say("venue", f"{found.label}   coin {at.coin}   lot 1e-{at.size_decimals}")
        folder = RUNS / (args.name or f"{args.mode}-{at.coin.replace(':', '-').lower()}")
        with live.journal.in_folder(folder / "journal") as journal:
            core = _core(setup, found, journal)
            say("files", f"{journal.path}   Ctrl-C stops")
            journal.write(
                {
                    "t": "run",
                    "mode": args.mode,
                    "venue": found.label,
                    "coin": at.coin,
                    "checkpoint": args.checkpoint,
                }
            )
            status = live.Status(sys.stderr, args.status)
            end = asyncio.run(_stream(args, found, core, status, stopper))
            status.show(core)
            status.end()
            page = folder / PAGE if args.html is None else pathlib.Path(args.html)
            _finish(args, found, setup, core, end, page if args.html != "" else None)
    return LOST if end is live.End.LOST else OK


def _setup(args: argparse.Namespace) -> Setup:
    from diffmm.core import defaults
    from diffmm.engine import loop
    from diffmm.market import AccountInputs
    from diffmm.simulation import hard_fills

    account = AccountInputs(
        wealth_usd=args.wealth_usd,
        room_usd=args.room_usd,
        gamma_limit_usd=args.gamma_limit_usd,
        maker_fee_bp=args.fee_bp,
    )
    params, found = checkpoints.load(args.checkpoint, args.set)
    return Setup(params, found, defaults(hard_fills.Params), loop.Config.default(), account)


def _core(setup: Setup, found: Any, journal: Any) -> Any:
    """The session's inside, compiled."""
    from diffmm import live
    from diffmm.market import EncoderConfig
    from diffmm.venues.intake import Intake

    config = setup.config
    encoder = EncoderConfig(layout=config.layout, frame_rows=config.frame_rows)
    intake = Intake(found.instrument, setup.account, encoder, found.reference)
    made = checkpoints.stepper(setup.checkpoint, setup.params, setup.rule, config)
    return live.Core(live.Timed(made), intake, setup.account, journal)


async def _stream(
    args: argparse.Namespace, found: Any, core: Any, status: Any, stopper: Stopper
) -> Any:
    from diffmm import live

    from . import source

    coins = [x.coin for x in (found.instrument, found.reference) if x]
    limit = None if args.for_s is None else round(args.for_s * source.NS)
    config = live.Config(limit, args.patience)
    async with found.served(args.speed) as url:
        session = live.Session(core, source.feed(url, coins, args.seed), status, config)
        stopper.watch(session.request_stop)
        return await session.run()


def _finish(
    args: argparse.Namespace,
    found: Any,
    setup: Setup,
    core: Any,
    end: Any,
    page: pathlib.Path | None,
) -> None:
    """The figures of the run, on stdout, on the page and in words."""
    from .outcome import summary

    told = summary(args, found, setup, core, end)
    title = f"{found.instrument.coin} on {found.label}"
    if page and core.decisions:
        _write_page(page, args, title, core, told, setup)
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    say(
        "summary",
        f"{told['events']} events, {told['decisions']} decisions, {told['fills']} modelled fills, "
        f"pnl {told['pnl_usd']:+.2f} USD, max pos {told['max_abs_position_usd']:.0f} USD, "
        f"faults {sum(told['faults'].values())}; {end.value}",
    )


def _write_page(
    page: pathlib.Path,
    args: argparse.Namespace,
    title: str,
    core: Any,
    told: Any,
    setup: Setup | None = None,
) -> None:
    """The run's page; with a fill rule the learner's rows too."""
    from diffmm.report import write_page

    tape = core.tape()
    learner, span_s = None, float(tape.events().dt_s.sum())
    round_s = ROUND_S if span_s > LONG_S else SHORT_ROUND_S
    if setup is not None and span_s > LEAST_ROUNDS * round_s:
        learner, told["learner"] = learn(
            args, tape, setup.params, setup.rule, setup.config, round_s
        )
    page.parent.mkdir(parents=True, exist_ok=True)
    write_page(
        page,
        title=title,
        mode=args.mode,
        summary=told,
        tape=tape,
        record=core.record(),
        learner=learner,
        reproduce=shlex.join(["python", *sys.argv]),
    )
    say("page", str(page))


def show(args: argparse.Namespace, folder: pathlib.Path, told: Any, core: Any, title: str) -> None:
    """A trading run's page, and its summary in words."""
    if core.decisions and args.html != "":
        _write_page(
            folder / PAGE if args.html is None else pathlib.Path(args.html), args, title, core, told
        )
    say(
        "summary",
        f"{told['events']} events, {told['decisions']} decisions, {told['fills']} fills, "
        f"pnl {told['pnl_usd']:+.2f} USD, max pos {told['max_abs_position_usd']:.0f} USD, "
        f"rejects {sum(told['rejects'].values())}, faults {sum(told['faults'].values())}",
    )
