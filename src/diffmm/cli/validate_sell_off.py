"""`diffmm validate sell-off`: the predecessor's sell-off, its quoter and ours, and the mirror."""

import argparse
import json
import sys
from typing import Any

from .replay import fill_rule, load_params, say
from .validate_pricing import RULES


CONTRACTS = 10.0
"""Room, as the bar is stated."""
WEALTH_PER_ROOM = 0.1
"""The room is ten times what the account is worth, as of a small one that quotes with leverage."""
CONVEXITY = 1e4
"""Taste of ours as stated, `risk.convexity`: half a contract of that room costs bps to hold."""
LEVELS = 2
"""Quotes a side of the quoter, one contract each; a seller who takes both is its ladder sweep."""
INSIDE = 0.95
"""Of the touch's half spread, at which the quoter stands without a drift."""
CHUNK = 1024
"""Frames that a tape is filled up to a multiple of."""
MOST_ABOVE, NOTIONAL_WITHIN = 0.5, 0.2
"""The bars: contracts above the flat mean, and share by which filled notional may differ."""


def run(args: argparse.Namespace) -> int:
    """Run every seed through every maker, print; the exit code.

    Raises:
        ValueError: for arguments that cannot be followed.
    """
    if args.seeds < 1:
        raise ValueError(f"--seeds {args.seeds}, expected at least 1")
    told = _compared(args)
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


def _compared(args: argparse.Namespace) -> dict[str, Any]:
    from diffmm.market import AccountInputs
    from diffmm.report import summary
    from diffmm.simulation import sell_off

    script, on_touch = sell_off.Script(), args.fill_on == RULES[True]
    contract_usd = sell_off.WORLD.market.mid_usd
    room_usd = CONTRACTS * contract_usd
    account = AccountInputs(
        wealth_usd=WEALTH_PER_ROOM * room_usd,
        room_usd=room_usd,
        gamma_limit_usd=args.gamma_limit_usd,
        maker_fee_bp=args.fee_bp,
    )
    taste = [f"risk.convexity={CONVEXITY:g}", *args.set]
    params = load_params(args.checkpoint, taste, is_generated=True)
    rule = fill_rule(args)
    seeds = {
        f"seed {seed}": _one(script, seed, account, params, rule, contract_usd, on_touch)
        for seed in range(args.seed, args.seed + args.seeds)
    }
    return {
        "script": vars(script),
        "contract_usd": contract_usd,
        "wealth_usd": account.wealth_usd,
        "convexity": float(params.risk.convexity),
        "room_contracts": CONTRACTS,
        "gamma_limit_usd": account.gamma_limit_usd,
        "fee_bp": args.fee_bp,
        "fill_rule": summary.fill_rule(rule, on_touch),
        "set": args.set,
        "seeds": seeds,
    }


def _one(
    script: Any,
    seed: int,
    account: Any,
    params: Any,
    rule: Any,
    contract_usd: float,
    on_touch: bool,
) -> dict[str, Any]:
    """Both makers on both tapes of one seed, and the bars."""
    from diffmm.evaluation import forecast, sell_off as evaluation
    from diffmm.market import EncoderConfig
    from diffmm.simulation import generative, sell_off

    runs: dict[str, list[Any]] = {"gate_and_zone": [], "ours": []}
    for is_rally in (False, True):
        market = sell_off.simulate(script, seed, is_rally=is_rally)
        tape, _ = generative.tape(market, account, EncoderConfig())
        known = forecast.path(tape)
        lots = {
            "gate_and_zone": quoter_lots(tape, rule, contract_usd, on_touch),
            "ours": our_lots(tape, params, rule, contract_usd, on_touch),
        }
        for name, found in lots.items():
            runs[name].append(
                evaluation.run(known, found, 10**-tape.instrument.size_decimals, contract_usd)
            )
    told = {
        name: evaluation.told(fall, rally, script.flat_s, script.end_s)
        for name, (fall, rally) in runs.items()
    }
    theirs, ours = told["gate_and_zone"], told["ours"]
    differ = {
        part: ours[part]["filled_usd"] / theirs[part]["filled_usd"] - 1
        if theirs[part]["filled_usd"]
        else None
        for part in ("flat", "rally")
    }
    near = lambda x: x is not None and abs(x) <= NOTIONAL_WITHIN
    return {
        **told,
        "notional_of_ours_over_theirs_less_1": differ,
        "bars": {
            "above_flat": ours["above_flat"] < MOST_ABOVE,
            "flat_notional": near(differ["flat"]),
            "rally_notional": near(differ["rally"]),
        },
    }


def quoter_lots(tape: Any, rule: Any, contract_usd: float, on_touch: bool) -> Any:
    """Lots `[rows, side]` of the predecessor's quoter, contracts of one on every level."""
    import equinox as eqx
    import numpy as np

    from diffmm.core import defaults
    from diffmm.engine import chunks
    from diffmm.policies import gate_and_zone, on_tape
    from diffmm.simulation import hard_fills, sell_off

    # A whole number of lots, which single precision must not make one less.
    size = np.float32(contract_usd * (1 + 1e-6))
    half_bp = np.float32(INSIDE * sell_off.WORLD.makers.half_spread_bp)
    quoter = eqx.tree_at(
        lambda p: (p.size_usd, p.half_spread_bp), defaults(gate_and_zone.Params), (size, half_bp)
    )
    fills = hard_fills.Config(LEVELS, on_touch, takers_have_limits=True)
    stage = on_tape.build_alone(
        gate_and_zone.build(gate_and_zone.Config(LEVELS)), fills, tape.layout
    )
    asked = on_tape.Alone(rule, quoter)
    told = chunks.whole(chunks.fold(stage, asked, tape, unpack=chunks.as_packed()))
    return told.lots[:, 0]


def our_lots(tape: Any, params: Any, rule: Any, contract_usd: float, on_touch: bool) -> Any:
    """Lots `[rows, side]` of the engine, at most one contract a side."""
    import numpy as np

    from diffmm.engine import loop

    config = loop.Config.default(on_touch, takers_have_limits=True)
    most = np.float32(contract_usd * (1 + 1e-6))
    frames = tape.frames()
    # One compiled program for all tapes: the last frame again, its rows not valid.
    fills_up = np.repeat(frames[-1:], -len(frames) % CHUNK, axis=0)
    flags = tape.layout.views(np.arange(tape.layout.width, dtype=np.float32))
    fills_up[:, :, int(flags.is_valid)] = 0.0
    whole = np.concatenate([frames, fills_up])
    found = np.asarray(loop.capped(params, rule, whole, most, config=config).lots)[: len(frames)]
    index, valid = tape.frame_index()
    lots = np.zeros((len(tape.rows), 2), np.int64)
    lots[index[valid]] = found[valid]
    return lots


def _words(told: dict[str, Any]) -> None:
    for seed, one in told["seeds"].items():
        for name in ("gate_and_zone", "ours"):
            x = one[name]
            say(
                f"{seed} {name:<14} flat mean {x['flat']['mean']:+.2f}  peak in the sell-off "
                f"{x['sell_off']['most']:+.2f} ({x['above_flat']:+.2f} above)  filled USD flat "
                f"{x['flat']['filled_usd']:.0f}, sell-off {x['sell_off']['filled_usd']:.0f}, "
                f"rally {x['rally']['filled_usd']:.0f}"
            )
        say(
            f"{seed} bars: "
            + ", ".join(f"{k} {'met' if v else 'MISSED'}" for k, v in one["bars"].items())
        )
