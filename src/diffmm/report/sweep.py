"""The page of a sweep: configurations side by side on the same random numbers."""

import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import bars, words
from .page import page, tile


SHOWN = 24
"""Configurations that are drawn; the table has all of them."""


def write_sweep(
    path: pathlib.Path,
    title: str,
    summary: Mapping[str, Any],
    configurations: Sequence[Mapping[str, Any]],
    config: str,
    reproduce: str,
) -> None:
    """Write the page of one sweep; its folder must exist.

    Args:
        path: the file.
        title: of the experiment.
        summary: the command's JSON object.
        configurations: as `training.comparison` has them, the best first.
        config: the experiment as resolved.
        reproduce: the command.
    """
    body = (
        f'<h1><span class="mode">SWEEP</span>{html.escape(title)}</h1>'
        '<p class="lead">closed loop in a generative world, fills modelled by the hard rule; '
        "every configuration met the same seeds</p>"
    )
    body += _bands(summary, configurations) + _tiles(summary, configurations)
    body += _bars(configurations) + _axes(configurations) + _table(configurations)
    text = html.escape(json.dumps(summary, indent=1))
    body += (
        f"<h2>Experiment</h2><pre>{html.escape(config)}</pre>"
        f"<h2>Reproduce with</h2><pre>{html.escape(reproduce)}</pre>"
        f"<details><summary>The JSON object</summary><pre>{text}</pre></details>"
    )
    pathlib.Path(path).write_text(page(f"SWEEP | {title}", body), encoding="utf-8")


def label(values: Mapping[str, Any], known: bool = True) -> str:
    """A configuration in a few words: the last name of each path, and its value."""
    short = lambda x: f"{x:.4g}" if isinstance(x, float) else str(x)
    name = lambda path: path.rpartition(".")[2] + " " if known else ""
    return ", ".join(f"{name(path)}{short(x)}" for path, x in values.items()) or "as it is"


def _bands(summary: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> str:
    said = []
    if summary["done"] < summary["trials"]:
        said.append(("warn", f"{summary['done']} of {summary['trials']} trials are finished."))
    if summary["failed"]:
        said.append(("error", f"{len(summary['failed'])} trials could not be played."))
    if summary["seeds"] < 2:
        said.append(("warn", "One seed: no interval can be given, and the order is noise."))
    elif len(found) > 1:
        said.append(
            (
                "warn",
                f"The best of {len(found)} was chosen after looking: its figure flatters it. Ask "
                "again on other seeds.",
            )
        )
    if bad := sum(x["nonfinite"] for x in found):
        said.append(("error", f"{bad:,} decisions were not finite."))
    return "".join(f'<p class="notice {kind}">{html.escape(text)}</p>' for kind, text in said)


def _tiles(summary: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> str:
    rate = summary["configuration_events_per_s"]
    shown = [
        tile("configurations", f"{summary['configurations']:,}", f"{summary['seeds']} seeds each"),
        tile("trials finished", f"{summary['done']:,}", f"of {summary['trials']:,}"),
        tile("programs", f"{summary['programs']}", f"{summary['batches']} batches in this call"),
        tile(
            "events a second",
            "-" if rate is None else f"{rate:,.0f}",
            "by configuration, a process, compiling left out",
        ),
    ]
    if found:
        best = found[0]
        pnl = best["pnl_usd_per_hour"]
        shown.insert(
            0,
            tile(
                "best, USD an hour",
                words.signed(pnl["value"]),
                f"{html.escape(label(best['values']))}; {_ends(pnl)}",
            ),
        )
    return f'<div class="tiles">{"".join(shown)}</div>'


def _bars(found: Sequence[Mapping[str, Any]]) -> str:
    some = found[:SHOWN]
    if not some:
        return ""
    out = "<h2>Configurations</h2>"
    for name, title in (
        ("pnl_usd_per_hour", "PnL, USD an hour"),
        ("against_first", "PnL less the first configuration's on the same seed, USD an hour"),
    ):
        told = [x[name] for x in some]
        value = np.array([np.nan if x["value"] is None else x["value"] for x in told])
        end = lambda side, told=told, value=value: np.array(
            [v if x[side] is None else x[side] for x, v in zip(told, value, strict=True)]
        )
        labels = [label(x["values"], known=False) for x in some]
        out += bars.bar_chart(title, labels, value, end("low"), end("high"), unit="USD/h")
    return out


def _axes(found: Sequence[Mapping[str, Any]]) -> str:
    """Mean PnL at each value of each axis, over everything else."""
    paths = sorted({path for x in found for path in x["values"]})
    out = ""
    for path in paths:
        at: dict[Any, list[float]] = {}
        for x in found:
            if path in x["values"]:
                value = x["values"][path]
                value = tuple(value) if isinstance(value, list) else value
                at.setdefault(value, []).append(x["pnl_usd_per_hour"]["value"])
        if len(at) < 2:
            continue
        is_numeric = all(isinstance(x, int | float) for x in at)
        order = sorted(at) if is_numeric else list(at)
        names = [label({path: x}, known=False) for x in order]
        means = np.array([np.mean(at[x]) for x in order])
        unit = "USD/h, mean over the rest"
        out += bars.bar_chart(path, names[:SHOWN], means[:SHOWN], unit=unit)
    return f"<h2>By axis</h2>{out}" if out else ""


def _table(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return ""
    parts = list(found[0]["pnl_parts_usd_per_hour"])
    paths = list(dict.fromkeys(path for x in found for path in x["values"]))
    head = [
        *paths,
        "PnL, USD/h",
        "90 %",
        "less the first",
        "90 %",
        *parts,
        "fills/h",
        "drawdown, USD",
        "max position, USD",
    ]
    rows = [
        [
            *(words.say(x["values"].get(path)) for path in paths),
            words.signed(x["pnl_usd_per_hour"]["value"]),
            _ends(x["pnl_usd_per_hour"]),
            words.signed(x["against_first"]["value"]),
            _ends(x["against_first"]),
            *(words.signed(x["pnl_parts_usd_per_hour"][name]) for name in parts),
            f"{x['fills_per_hour']:,.1f}",
            f"{x['drawdown_usd']:,.2f}",
            f"{x['max_abs_position_usd']:,.0f}",
        ]
        for x in found
    ]
    return "<h2>All of them</h2>" + words.table([html.escape(x) for x in head], rows)


def _ends(x: Mapping[str, Any]) -> str:
    if x["low"] is None:
        return f"{x['n']} seed" if x["n"] == 1 else "-"
    return f"{x['low']:+,.4g} to {x['high']:+,.4g}"
