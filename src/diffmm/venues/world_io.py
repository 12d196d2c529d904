"""Generative worlds from files, and as the raw lines that a venue would have sent."""

import json
import pathlib
from collections.abc import Iterator

from diffmm.market.instrument import Instrument, text
from diffmm.market.messages import (
    BookMessage,
    ContextMessage,
    Message,
    TouchMessage,
    TradesMessage,
)
from diffmm.simulation import generative, parse, World


FOLDER = pathlib.Path("experiments") / "worlds"
CHECKOUT = pathlib.Path(__file__).parents[3]


class WorldError(ValueError):
    """A world that cannot be made; the message says what was found and expected."""


def load_world(path_or_name: str | pathlib.Path) -> World:
    """A world by the path of its TOML, or by the name of one under `experiments/worlds`.

    Raises:
        WorldError: for a name or file that is missing, or a file that is no world.
    """
    path = pathlib.Path(path_or_name)
    if path.suffix != ".toml":
        folders = [pathlib.Path.cwd() / FOLDER, CHECKOUT / FOLDER]
        found = [x for x in (folder / f"{path}.toml" for folder in folders) if x.exists()]
        if not found:
            names = sorted({x.stem for folder in folders for x in folder.glob("*.toml")})
            raise WorldError(
                f"no world {str(path)!r} in {FOLDER}; there are {', '.join(names) or 'none'}; "
                "name one of them or give the path of a .toml file"
            )
        path = found[0]
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}; expected a world's .toml file") from error
    except ValueError as error:
        raise WorldError(f"{path}: {error}") from error


def lines(
    world: World, seed: int, duration_s: float | None = None, coin: str | None = None
) -> Iterator[str]:
    """One run of a world as raw `<receive ns> <json>` lines of the venue.

    Only prints that reach the other makers' book are there: the stream does not know of us.

    Args:
        world: its laws.
        seed: same seed, same lines.
        duration_s: in place of the world's own.
        coin: in place of the world's own name.
    """
    market = generative.simulate(world, seed, duration_s)
    at = market.instrument
    for stamp, message in generative.messages(market, "public"):
        yield f"{stamp} {json.dumps(_frame(message, at, coin or at.coin), separators=(',', ':'))}"


def _frame(message: Message, at: Instrument, coin: str) -> dict:
    """The venue's frame of a message."""
    level = lambda x: {"px": text(x[0], at.price_decimals), "sz": text(x[1], at.size_decimals)}
    if isinstance(message, TouchMessage):
        best = [None if x is None else level(x) for x in (message.bid, message.ask)]
        return {"channel": "bbo", "data": {"coin": coin, "time": message.exchange_ms, "bbo": best}}
    if isinstance(message, BookMessage):
        sides = [[{**level(x), "n": 1} for x in side] for side in (message.bids, message.asks)]
        data = {"coin": coin, "time": message.exchange_ms, "levels": sides}
        return {"channel": "l2Book", "data": data}
    if isinstance(message, TradesMessage):
        return {
            "channel": "trades",
            "data": [
                {
                    "coin": coin,
                    "side": "B" if one.sign > 0 else "A",
                    "px": text(one.price, at.price_decimals),
                    "sz": text(one.size, at.size_decimals),
                    "time": one.exchange_ms,
                    "tid": one.tid,
                }
                for one in message.prints
            ],
        }
    if isinstance(message, ContextMessage):
        context = {
            "funding": f"{message.funding_rate_1h:.10f}",
            "openInterest": f"{message.open_interest:.2f}",
            "markPx": None if message.mark is None else text(message.mark, at.price_decimals),
        }
        return {"channel": "activeAssetCtx", "data": {"coin": coin, "ctx": context}}
    raise TypeError(f"a world sends no {type(message).__name__}")
