"""Where a session's market comes from: a recording, a seeded world, or a feed that is there."""

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import pathlib
from collections.abc import AsyncIterator, Iterable, Iterator

from diffmm.live import instruments
from diffmm.market import Instrument
from diffmm.venues import tape_io, world_io
from diffmm.venues.client import Config as FeedConfig, Feed
from diffmm.venues.hyperliquid.codec import subscriptions
from diffmm.venues.local import serve_tape


NS = 1_000_000_000
ALIASES = {
    "hyperliquid": "wss://api.hyperliquid.xyz/ws",
    "hyperliquid-testnet": "wss://api.hyperliquid-testnet.xyz/ws",
}
WORLD_S = 3600.0
"""A world's length where no `--for` asks for another."""


class UsageError(ValueError):
    """Arguments that cannot be followed; the message says what was found and expected."""


class VenueError(RuntimeError):
    """A venue that cannot be reached or does not show the coin."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A market and how it is reached.

    **Attributes:**

    - `label`: how it is called in the output.
    - `instrument`, `reference`: what is read of it.
    - `lines`: to be served over the loopback; `None` where `url` is given.
    - `url`: an address that exists already.
    """

    label: str
    instrument: Instrument
    reference: Instrument | None
    lines: list[str] | None = None
    url: str | None = None

    @contextlib.asynccontextmanager
    async def served(self, speed: float) -> AsyncIterator[str]:
        """Address to connect to, for as long as the context lasts."""
        if self.lines is None:
            yield str(self.url)
            return
        async with serve_tape(self.lines, speed=speed) as url:
            yield url


def feed(url: str, coins: Iterable[str], seed: int) -> Feed:
    """A client that asks for everything the engine reads of the coins."""
    asked = [one for coin in coins for one in subscriptions(coin)]
    return Feed(url, asked, seed, FeedConfig())


def address(venue: str) -> str:
    """A websocket address from an alias or an address.

    Raises:
        UsageError: for anything else.
    """
    url = ALIASES.get(venue, venue)
    if not url.startswith(("ws://", "wss://")):
        names = ", ".join(ALIASES)
        raise UsageError(f"--venue {venue!r}, expected ws://..., wss://... or one of {names}")
    return url


def find(args: argparse.Namespace) -> Source:
    """The source that the arguments ask for.

    Raises:
        UsageError: for arguments that contradict each other, or a coin that is not there.
        VenueError: for a venue that shows no book of the coin.
    """
    if args.tape and args.venue:
        raise UsageError("--tape and --venue exclude each other; a tape is served by this process")
    if args.venue:
        return _venue(args)
    return _tape(args) if args.tape else _world(args)


def _tape(args: argparse.Namespace) -> Source:
    path = pathlib.Path(args.tape)
    try:
        known = tape_io.universe(tape_io.read_lines(path))
        instrument, reference = _pick(args, known)
        lines = list(_first(tape_io.read_lines(path), args.for_s))
    except tape_io.TapeError as error:
        raise UsageError(str(error)) from error
    return Source(f"loopback tape {path.name}", instrument, reference, lines)


def _world(args: argparse.Namespace) -> Source:
    if args.reference:
        raise UsageError("--reference needs a --tape or a --venue; a world has one instrument")
    try:
        world = world_io.load_world(args.world)
    except world_io.WorldError as error:
        raise UsageError(str(error)) from error
    coin = args.coin or world.market.coin
    # One second more than asked, so that the session ends by its own clock.
    length_s = WORLD_S if args.for_s is None else args.for_s + 1
    lines = list(world_io.lines(world, args.seed, length_s, coin))
    instrument = Instrument.hyperliquid(coin, world.market.size_decimals)
    return Source(f"loopback world {args.world} seed {args.seed}", instrument, None, lines)


def _venue(args: argparse.Namespace) -> Source:
    url = address(args.venue)
    if not args.coin:
        raise UsageError("--venue needs --coin; name one market as the venue spells it")
    coins = [args.coin] + ([args.reference] if args.reference else [])
    if args.size_decimals is not None:
        known = {args.coin: Instrument.hyperliquid(args.coin, args.size_decimals)}
        coins = [coin for coin in coins if coin not in known]
    else:
        known = {}
    if coins:
        known |= asyncio.run(instruments(feed(url, coins, args.seed), coins, args.patience))
    if missing := [coin for coin in coins if coin not in known]:
        raise VenueError(
            f"{url} showed no book of {', '.join(missing)} within {args.patience:g} s; "
            "check the network and the coin's spelling. Nothing else was tried in its place"
        )
    return Source(url, known[args.coin], known.get(args.reference), url=url)


def _pick(
    args: argparse.Namespace, known: dict[str, Instrument]
) -> tuple[Instrument, Instrument | None]:
    names = ", ".join(sorted(known)) or "none"
    coin = args.coin or (next(iter(known)) if len(known) == 1 else None)
    if coin is None:
        raise UsageError(f"--tape holds several coins; choose one with --coin: {names}")
    coin, reference = tape_io.named(known, coin), tape_io.named(known, args.reference or "")
    for name in (coin, reference):
        if name and name not in known:
            raise UsageError(f"the tape has no book of {name!r}; it has {names}")
    return known[coin], known.get(reference)


def _first(lines: Iterable[str], for_s: float | None) -> Iterator[str]:
    """The lines up to one past the end of the session, which tells it to end."""
    if for_s is None:
        yield from lines
        return
    lines = iter(lines)
    for line in itertools.islice(lines, 1):
        start = tape_io.split(line)[0]
        yield line
    for line in lines:
        yield line
        if tape_io.split(line)[0] - start > for_s * NS:
            return
