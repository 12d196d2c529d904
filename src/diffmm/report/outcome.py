"""The page's figures of what came of the quotes: fills, money, the learner, the missing side."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffmm.engine.graph import Quotes
from diffmm.evaluation.ledger import PARTS
from diffmm.market import Event

from . import bars, binding, svg, words
from .series import Ledger
from .svg import Layer, Line


def fills(book: Ledger, summary: Mapping[str, Any]) -> str:
    """Markouts and a table of fills by side."""
    out = "<h2>Fills and what followed them</h2>"
    curve = words.find(summary, "markouts_bp")
    points = _markouts(curve) if isinstance(curve, Mapping) else []
    if points:
        labels, mean, low, high = zip(*points, strict=True)
        note = "Positive: the fill was worth having. Whiskers are the run's own intervals."
        out += bars.bar_chart(
            "Markout of a fill against the mid, by seconds after it",
            labels,
            np.array(mean),
            np.array(low),
            np.array(high),
            unit="bp",
            height=190,
            note=note,
        )
    else:
        out += svg.empty("Markouts", "no markout was measured in this run")
    rows = []
    for k, name in enumerate(("buys (our bid)", "sells (our ask)")):
        usd, edge = book.fill_usd[k], book.fill_edge_bp[k]
        total = float(usd.sum())
        mean = words.signed(float((usd * edge).sum()) / total, " bp") if total > 0 else "-"
        rows.append([name, f"{len(usd):,}", f"{total:,.0f}", mean])
    return out + words.table(["fills", "count", "USD", "edge at the fill"], rows)


def _markouts(curve: Mapping[str, Any]) -> list[tuple[str, float, float, float]]:
    """`(label, mean, low, high)` of numbers, or of objects as `evaluation.Estimate`."""
    out = []
    for horizon, value in curve.items():
        if isinstance(value, Mapping):
            mean, low, high = (words.number(value.get(n)) for n in ("value", "low", "high"))
            n = words.number(value.get("n"))
            name = f"{horizon} s" if n is None else f"{horizon} s, n {n:,.0f}"
        else:
            mean, low, high, name = words.number(value), None, None, f"{horizon} s"
        if mean is not None:
            whisker = (mean, mean) if low is None or high is None else (low, high)
            out.append((name, mean, *whisker))
    return out


def money(book: Ledger) -> str:
    """PnL parts and inventory over time."""
    colors = dict(zip(PARTS, ("good", "bad", "c2", "c3", "c7"), strict=True))
    total = np.sum([book.parts_usd[n] for n in PARTS], axis=0)
    lines = [Line(n, book.parts_usd[n], colors[n], True) for n in PARTS]
    note = (
        "Spread at the fill; adverse = moves in the 5 s after it; inventory = later moves. Rebuilt "
        "from the fills; the exact integers stand in the summary."
    )
    pnl = svg.line_chart(
        "Cumulative PnL and its parts",
        book.t_s,
        [*lines, Line("total", total, "ink", True, 2.0)],
        unit="USD",
        height=240,
        note=note,
    )
    inventory = svg.line_chart(
        "Inventory",
        book.t_s,
        [Line("position", book.position_usd, "c1", True)],
        unit="USD",
        height=150,
    )
    return "<h2>Money</h2>" + pnl + inventory


def learner(found: Mapping[str, Any] | None) -> str:
    """Weights of the counterfactual rows over rounds, and regret under its bound."""
    if not found:
        return ""
    out = "<h2>The learner</h2>"
    weights = np.atleast_2d(np.asarray(found.get("weights", np.zeros((0, 0))), float))
    offsets = np.asarray(found.get("offsets_bp", np.arange(weights.shape[1])), float)
    times = np.asarray(found.get("times", np.arange(len(weights))), float)
    if not weights.size or len(times) != len(weights):
        return out + svg.empty("Weights", "no round was finished in this run")
    colors = ("c1", "c3", "c4", "free", "none", "c6", "c2", "c5", "c8")
    layers = [
        Layer(f"{o:+g} bp", w, colors[k % len(colors)])
        for k, (o, w) in enumerate(zip(offsets, weights.T, strict=False))
    ]
    out += svg.stacked_area("Weights of the offset rows", times, layers, height=170)
    lines = [
        Line(name, np.atleast_1d(np.asarray(found[key], float)), color, dash=dash)
        for name, key, color, dash in (
            ("regret", "regret", "c1", ""),
            ("bound", "bound", "bad", "4 3"),
        )
        if found.get(key) is not None
    ]
    spread = [
        Line(s.name, np.broadcast_to(s.y, times.shape), s.color, dash=s.dash)
        for s in lines
        if s.y.size in (1, len(times))
    ]
    if spread:
        out += svg.line_chart("Regret against the best row", times, spread, height=150)
    return out


def missing(event: Event, quotes: Quotes, summary: Mapping[str, Any]) -> str:
    """What kept a side out, and the shares of the surface that earn."""
    out = "<h2>Why a side is missing</h2>"
    told = words.find(summary, "missing_side")
    told = told if isinstance(told, Mapping) else binding.missing(event, quotes)
    counts = {k: v for k, v in told.items() if isinstance(v, Mapping)}
    names = sorted({n for v in counts.values() for n in v})
    by_name = {n: [words.number(v.get(n)) or 0.0 for v in counts.values()] for n in names}
    rows = [
        [
            html.escape(n),
            *(words.share(x / max(len(quotes.health), 1), f"{x:,.0f}") for x in by_name[n]),
        ]
        for n in sorted(names, key=lambda n: -sum(by_name[n]))
    ]
    out += (
        '<p class="lead">Decisions without a target on a side (with a book, and |q| below half the '
        "room), by the term of its best price that makes E[PnL] negative, or by the limit.</p>"
    )
    out += words.table(["kept out by", *counts], rows) if rows else "<p>Never.</p>"
    earning = words.find(summary, "epnl_positive_share")
    if isinstance(earning, Mapping) and earning:
        out += '<p class="lead">Share of the candidate prices with E[PnL] > 0, by depth.</p>'
        out += words.tree_table(("side", "depth"), earning)
    return out
