"""`diffmm validate liquidations`: reversion after liquidations, or their sizes, from a table."""

import argparse
import csv
import gzip
import json
import pathlib
import sys
from typing import Any

from .replay import say


IMPACT, BACK = "A_bps", {"R30_bps": 30.0, "R60_bps": 60.0, "R300_bps": 300.0}
TIME_MS, SIZE = "ts", "notional"
"""Columns of the two kinds of table, by which they are told apart."""


def run(args: argparse.Namespace) -> int:
    """Score once; the exit code.

    Raises:
        ValueError: for a file that is neither table.
    """
    if not args.path:
        raise ValueError("liquidations scores a table of them; give its path")
    if not 0 < args.start < 1:
        raise ValueError(f"--from {args.start}, expected a share in (0, 1)")
    path = pathlib.Path(args.path)
    told = {"table": path.name, "seed": args.seed, **_score(path, args.start, args.seed)}
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


def _score(path: pathlib.Path, start: float, seed: int) -> dict[str, Any]:
    import numpy as np

    from diffmm.evaluation import liquidations

    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        rows = list(csv.DictReader(text.decode("utf-8").splitlines()))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {error}; expected a CSV, plain or .gz") from error
    names = set(rows[0]) if rows else set()
    config = liquidations.Config()
    number = lambda row, name: float(row[name] or "nan")
    try:
        if {"coin", IMPACT, *BACK} <= names:
            coin = np.array([row["coin"] for row in rows])
            impact = np.array([number(row, IMPACT) for row in rows])
            back = np.array([[number(row, name) for name in BACK] for row in rows])
            known = np.isfinite(impact)
            horizons = np.array(list(BACK.values()))
            found = liquidations.reversion(
                coin[known], impact[known], back[known], horizons, config, seed
            )
            return {"reversion": found}
        if {TIME_MS, SIZE} <= names:
            time_s = np.array([number(row, TIME_MS) for row in rows]) / 1e3
            usd = np.array([number(row, SIZE) for row in rows])
            return {"sizes": liquidations.sizes(time_s, usd, config, start, seed)}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    raise ValueError(
        f"{path}: found columns {sorted(names)}; expected 'coin', {IMPACT!r} and {list(BACK)}, "
        f"or {TIME_MS!r} and {SIZE!r}"
    )


def _words(told: dict[str, Any]) -> None:
    given = lambda v: "none" if v is None else f"{v:+.3f}"
    shown = lambda x: f"{given(x['value'])} ({given(x['low'])} to {given(x['high'])})"
    found = told.get("reversion")
    if found:
        law = f"({found['always_bp']:.1f} bp + {found['share']:.2f} A) in {found['time_s']:.0f} s"
        say(f"reversion {law}: {found['n']} liquidations, {found['coins']} coins")
        for horizon, x in found["gain_vs_none"].items():
            say(f"  gain over none at {horizon} s {shown(x)}")
    found = told.get("sizes")
    if found:
        say(
            f"sizes: median {found['median_usd']:,.0f} USD, s.d. of log {found['log_sd']:.2f}, "
            f"tail exponent {found['tail_exponent']:.2f}; nats over exponential "
            + shown(found["nats_vs_exponential"])
        )
