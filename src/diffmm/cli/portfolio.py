"""`diffmm replay --portfolio`: several coins of one recording, or several worlds, on one budget."""

import argparse
import dataclasses
import json
import sys
import time
from typing import Any

from .replay import account_inputs, fill_rule, find_tape, load_params, say


OK = 0
NS = 1_000_000_000
DECIMALS = 6
"""Of what is printed."""


def run(args: argparse.Namespace) -> int:
    """Replay all of them together; the exit code.

    Raises:
        TapeError: for a coin or a recording that is not there, or options of a single coin.
    """
    from diffmm.core import defaults
    from diffmm.engine import loop, portfolio
    from diffmm.report import summary as report
    from diffmm.risk import portfolio as joint
    from diffmm.training import apply

    account = account_inputs(args)
    markets = _markets(args, account)
    on_touch = args.fill_on == "prints_or_touch"
    config = loop.Config.default(on_touch, takers_have_limits=bool(args.world))
    params = load_params(args.checkpoint, args.set, is_generated=bool(args.world))
    rule = fill_rule(args)
    reads = apply(defaults(joint.Params), args.correlation)
    started = time.perf_counter()
    records, path = portfolio.replay(
        [leg for _, leg, _ in markets],
        params,
        rule,
        config,
        reads,
        is_shared=args.portfolio == "shared",
    )
    took_s = time.perf_counter() - started
    coins = {}
    for (name, leg, told), record in zip(markets, records, strict=True):
        scored = report.score(leg.tape, record, account)
        summary = report.summary(scored, rule, account, fill_on_touch=on_touch, seed=args.seed)
        coins[name] = {**told, **summary}
    price = portfolio.budget_price(path.shared, records)
    whole = {
        "mode": args.portfolio,
        "set": args.set,
        "correlation_params": {
            f.name: float(getattr(reads, f.name)) for f in dataclasses.fields(reads)
        },
        "portfolio": _joint(list(coins), path, price),
        "pnl_usd": sum(x["pnl_usd"] for x in coins.values()),
        "seconds": round(took_s, 1),
        "coins": coins,
    }
    if args.json:
        sys.stdout.write(json.dumps(whole) + "\n")
    _tell(whole)
    return OK


def _markets(args: argparse.Namespace, account: Any) -> list[tuple[str, Any, dict[str, Any]]]:
    """Name, market and what is to be said of it, of each."""
    import numpy as np

    from diffmm.engine.portfolio import Leg
    from diffmm.venues.tape_io import TapeError

    if args.html or args.learn:
        raise TapeError("--html and --learn are of one market; leave them out with --portfolio")
    if args.world:
        # A seed for each, so that two of the same world are two markets.
        ways = [
            {"world": x, "seed": args.seed + k} for k, x in enumerate(args.world.split(",")) if x
        ]
        names = [f"{x['world']} seed {x['seed']}" for x in ways]
    else:
        names = list(dict.fromkeys(x for x in (args.coin or "").split(",") if x))
        ways = [{"coin": x} for x in names]
    if not ways:
        raise TapeError("--portfolio needs --coin A,B with a recording, or --world A,B")
    out = []
    for name, way in zip(names, ways, strict=True):
        tape, told, end_ns = find_tape(argparse.Namespace(**{**vars(args), **way}), account)
        span_s = float(np.asarray(tape.events().dt_s, np.float64).sum())
        out.append((name, Leg(tape, end_ns - round(span_s * NS)), told))
    return out


def _joint(names: list[str], path: Any, budget_price: Any) -> dict[str, Any]:
    """What is said of the joint account, over its decisions."""
    import numpy as np

    s = path.shared
    plain = lambda x: np.round(np.asarray(x, float), DECIMALS).tolist()
    by_coin = lambda values: dict(zip(names, plain(values), strict=True))
    over = lambda x: {"mean": plain(x.mean()), "max": plain(x.max()), "end": plain(x[-1])}
    held = np.abs(path.position_usd)
    return {
        "coins": names,
        "decisions": len(path.leg),
        "ticks": path.ticks,
        "seconds": plain(path.times_s[-1]),
        "correlation": {"mean": plain(s.correlation.mean(0)), "end": plain(s.correlation[-1])},
        "risk_usd": over(s.risk_usd),
        "risk_if_uncorrelated_usd": over(s.apart_usd),
        "cost_usd": over(s.cost_usd),
        "position_usd": {"mean_abs": by_coin(held.mean(0)), "max_abs": by_coin(held.max(0))},
        "cross_usd": {"mean_abs": by_coin(np.abs(s.cross_usd).mean(0))},
        "shadow_price_bp": {
            "mean_abs": by_coin(np.abs(s.price_bp).mean(0)),
            "max_abs": by_coin(np.abs(s.price_bp).max(0)),
            "end": by_coin(s.price_bp[-1]),
        },
        "budget_price_bp": by_coin(budget_price),
    }


def _tell(whole: dict[str, Any]) -> None:
    at = whole["portfolio"]
    for name, x in whole["coins"].items():
        say(
            f"{name}: {x['decisions']} decisions, {x['fills']} modelled fills, pnl "
            f"{x['pnl_usd']:+.2f} USD, |q| up to {at['position_usd']['max_abs'][name]:.0f} USD, "
            f"shadow price mean |c| {at['shadow_price_bp']['mean_abs'][name]:.4f} bp, "
            f"most {at['shadow_price_bp']['max_abs'][name]:.4f} bp"
        )
    say(f"mean correlation over {at['ticks']} ticks:")
    for name, row in zip(at["coins"], at["correlation"]["mean"], strict=True):
        say(f"  {name:>8} " + " ".join(f"{x:+.3f}" for x in row))
    risk, alone = at["risk_usd"], at["risk_if_uncorrelated_usd"]
    say(
        f"{whole['mode']}: joint risk mean {risk['mean']:.3f} USD, most {risk['max']:.3f} USD "
        f"(uncorrelated it would be {alone['mean']:.3f} and {alone['max']:.3f}), "
        f"pnl {whole['pnl_usd']:+.2f} USD"
    )
