"""The page of searches side by side: what each had found by how many events, and who won."""

import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import svg, words
from .page import page
from .svg import Line


COLORS = {"grad": "c1", "cma": "c2", "tpe": "c3", "random": "c4"}
POINTS = 400
"""Of the drawn curves."""
AXES = (
    ("charged", "Hard fills by forward-equivalent events", "Events charged; an event under "
     "value_and_grad at its measured cost."),
    ("simulated", "The same by simulated events", "Events simulated."),
    ("wall_s", "The same by wall time", "Seconds, looks for the curve included."),
)  # fmt: skip


def write_race(path: pathlib.Path, title: str, told: Mapping[str, Any], reproduce: str) -> None:
    """Write the page; its folder must exist.

    Args:
        path: the file.
        title: of what was searched.
        told: as `training.race.compare` has it.
        reproduce: the command.
    """
    body = (
        f'<h1><span class="mode">TUNE</span>{html.escape(title)}</h1>'
        '<p class="lead">runs of a generative world, hard fills on paths that no search saw; runs '
        "of one seed met the same paths</p>"
    )
    body += "".join(_chart(told["curves"], *axis) for axis in AXES)
    body += _methods(told) + _against(told)
    text = html.escape(json.dumps(told, indent=1))
    body += (
        f"<h2>Reproduce with</h2><pre>{html.escape(reproduce)}</pre>"
        f"<details><summary>The JSON object</summary><pre>{text}</pre></details>"
    )
    pathlib.Path(path).write_text(page(f"TUNE | {title}", body), encoding="utf-8")


def _chart(curves: Sequence[Mapping[str, Any]], by: str, title: str, note: str) -> str:
    most = max(x["points"][-1][by] for x in curves)
    at = np.linspace(0.0, most, POINTS)
    lines, named = [], set()
    for one in curves:
        method, points = one["method"], one["points"]
        x = np.array([p[by] for p in points], float)
        y = np.array([p["hard_usd"] for p in points], float)
        known = np.searchsorted(x, at, side="right") - 1
        # Nothing is recommended before the first point, and nothing said after the last.
        shown = np.where((known >= 0) & (at <= x[-1]), y[np.maximum(known, 0)], np.nan)
        name = "" if method in named else method
        named.add(method)
        lines.append(Line(name, shown, COLORS.get(method, "c5"), is_step=True))
    return svg.line_chart(title, at, lines, unit="USD a path", is_time=False, height=190, note=note)


def _methods(told: Mapping[str, Any]) -> str:
    head = ["method", "seeds", "start, USD", "end, USD", "90 %", "simulated", "charged", "wall, s"]
    rows = [
        [
            html.escape(method),
            f"{len(x['seeds'])}",
            words.signed(x["start_usd"]["value"]),
            words.signed(x["end_usd"]["value"]),
            _ends(x["end_usd"]),
            *(f"{x[name]['value']:,.0f}" for name in ("simulated", "charged", "wall_s")),
        ]
        for method, x in told["methods"].items()
    ]
    return "<h2>At the end, on unseen paths</h2>" + words.table(head, rows)


def _against(told: Mapping[str, Any]) -> str:
    if not told["against"]:
        return ""
    head = ["method", f"end less {told['reference']}, USD", "90 %", "reached"]
    head += ["of its simulated events", "of its charged events"]
    share = lambda x: "not reached" if x is None else f"{x:.3f}"
    rows = [
        [
            html.escape(method),
            words.signed(x["end_less_reference_usd"]["value"]),
            _ends(x["end_less_reference_usd"]),
            f"{x['reached']} of {len(x['seeds'])}",
            share(x["simulated_share"]),
            share(x["charged_share"]),
        ]
        for method, x in told["against"].items()
    ]
    bar = f"Until the last value of {told['reference']} less {told['short_of']:.1%}, medians"
    return f"<h2>{html.escape(bar)}</h2>" + words.table(head, rows)


def _ends(x: Mapping[str, Any]) -> str:
    return "-" if x["low"] is None else f"{x['low']:+,.4g} to {x['high']:+,.4g}"
