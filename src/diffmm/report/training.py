"""The page of a training run: what rose, how the slope was audited, where the parameters went."""

import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import svg, words
from .page import page, tile
from .svg import Line, Marks


def write_training(
    path: pathlib.Path,
    title: str,
    result: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    config: str,
    reproduce: str,
) -> None:
    """Write the page of one run; its folder must exist.

    Args:
        path: the file.
        title: of the experiment.
        result: the command's JSON object.
        lines: metrics, in order.
        config: the experiment's TOML as resolved.
        reproduce: the command.
    """
    body = (
        f'<h1><span class="mode">TRAINING</span>{html.escape(title)}</h1>'
        '<p class="lead">runs of a generative world; steps follow relaxed fills, what is judged '
        "are hard ones on paths that no step saw</p>"
    )
    body += _tiles(result) + _course(lines) + _audits(lines) + _parameters(result, lines)
    text = html.escape(json.dumps(result, indent=1))
    body += (
        f"<h2>Experiment</h2><pre>{html.escape(config)}</pre>"
        f"<h2>Reproduce with</h2><pre>{html.escape(reproduce)}</pre>"
        f"<details><summary>The JSON object</summary><pre>{text}</pre></details>"
    )
    pathlib.Path(path).write_text(page(title, body), encoding="utf-8")


def _tiles(result: Mapping[str, Any]) -> str:
    gain = result["gain_usd"]
    shown = [
        tile(
            "gain on unseen paths, USD",
            words.signed(gain["value"]),
            f"95 %: {gain['low']:+.4g} to {gain['high']:+.4g}, {gain['n']:,} paths",
        ),
        tile("start, USD a path", words.signed(result["start_usd"]), "hard fills"),
        tile("best, USD a path", words.signed(result["end_usd"]), "hard fills"),
        tile("steps", f"{result['steps']:,}", f"stopped by {html.escape(result['stopped'])}"),
    ]
    return f'<div class="tiles">{"".join(shown)}</div>'


def _of(lines: Sequence[Mapping[str, Any]], kind: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [x for x in lines if x["kind"] == kind and x[name] is not None]
    return np.array([x["step"] for x in rows], float), np.array([x[name] for x in rows], float)


def _course(lines: Sequence[Mapping[str, Any]]) -> str:
    step, objective = _of(lines, "step", "objective_usd")
    at, held = _of(lines, "look", "held_out_usd")
    _, norm = _of(lines, "step", "gradient_norm")
    # The last look comes after the last step.
    end = at[-1:]
    course = svg.line_chart(
        "Objective",
        np.append(step, end),
        [Line("relaxed, the step's own paths", np.append(objective, np.nan * end), "c1")],
        marks=[Marks("hard, paths kept apart", at, held, "c2", is_up=True)],
        unit="USD a path",
        is_time=False,
        height=190,
        note="By step.",
    )
    norms = svg.line_chart(
        "Norm of the gradient",
        step[: len(norm)],
        [Line("", norm, "c3")],
        unit="USD a prior scale",
        is_time=False,
        height=120,
        note="By step.",
    )
    return "<h2>Course</h2>" + course + norms


def _audits(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"{x['step']}",
            f"{x['relaxed']:+.4f}",
            f"{x['hard']:+.4f}",
            f"{x['standard_error']:.4f}",
            f"{x['z']:+.2f}",
        ]
        for x in lines
        if x["kind"] == "audit"
    ]
    if not rows:
        return ""
    head = ["step", "relaxed", "hard", "standard error", "errors apart"]
    return "<h2>Slope along the gradient, USD a prior scale</h2>" + words.table(head, rows)


def _parameters(result: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    names = list(result["parameters"])
    paths = np.array([x["z"] for x in lines if x["kind"] == "step"])
    moved = np.abs(paths[-1]) if len(paths) else np.zeros(len(names))
    rows = []
    for k in np.argsort(-moved, kind="stable"):
        x = result["parameters"][names[k]]
        rows.append(
            [
                names[k],
                f"{x['start']:.5g}",
                f"{x['end']:.5g}",
                html.escape(x["unit"]),
                f"{moved[k]:.2f}",
            ]
        )
    head = ["parameter", "start", "best", "unit", "last distance, prior scales"]
    return "<h2>Parameters</h2>" + words.table(head, rows)
