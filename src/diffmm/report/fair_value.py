"""The page of a validation: V against the mid, gains by horizon and age, calibration, a burst."""

import dataclasses
import html
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffmm.evaluation import forecast

from . import svg, words
from .page import page, tile
from .svg import Band, Layer, Line


MODES = ("quiet", "trending", "crisis")
BURST_S = 60.0
AGES = 5
"""Groups of equally many moments by the age of what was known."""
BINS = 20
"""Of the transform's histogram."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What the page draws.

    **Attributes:**

    - `known`: the mid that was seen.
    - `v_bp`, `sd_bp`: mean and standard deviation of V at each row, anchored as the mid.
    - `modes`: their probabilities at each row.
    - `at`: moments scored, with `forecast_bp` of each horizon and the `age_s` of what was known.
    - `pit`: the transform at whole seconds, `[moments, horizons]`.
    """

    known: forecast.Path
    v_bp: np.ndarray
    sd_bp: np.ndarray
    modes: np.ndarray
    at: forecast.Moments
    forecast_bp: np.ndarray
    age_s: np.ndarray
    pit: np.ndarray


def write_fair_value(
    path: pathlib.Path, summary: Mapping[str, Any], drawn: Drawn, reproduce: str
) -> None:
    """Write the page of one validation; its folder must exist."""
    title = f"Fair value of {summary['coin']} on {summary['market']}"
    body = (
        f'<h1><span class="mode">VALIDATION</span>{html.escape(title)}</h1>'
        '<p class="lead">a recorded market; no order was placed; the belief is scored as a '
        "forecast of the mid</p>" + _tiles(summary) + _gains(summary) + _by_age(drawn)
    )
    body += _calibration(drawn) + _belief(drawn) + _burst(drawn) + _features(summary)
    body += _participants(summary) + _propagation(summary)
    text = html.escape(json.dumps(summary, indent=1))
    body += (
        f"<h2>Reproduce with</h2><pre>{html.escape(reproduce)}</pre>"
        f"<details><summary>The JSON object</summary><pre>{text}</pre></details>"
    )
    pathlib.Path(path).write_text(page(title, body), encoding="utf-8")


def _tiles(summary: Mapping[str, Any]) -> str:
    shown = [
        tile(f"gain over the mid, {h} s", words.signed(x["value"]), _interval(x))
        for h, x in summary["mse_gain_vs_mid"].items()
    ]
    for name, words_of in (("nis_mean", "NIS, 1 is right"), ("pit_ks", "PIT distance, 0 is right")):
        values = summary[name]
        lines = "<br>".join(f"{h} s {x:.3f}" for h, x in values.items())
        shown.append(tile(words_of, f"{np.mean(list(values.values())):.3f}", lines))
    return f'<div class="tiles">{"".join(shown)}</div>'


def _interval(x: Mapping[str, Any]) -> str:
    if x["low"] is None:
        return f"{x['n']:,} moments"
    return f"90 %: {x['low']:+.3f} to {x['high']:+.3f}, {x['n']:,} moments"


def _gains(summary: Mapping[str, Any]) -> str:
    names = ("mse_gain_vs_mid", "mse_gain_vs_true_mid", "weighted_mid", "ridge")
    rows = []
    for name in names:
        if summary.get(name):
            cells = [f"{words.signed(x['value'])} ({_interval(x)})" for x in summary[name].values()]
            rows.append([name, *cells])
    head = ["1 - squared error over the mid's", *(f"{h} s" for h in forecast.HORIZONS_S)]
    return "<h2>Gains by horizon</h2>" + words.table(head, rows)


def _by_age(d: Drawn) -> str:
    """Gains of moments whose newest book is young, ..., old."""
    edges = np.quantile(d.age_s, np.linspace(0, 1, AGES + 1))
    group = np.clip(np.searchsorted(edges, d.age_s, side="right") - 1, 0, AGES - 1)
    rows = []
    for k in range(AGES):
        rows_in = group == k
        if not rows_in.any():
            continue
        y, f = d.at.change_bp[rows_in], d.forecast_bp[rows_in]
        base = np.maximum((y**2).sum(axis=0), np.finfo(float).tiny)
        gain = 1 - ((y - f) ** 2).sum(axis=0) / base
        span = f"{edges[k]:.2f} to {edges[k + 1]:.2f} s"
        rows.append([span, f"{rows_in.sum():,}", *(words.signed(float(x)) for x in gain)])
    head = ["age of the newest book", "moments", *(f"{h} s" for h in forecast.HORIZONS_S)]
    return "<h2>Gains by age</h2>" + words.table(head, rows)


def _calibration(d: Drawn) -> str:
    edges = np.linspace(0, 1, BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    shares = [np.histogram(x, edges)[0] / len(x) * BINS for x in d.pit.T]
    lines = [
        Line(f"{h} s", share, color, is_step=True)
        for h, share, color in zip(forecast.HORIZONS_S, shares, ("c1", "c2", "c3"), strict=True)
    ]
    return "<h2>Calibration</h2>" + svg.line_chart(
        "Where outcomes fall in their predictive distribution",
        middle,
        [*lines, Line("right", np.ones(BINS), "ink", dash="4 3")],
        unit="share, 1 is right",
        is_time=False,
        height=150,
        note="Whole seconds; an unchanged mid is spread over its own probability.",
    )


def _belief(d: Drawn) -> str:
    inside = slice(*np.searchsorted(d.known.time_s, d.at.time_s[[0, -1]]))
    return "<h2>V against the mid</h2>" + _price(d, inside, "The window that is scored")


def _price(d: Drawn, rows: slice, title: str) -> str:
    mid, v, sd = d.known.mid_bp[rows], d.v_bp[rows], d.sd_bp[rows]
    return svg.line_chart(
        title,
        d.known.time_s[rows],
        [Line("mid", mid, "ink", is_step=True), Line("V", v, "fair")],
        bands=[Band("1 s.d. of V", v - sd, v + sd, "fair", 0.2)],
        unit="bp",
        is_time=True,
        height=200,
    )


def _burst(d: Drawn) -> str:
    """The minute in which the mid moved furthest, and the modes through it."""
    mid = d.known.mid_bp[d.at.row]
    steps = max(int(BURST_S / forecast.GRID_S), 1)
    if len(mid) <= steps:
        return ""
    start = d.at.time_s[int(np.argmax(np.abs(mid[steps:] - mid[:-steps])))]
    rows = slice(*np.searchsorted(d.known.time_s, [start - BURST_S / 2, start + 1.5 * BURST_S]))
    modes = svg.stacked_area(
        "Mode probabilities",
        d.known.time_s[rows],
        [Layer(n, p, n) for n, p in zip(MODES, d.modes[rows].T, strict=False)],
        is_time=True,
        height=130,
    )
    return "<h2>A burst: the minute of the largest move</h2>" + _price(d, rows, "V") + modes


def _features(summary: Mapping[str, Any]) -> str:
    if not summary["features"]:
        return ""
    shown = lambda x: f"{x['value']:+.1f} ({x['low']:+.1f} to {x['high']:+.1f})"
    rows = [
        [row["feature"], shown(row["single"]), shown(row["incremental"])]
        for row in summary["features"]
        if row["single"]["low"] is not None
    ]
    return "<h2>Features, held out: log score in millinats a moment</h2>" + words.table(
        ["feature", "alone", "when the others are in"], rows
    )


def _participants(summary: Mapping[str, Any]) -> str:
    """Manners of quoting that the book's changes fall into, and whether they are foreseen."""
    if not summary["participants"]:
        return ""
    skills = lambda told: [f"{words.signed(x['value'])} ({_interval(x)})" for x in told.values()]
    rows = [
        [
            str(row["class"]),
            f"{row['size_usd']:,.0f} ({row['size_sd']:.2f})",
            "none" if row["cycle_s"] is None else f"{row['cycle_s']:g} s",
            f"{row['stability']:.2f}",
            f"{row['share']:.2f}",
            *skills(row["skill_vs_constant"]),
            *skills(row["skill_vs_recent"]),
        ]
        for row in summary["participants"]
    ]
    horizons = list(summary["participants"][0]["skill_vs_constant"])
    head = ["class", "size, USD (s.d. of log)", "cycle", "stability", "share of events"]
    head += [
        f"next quotes, {h} s, over {rival}"
        for rival in ("the mean", "the last minute")
        for h in horizons
    ]
    return "<h2>Participants</h2>" + words.table(head, rows)


def _propagation(summary: Mapping[str, Any]) -> str:
    """How fast the reference's moves are taken in, and what knowing it is worth."""
    told = summary.get("propagation")
    if not told:
        return ""
    title = f"<h2>Propagation of moves of {html.escape(str(summary['reference']))}</h2>"
    count = f"{told['moves_fitted']} moves fitted, {told['moves']} scored"
    if not told["half_s"]:
        return title + f"<p>{count}: too few to fit a law.</p>"
    spread = lambda x: f"{x['value']:.2f} (90 %: {x['low']:.2f} to {x['high']:.2f})"
    nats = lambda x: f"{words.signed(x['value'])} ({_interval(x)})"
    rows = [["half of what was left is absorbed, s", spread(told["half_s"])]]
    rows += [["still to come when seen, of the size", spread(told["pass_through"])]]
    for k, one in enumerate(told["classes"]):
        rows += [[f"class {k}: delay, s", spread(one["delay_s"])]]
        rows += [[f"class {k}: rate, 1/s", spread(one["rate"])]]
    rows += [["nats a move over absorbed already", nats(told["nats_vs_absorbed"])]]
    rows += [["nats a move over one exponential", nats(told["nats_vs_exponential"])]]
    lags = told["recorded_lags"]
    if lags:
        low, high = lags["quartiles_s"]
        quoted = (
            f"{lags['median_s']:.3f} (quartiles {low:.3f} to {high:.3f}, {lags['hours']} hours)"
        )
        rows += [["recorded lag between venues, median s", quoted]]
    curve = told["curve"]
    chart = svg.line_chart(
        "Response of our mid to a move, over its size",
        np.array([x["lag_s"] for x in curve]),
        [
            Line("measured", np.array([x["measured"] for x in curve]), "ink"),
            Line("fitted", np.array([x["fitted"] for x in curve]), "fair"),
        ],
        unit="of the size",
        is_time=False,
        height=150,
        note=f"{count}; the fitting part, by seconds since the move was seen.",
    )
    return title + words.table(["", count], rows) + chart
