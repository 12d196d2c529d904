"""Markets that a validation pools: coins of one recording, or seeds of one generative world."""

import argparse
import dataclasses
import pathlib
from typing import Any

from .replay import CADENCES


START_MS_OFFSET_S = 2e-3
"""Stamps are whole milliseconds; a row finds the truth of its own moment, not of the one before."""


@dataclasses.dataclass(frozen=True)
class Market:
    """One market, ready to be run.

    **Attributes:**

    - `name`: how it is called under `coins`.
    - `tape`: its rows.
    - `truth_bp`: true V at each row in the coordinate of `forecast.Path.mid_bp`; a world has one.
    - `notices`, `counters`: what was odd on the way.
    - `drawn`: the world's run, with the truth about its takers.
    - `drift_bp_s`: true drift of the public price at each row of a world.
    """

    name: str
    tape: Any
    truth_bp: Any
    notices: dict[str, int]
    counters: dict[str, int]
    drawn: Any = None
    drift_bp_s: Any = None

    @property
    def is_world(self) -> bool:
        """Whether its takers carry limits."""
        return self.truth_bp is not None


def find(args: argparse.Namespace, account: Any) -> list[Market]:
    """Markets that the arguments name.

    Raises:
        ValueError: for a recording, coin or world that is not there.
    """
    if args.path is None:
        raise ValueError("give a recording, or a world's name or .toml file")
    if is_world(args.path):
        return _worlds(args, account)
    return _coins(args, pathlib.Path(args.path), account)


def is_world(name: str) -> bool:
    """Whether it names a world or its file rather than a recording."""
    path = pathlib.Path(name)
    return path.suffix == ".toml" or not (path.exists() or path.suffix)


def _coins(args: argparse.Namespace, path: pathlib.Path, account: Any) -> list[Market]:
    from diffmm.market import EncoderConfig
    from diffmm.venues import tape_io

    lines = list(tape_io.read_lines(path))
    known = tape_io.universe(lines)
    if not args.coin:
        raise ValueError(f"--coin is missing; {path} has {', '.join(sorted(known))}")
    asked = [tape_io.named(known, coin) for coin in args.coin.split(",") if coin]
    reference = tape_io.named(known, args.reference) if args.reference else None
    for name in [*asked, *filter(None, [reference])]:
        if name not in known:
            raise ValueError(f"no coin {name!r} in {path}; it has {', '.join(sorted(known))}")
    if cadence := CADENCES[args.books]:
        lines = list(tape_io.thin(lines, *cadence))
    config = EncoderConfig()
    if args.clock == "exchange":
        lines, config = tape_io.on_exchange_clock(lines), EncoderConfig(base_latency_s=0.0)
    out = []
    for coin in dict.fromkeys(asked):
        leads = known[reference] if reference and reference != coin else None
        tape, encoder, notices = tape_io.encode(lines, known[coin], account, config, leads)
        out.append(Market(coin, tape, None, notices, dataclasses.asdict(encoder.counters)))
    return out


def _worlds(args: argparse.Namespace, account: Any) -> list[Market]:
    from diffmm.market import EncoderConfig
    from diffmm.simulation import generative
    from diffmm.venues import world_io

    if args.seeds < 1:
        raise ValueError(f"--seeds {args.seeds}, expected at least 1")
    world = world_io.load_world(args.path)
    out = []
    for seed in range(args.seed, args.seed + args.seeds):
        market = generative.simulate(world, seed, args.for_s)
        tape, encoder = generative.tape(market, account, EncoderConfig())
        counters = dataclasses.asdict(encoder.counters)
        name = f"{market.instrument.coin} seed {seed}"
        at = _moments(market, tape)
        truth_bp = _truth_bp(market, tape, at)
        out.append(Market(name, tape, truth_bp, {}, counters, market, market.drift_bp_s[at]))
    return out


def _moments(market: Any, tape: Any) -> Any:
    """Index into the truth's times when each row happened at the venue."""
    import numpy as np

    event = tape.events()
    received_s = np.cumsum(np.asarray(event.dt_s, np.float64))
    happened_s = received_s - np.asarray(event.lag_s, np.float64) + market.lag_s[0]
    moment = np.searchsorted(market.times_s, happened_s + START_MS_OFFSET_S, side="right") - 1
    return np.maximum(moment, 0)


def _truth_bp(market: Any, tape: Any, at: Any) -> Any:
    """V at each row, about the tape's first anchor."""
    import numpy as np

    from diffmm.simulation import generative

    start = float(generative.price(market, 0.0))
    return market.value_bp[at] + generative.BP * np.log(start / tape.anchors[0][1])
