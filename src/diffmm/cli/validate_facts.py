"""`diffmm validate facts`: what a market is like, a world beside a recording."""

import argparse
import json
import pathlib
import sys
from typing import Any

from . import tapes
from .replay import say


NAME_WIDTH, VALUE_WIDTH = 26, 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this validation takes."""
    add = parser.add_argument
    add("--beside", metavar="WORLD", help="of facts: a world's name or its .toml, set beside")


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit code.

    Raises:
        ValueError: for a path that is neither, or a market too short.
    """
    from diffmm.evaluation import stylised_facts

    if not args.path:
        raise ValueError("facts are of a recording or a world; give its path or name")
    config = stylised_facts.Config()
    first = _tape(args.path, args)
    told = {
        "market": pathlib.Path(args.path).name,
        "coin": first.instrument.coin,
        "beside": args.beside,
        "seed": args.seed,
        "facts": stylised_facts.facts(first, config, args.seed),
        "beside_facts": None,
    }
    if args.beside:
        other = _tape(args.beside, args)
        told["beside_facts"] = stylised_facts.facts(other, config, args.seed)
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


def _tape(path_or_name: str, args: argparse.Namespace) -> Any:
    """Rows of a recording's coin, or of one run of a world as its stream shows it."""
    from diffmm.market import AccountInputs, EncoderConfig
    from diffmm.venues import tape_io, world_io

    path = pathlib.Path(path_or_name)
    if path.exists() and path.suffix != ".toml":
        coin = args.coin
        if coin is None:
            names = sorted(tape_io.universe(tape_io.read_lines(path)))
            if len(names) != 1:
                raise ValueError(f"{path} has {names}; name one of them with --coin")
            (coin,) = names
        return tapes.read(path_or_name, coin, None, args.clock, args.books).tape
    world = world_io.load_world(path_or_name)
    lines = list(world_io.lines(world, args.seed, args.for_s))
    ((_, instrument),) = tape_io.universe(lines).items()
    config = EncoderConfig()
    if args.clock == "exchange":
        lines, config = tape_io.on_exchange_clock(lines), EncoderConfig(base_latency_s=0.0)
    return tape_io.encode(lines, instrument, AccountInputs(), config)[0]


def _words(told: dict[str, Any]) -> None:
    """One line a figure, the world's beside."""
    head = f"{told['market'].partition('.')[0][:24]:>{VALUE_WIDTH}}"
    say(f"{'':<{NAME_WIDTH}}{head}  {told['beside'] or ''}")
    mine, other = _flat(told["facts"]), _flat(told["beside_facts"] or {})
    shown = lambda x: f"{'none' if x is None else format(x, '.4g'):>{VALUE_WIDTH}}"
    for name, value in mine.items():
        beside = shown(other[name]) if name in other else ""
        say(f"{name:<{NAME_WIDTH}}{shown(value)}{beside}")


def _flat(facts: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Figures without their intervals, nested names joined."""
    out = {}
    for key, value in facts.items():
        name = f"{above} {key}".strip()
        if not isinstance(value, dict):
            out[name] = value
        elif "value" in value or "slope_bp" in value:
            out[name] = value.get("value", value.get("slope_bp"))
        else:
            out |= _flat(value, name)
    return out
