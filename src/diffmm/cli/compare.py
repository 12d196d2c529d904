"""`diffmm compare`: results of `diffmm tune` side by side, curves and what the bar cost."""

import argparse
import json
import pathlib
import shlex
import sys
from typing import Any

from .saying import say


OK, USAGE = 0, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("folders", nargs="+", metavar="DIR", help="searched for result.json of tune")
    add("--reference", default="cma", metavar="METHOD", help="whose last value is the bar")
    add("--page", metavar="FILE", help="write the curves to one HTML page")
    add("--json", action="store_true", help="one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """Compare once; the exit code."""
    from diffmm.training.race import RaceError

    try:
        return _run(args)
    except RaceError as error:
        say("error", str(error))
        return USAGE


def _run(args: argparse.Namespace) -> int:
    from diffmm.report.race import write_race
    from diffmm.training import race

    found = sorted(x for folder in args.folders for x in pathlib.Path(folder).rglob("result.json"))
    results = [json.loads(x.read_text(encoding="utf-8")) for x in found]
    told = race.compare([x for x in results if "curve" in x], args.reference)
    for line in _lines(told):
        say("compare", line)
    if args.page:
        where = pathlib.Path(args.page)
        where.parent.mkdir(parents=True, exist_ok=True)
        title = f"{results[0]['experiment']} in {results[0]['world']}"
        write_race(where, title, told, shlex.join(["diffmm", "compare", *args.folders]))
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    return OK


def _lines(told: dict[str, Any]) -> list[str]:
    lines = []
    for method, x in told["methods"].items():
        end = x["end_usd"]
        ends = "" if end["low"] is None else f" ({end['low']:+.3f} to {end['high']:+.3f})"
        lines.append(
            f"{method:7s} {end['n']} seeds  {x['start_usd']['value']:+.3f} -> {end['value']:+.3f}"
            f"{ends} USD  {x['simulated']['value']:,.0f} simulated  "
            f"{x['charged']['value']:,.0f} charged  {x['wall_s']['value']:,.0f} s"
        )
    for method, x in told["against"].items():
        gap, share = x["end_less_reference_usd"]["value"], x["simulated_share"]
        at = "by most seeds not" if share is None else (
            f"at {share:.3f} of its simulated and {x['charged_share']:.3f} of its charged events"
        )  # fmt: skip
        said = "-" if gap is None else f"{gap:+.3f}"
        lines.append(
            f"{method:7s} end less {told['reference']} {said} USD; bar reached by {x['reached']} "
            f"of {len(x['seeds'])} seeds, {at}"
        )
    return lines
