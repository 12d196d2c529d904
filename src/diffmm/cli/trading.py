"""`diffmm live --mode paper|live`: real orders, on the embedded venue or on Hyperliquid."""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import pathlib
import secrets
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

from .durations import seconds
from .saying import say
from .stopping import Stopper


LATCHED, LOCKED = 4, 8
"""Exit codes; the core's own are beside them."""
NS = 1_000_000_000
FLATTEN_NS = 20 * NS
"""How long a stop tries to close the position, where it is asked to."""
MAINNET = "https://api.hyperliquid.xyz"
TESTNET = "https://api.hyperliquid-testnet.xyz"
REQUEST_PRICE = "allocation.message_usd=0.0005"
"""What the venue asks for one request beyond an address's budget, unless set otherwise."""
NAMES = {"hyperliquid": MAINNET, "hyperliquid-testnet": TESTNET}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only trading takes."""
    add = parser.add_argument
    add("--yes-live", action="store_true", help="live: I know that this is real money")
    add("--limits", metavar="FILE", help="TOML with a [limits] table; live requires it")
    add("--account", metavar="ADDRESS", help="live: of the master, where an agent's key signs")
    add("--venue-budget", type=seconds, default=30.0, metavar="TIME", help="without the venue")
    add("--flatten", action="store_true", help="a stop closes the position too")
    add("--no-watchdog", action="store_true", help="no process that cancels when this one dies")


@dataclasses.dataclass(frozen=True)
class Key:
    """A key and whose account it trades; the key is shown to nobody.

    **Attributes:**

    - `raw`: the key.
    - `user`: address of the account.
    """

    raw: bytes = dataclasses.field(repr=False)
    user: str


def run(args: argparse.Namespace) -> int:
    """One run; the exit code."""
    from diffmm.live import kill_latch, lock

    from . import runs

    args.set = [REQUEST_PRICE, *args.set]
    folder = runs.RUNS / (args.name or f"{args.mode}-{(args.coin or 'sim').lower()}")
    with Stopper() as stopper:
        try:
            with lock.hold(folder):
                if (standing := kill_latch.read(folder)) is not None:
                    say("latched", f"{standing.reason}; clear it with diffmm unkill --reason TEXT")
                    return LATCHED
                with _venue(args) as base:
                    return _trade(args, folder, base, stopper)
        except lock.LockedError as error:
            say("locked", str(error))
            return LOCKED


@contextlib.contextmanager
def _venue(args: argparse.Namespace) -> Iterator[str]:
    """Base address of the venue; one of our own where none is given."""
    from .source import UsageError
    from .venue_process import embedded

    if args.mode == "live":
        venue = args.venue or "hyperliquid"
        yield NAMES.get(venue, venue)
        return
    if args.venue:
        yield args.venue.removesuffix("/")
        return
    words = ["--seed", str(args.seed), "--maker-fee-bp", str(args.fee_bp)]
    if args.tape:
        if not args.coin:
            raise UsageError("--tape needs --coin, the market of the tape that is traded")
        words += ["--tape", args.tape, "--coin", args.coin]
    with embedded([*words, "--speed", str(args.speed)]) as base:
        yield base


def _key(args: argparse.Namespace, base: str) -> Key:
    """A key for play money made here, or the one that a person gave for real money."""
    from diffmm.live import keys
    from diffmm.venues.hyperliquid.signer import Signer, throwaway

    from .source import UsageError

    if args.mode == "paper":
        # The same venue and name give the same account again, so that a restart finds its orders.
        words = f"{base} {args.name}".encode() if args.venue else secrets.token_bytes(32)
        raw = throwaway(words)
        return Key(raw, Signer(raw).address)
    if not args.yes_live or not args.limits:
        raise UsageError("--mode live needs --yes-live, --limits FILE and a key; see the README")
    raw = keys.of_environment()
    if raw is None:
        raise UsageError(f"--mode live found no key in {keys.VARIABLE} or {keys.FILE_VARIABLE}")
    return Key(raw, (args.account or Signer(raw).address).lower())


def _trade(args: argparse.Namespace, folder: pathlib.Path, base: str, stopper: Stopper) -> int:
    from diffmm.live import shell
    from diffmm.venues.hyperliquid.signer import Signer

    from . import preflight
    from .source import UsageError

    if not base.startswith(("http://", "https://")):
        raise UsageError(f"--venue {base!r}, expected http://127.0.0.1:PORT or {', '.join(NAMES)}")
    at = shell.Endpoint(base, f"ws{base[4:]}/ws")
    if args.mode == "paper" and not at.is_loopback:
        raise UsageError(f"--mode paper trades on this machine only; found {base}")
    key = _key(args, base)
    signer = Signer(key.raw, is_mainnet=base == MAINNET)
    found = preflight.look(base, args.coin, key.user, is_play=args.mode == "paper")
    say("mode", f"{args.mode.upper()} - orders go to {base}, account {key.user}")
    say("venue", f"{base}   coin {found.instrument.coin}   lot 1e-{found.instrument.size_decimals}")
    one = Run(args, folder, at, key, signer, found)
    code, trader = one.go(stopper)
    one.finish(trader, code)
    return code


class Run:
    """Everything of one run, put together."""

    def __init__(
        self,
        args: argparse.Namespace,
        folder: pathlib.Path,
        at: Any,
        key: Key,
        signer: Any,
        found: Any,
    ):
        self.args, self.folder, self.at = args, folder, at
        self.key, self.signer, self.found = key, signer, found
        self.account = found.account(args.room_usd, args.gamma_limit_usd)
        self.label = f"embedded {at.http}" if at.is_loopback else at.http

    def go(self, stopper: Stopper) -> tuple[int, Any]:
        """Recover, trade, end."""
        from diffmm.live import journal, recovery
        from diffmm.live.guard import watched

        args, home = self.args, self.folder / "journal"
        known = recovery.recover(home, self.found.instrument, self.key.user)
        trader = self._core(known)
        state = lambda: recovery.state(
            dataclasses.replace(known, nonce=trader.desk.nonce), trader.now_ns, self.key.user
        )
        segments = journal.Segments(home, state(), state)
        say("files", f"{segments.path}   Ctrl-C stops")
        guarding = contextlib.nullcontext() if args.no_watchdog else watched(self._told())
        with contextlib.closing(segments), guarding as guard:
            segments.write({"t": "run", **self._header()})
            end = asyncio.run(self._stream(trader, segments, stopper, guard))
            # A venue of our own ends with us, and with it whatever rests there.
            if guard is not None and (trader.is_confirmed or not args.venue):
                guard.leave()
        say("ended", f"{end.reason}; {trader.resting_at_exit} resting")
        return end.code, trader

    def finish(self, trader: Any, code: int) -> None:
        """The figures of the run, on stdout, on the page and in words."""
        from .live import show
        from .outcome import traded

        told = traded(self.args, self.label, trader, self.account, code)
        show(self.args, self.folder, told, trader, f"{trader.desk.at.coin} on {self.label}")
        if self.args.json:
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()

    def _told(self) -> dict[str, Any]:
        """What the watchdog must know."""
        return {
            "http": self.at.http,
            "user": self.key.user,
            "asset": self.found.asset,
            "coin": self.found.instrument.coin,
            "key": self.key.raw.hex(),
            "is_mainnet": self.signer.is_mainnet,
        }

    def _header(self) -> dict[str, Any]:
        return {
            "mode": self.args.mode,
            "venue": self.label,
            "coin": self.found.instrument.coin,
            "size_decimals": self.found.instrument.size_decimals,
            "user": self.key.user,
            "account": dataclasses.asdict(self.account),
            "set": self.args.set,
            "checkpoint": self.args.checkpoint,
        }

    def _core(self, known: Any) -> Any:
        from diffmm.live import assemble

        from .live import compiled

        args, found = self.args, self.found
        return assemble.trader(
            stepper=compiled(args),
            instrument=found.instrument,
            asset=found.asset,
            user=self.key.user,
            account=self.account,
            limits=self._limits(),
            known=known,
            config=assemble.Config(
                venue_ns=round(args.venue_budget * NS),
                for_ns=None if args.for_s is None else round(args.for_s * NS),
                flatten_ns=FLATTEN_NS if args.flatten else 0,
            ),
        )

    def _limits(self) -> Any:
        from diffmm.live import limits

        from .source import UsageError

        at = self.found.instrument
        if not self.args.limits:
            return limits.of_paper(self.account, at, self.found.price)
        try:
            with open(self.args.limits, "rb") as file:
                return limits.parse(tomllib.load(file).get("limits", {}), at)
        except (OSError, tomllib.TOMLDecodeError, limits.LimitsError) as error:
            raise UsageError(f"{self.args.limits}: {error}") from error

    async def _stream(self, trader: Any, segments: Any, stopper: Stopper, guard: Any) -> Any:
        from diffmm.live import shell
        from diffmm.live.panel import Panel

        panel = Panel(self.folder, self.args.mode, self.label, trader, self.args.status)
        running = shell.Shell(trader, segments, self.signer, self.at, panel.latch, panel.say)
        loop = asyncio.get_running_loop()
        stopper.watch(lambda: loop.call_soon_threadsafe(running.stop))
        beside = [panel.serve(running, segments)]
        if guard is not None:
            beside.append(guard.beats())
        tasks = [asyncio.create_task(x) for x in beside]
        try:
            return await running.run()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            panel.end(running.ended, segments)
