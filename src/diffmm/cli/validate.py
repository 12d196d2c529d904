"""`diffmm validate`: the parts of the engine, each against what came of what it said."""

import argparse
import json
import pathlib
import shlex
import sys
from typing import Any

from . import (
    tapes,
    validate_facts,
    validate_fills,
    validate_flow_type,
    validate_gradient,
    validate_liquidations,
    validate_pricing,
    validate_sell_off,
    validate_shadow,
    validate_unwind,
)
from .replay import add_account_arguments, add_rule_arguments, load_params, say


OK, USAGE = 0, 2
RUNS = {
    "gradient": validate_gradient.run,
    "pricing": validate_pricing.run,
    "shadow": validate_shadow.run,
    "liquidations": validate_liquidations.run,
    "fills": validate_fills.run,
    "facts": validate_facts.run,
    "unwind": validate_unwind.run,
    "sell-off": validate_sell_off.run,
    "flow-type": validate_flow_type.run,
}
LAG_MS, USABLE = "peak_ms_hl_binance", "usable"
"""Columns of a table of hourly lags."""
WARM_S = 30.0
"""Start of a recording that nothing is fitted on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("what", choices=["fair-value", *RUNS])
    add(
        "path", nargs="?", help="recording of `<receive ns> <json>` lines, plain or .gz; or a world"
    )
    add("--coin", help="market of the recording; of pricing: several, joined by commas")
    add("--world", default="busy", help="of the gradient: a world's name or its .toml")
    add("--point", choices=["far", "near"], default="far", help="near: after steps uphill")
    add("--paths", type=int, default=192, metavar="N", help="runs that are compared")
    add(
        "--checkpoint",
        metavar="DIR",
        help="parameters; default checkpoints/default, of a world of_world/NAME or worlds there",
    )
    add("--set", action="append", default=[], metavar="P=V", help="one parameter otherwise")
    add("--from", dest="start", type=float, default=0.6, metavar="F", help="scored from this share")
    add("--to", dest="end", type=float, default=1.0, metavar="F", help="scored up to this share")
    add("--seed", type=int, default=0, help="of the bootstrap and of the randomised transform")
    add("--participants", action="store_true", help="who quotes there: a table; a minute more")
    add("--propagation", action="store_true", help="how fast moves of the --reference are taken in")
    add("--lags", metavar="CSV", help="recorded hourly lags that --propagation is set beside")
    add("--json", action="store_true", help="one object on one line of stdout")
    add("--html", metavar="OUT", help="write a self-contained page")
    add("--life-s", type=float, default=validate_pricing.LIFE_S, help="of pricing: quote life")
    add("--mark-s", type=float, help="of pricing: age at which a fill is marked; risk.holding_s")
    add(
        "--seeds",
        type=int,
        default=1,
        help="of pricing, unwind, flow-type in a world, and of sell-off: runs, from --seed on",
    )
    add("--probes-only", action="store_true", help="of pricing: no placed quotes, no references")
    add(
        "--edge-offsets-bp", metavar="X,Y", help="of pricing: ours again with these, to match fills"
    )
    add("--for", dest="for_s", type=float, metavar="SECONDS", help="length of a world")
    tapes.add_arguments(parser)
    validate_fills.add_arguments(parser)
    validate_facts.add_arguments(parser)
    validate_unwind.add_arguments(parser)
    validate_flow_type.add_arguments(parser)
    parser.set_defaults(clock=None)
    add_account_arguments(parser)
    add_rule_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Score once; the exit code."""
    from diffmm.training import CheckpointError, OverrideError
    from diffmm.venues.tape_io import TapeError

    # A forecast is of the market as it was; an order meets it as late as it came.
    args.clock = args.clock or ("exchange" if args.what in ("fair-value", "facts") else "receive")
    try:
        return RUNS.get(args.what, _run)(args)
    except (CheckpointError, OverrideError, TapeError, ValueError) as error:
        say(f"error: {error}")
        return USAGE


def _run(args: argparse.Namespace) -> int:
    if not args.path or not args.coin:
        raise ValueError("fair-value scores a recording; give its path and --coin")
    if not 0 <= args.start < args.end <= 1:
        raise ValueError(f"--from {args.start} --to {args.end}, expected 0 <= from < to <= 1")
    if args.propagation and (not args.reference or args.reference == args.coin):
        raise ValueError("--propagation follows moves of another market; give its --reference")
    if args.lags and not args.propagation:
        raise ValueError("--lags are set beside --propagation, which was not asked for")
    lags = recorded_lags(pathlib.Path(args.lags)) if args.lags else None
    read = lambda clock: tapes.read(args.path, args.coin, args.reference, clock, args.books)
    recording = read(args.clock)
    truth = recording if args.clock == "exchange" else read("exchange")
    params = load_params(args.checkpoint, args.set, is_generated=False)
    summary, drawn = score(args, recording, truth, params)
    if args.propagation:
        summary["propagation"] = propagation(args, recording.tape) | {"recorded_lags": lags}
    if args.html:
        from diffmm.report.fair_value import write_fair_value

        page = pathlib.Path(args.html)
        page.parent.mkdir(parents=True, exist_ok=True)
        write_fair_value(page, summary, drawn, shlex.join(["diffmm", *sys.argv[1:]]))
        say(f"page {page}")
    if args.json:
        sys.stdout.write(json.dumps(summary) + "\n")
    _words(summary)
    return OK


def score(
    args: argparse.Namespace, recording: Any, truth: Any, params: Any
) -> tuple[dict[str, Any], Any]:
    """The object that the command prints, and what the page draws."""
    import dataclasses

    import numpy as np

    from diffmm.belief import V
    from diffmm.engine import graph, run
    from diffmm.evaluation import fair_value, forecast
    from diffmm.market import Kind
    from diffmm.report.fair_value import Drawn
    from diffmm.training import fit

    tape = recording.tape
    stage = graph.build(graph.Config.default()).observe
    told = run.watch(stage, params, tape.rows, unpack=tape.layout.unpack)
    known, real = forecast.path(tape), forecast.path(truth.tape)
    # Both on the time axis of the tape that the engine read, anchored where that one was.
    later_s = (truth.start_ns - recording.start_ns) / tapes.NS
    level = forecast.level_bp(tape, truth.tape)
    real = dataclasses.replace(real, time_s=real.time_s + later_s, mid_bp=real.mid_bp + level)
    span_s = known.time_s[-1]
    start_s, end_s = args.start * span_s, args.end * span_s
    at = forecast.moments(known, start_s, end_s, forecast.GRID_S, real)
    whole = forecast.moments(known, start_s, end_s, 1.0, real)
    before = forecast.moments(known, WARM_S, start_s, forecast.GRID_S, real)
    if not len(at.row):
        raise ValueError(f"nothing to score between {start_s:.0f} and {end_s:.0f} s of the tape")
    ours = fair_value.ahead(params.belief, told.belief, told.features, at.row)
    seconds = fair_value.ahead(params.belief, told.belief, told.features, whole.row)
    linear = fair_value.ridge(fair_value.ridge_inputs(told.features, known), before, at)
    by, gain, seed = fair_value.by_horizon, forecast.gain, args.seed
    calibrated = fair_value.calibration(seconds, whole, known.tick_bp[whole.row], seed)
    pit = calibrated.pop("pit")
    seen, columns = fit.index_columns(params.features, tape, tape.rows)
    sigma_bp = np.asarray(seen.sigma_bp, np.float64)
    table = None
    if len(before.row):
        table = fair_value.feature_table(fit.TERMS, columns, sigma_bp, before, at)
    weighted = known.weighted_bp[at.row]
    summary = {
        "market": pathlib.Path(args.path).name,
        "coin": tape.instrument.coin,
        "reference": args.reference if args.reference != args.coin else None,
        "clock": args.clock,
        "books": args.books,
        "from": args.start,
        "to": args.end,
        "events": len(tape.rows),
        "mse_gain_vs_mid": by(lambda k: gain(at, k, ours.mean_bp[:, k], seed=seed)),
        "weighted_mid": by(lambda k: gain(at, k, weighted, seed=seed)),
        "ridge": by(lambda k: gain(at, k, linear[:, k], seed=seed)) if linear is not None else None,
        **calibrated,
        "features": table,
        "participants": participants(args, tape) if args.participants else None,
        "propagation": None,
        "counters": recording.counters,
        "set": args.set,
    }
    if args.clock == "receive":
        present = real.mid_bp[real.row_at(at.time_s)] - known.mid_bp[at.row]
        summary["mse_gain_vs_true_mid"] = by(
            lambda k: gain(at, k, ours.mean_bp[:, k], present, seed)
        )
    weights = np.exp(np.asarray(told.belief.log_mode, np.float64))
    shift_bp = np.cumsum(np.asarray(tape.events().shift_bp, np.float64))
    told_at = np.flatnonzero(np.isin(tape.events().kind, (int(Kind.BOOK), int(Kind.BBO))))
    newest = np.searchsorted(known.time_s[told_at], at.time_s, side="right") - 1
    drawn = Drawn(
        known=known,
        v_bp=np.asarray(told.belief.mean[:, V], np.float64) - shift_bp,
        sd_bp=np.sqrt(np.asarray(told.belief.cov[:, V, V], np.float64)),
        modes=weights,
        at=at,
        forecast_bp=ours.mean_bp,
        age_s=at.time_s - known.time_s[told_at][np.maximum(newest, 0)],
        pit=pit,
    )
    return summary, drawn


def participants(args: argparse.Namespace, tape: Any) -> list[dict[str, Any]]:
    """Manners of quoting in the tape, scored from the same share of it on."""
    import numpy as np

    from diffmm.core import defaults
    from diffmm.engine import run
    from diffmm.evaluation import participants as evaluation
    from diffmm.features import participants

    config, declared = participants.Config(), defaults(participants.Params)
    stage = evaluation.stage(config)
    told = evaluation.told(run.watch(stage, declared, tape.rows, unpack=tape.layout.unpack))
    period_s = np.asarray(declared.mixture.period_s, np.float64)
    return evaluation.table(tape, told, period_s, config.horizons_s, args.start, args.seed)


def propagation(args: argparse.Namespace, tape: Any) -> dict[str, Any]:
    """How fast the reference's moves are taken in, fitted on the part that is not scored."""
    import numpy as np

    from diffmm.core import defaults
    from diffmm.engine import run
    from diffmm.evaluation import propagation as evaluation
    from diffmm.features import propagation

    stage, declared = propagation.build(propagation.Config()), defaults(propagation.Params)
    seen = run.watch(stage, declared, tape.rows, unpack=tape.layout.unpack)
    config = evaluation.Config()
    span_s = float(np.asarray(tape.events().dt_s, np.float64).sum())
    told = evaluation.moves(tape, seen, config)
    return evaluation.table(told, config, args.start, args.end, span_s, args.seed)


def recorded_lags(path: pathlib.Path) -> dict[str, Any]:
    """Median and quartiles, in s, of a table of hourly lags between two venues.

    Raises:
        ValueError: for a file that is no such table.
    """
    import csv

    import numpy as np

    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        lag_ms = [float(row[LAG_MS]) for row in rows if row[USABLE] == "1" and row[LAG_MS]]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error, ValueError) as error:
        raise ValueError(
            f"--lags {path}: {error!r}; expected a CSV with columns {LAG_MS!r} and {USABLE!r}"
        ) from error
    if not lag_ms:
        raise ValueError(f"--lags {path}: no hour with {USABLE} = 1 and a {LAG_MS}")
    low, median, high = np.quantile(np.array(lag_ms) / 1e3, [0.25, 0.5, 0.75])
    return {"median_s": median, "quartiles_s": [low, high], "hours": len(lag_ms)}


def _words(told: dict[str, Any]) -> None:
    shown = lambda x: "none" if x is None or x["value"] is None else f"{x['value']:+.3f}"
    for name in ("mse_gain_vs_mid", "weighted_mid", "ridge", "mse_gain_vs_true_mid"):
        if told.get(name):
            gains = "  ".join(f"{h} s {shown(x)}" for h, x in told[name].items())
            say(f"{told['coin']:<6}{name:<22}{gains}")
    for name in ("nis_mean", "pit_ks", "log_score"):
        values = "  ".join(f"{h} s {x:+.3f}" for h, x in told[name].items())
        say(f"{told['coin']:<6}{name:<22}{values}")
    found = told["propagation"]
    if found:
        say(f"{told['coin']:<6}{'propagation':<22}{found['moves_fitted']} + {found['moves']} moves")
    if found and found["half_s"]:
        half, names = found["half_s"]["value"], ("nats_vs_absorbed", "nats_vs_exponential")
        nats = "  ".join(f"{name} {shown(found[name])}" for name in names)
        say(f"{told['coin']:<6}{'half absorbed':<22}{half:.2f} s after it is seen  {nats}")
