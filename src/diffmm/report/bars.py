"""Charts whose x is a list: bars with intervals, and stacked bars against a level."""

import html
from collections.abc import Sequence

import numpy as np

from . import axes
from .panel import empty, NOTHING, paint, Panel, panel
from .svg import Layer, Line


LABEL_PX = 34
"""Room that a label under a bar needs."""


def bar_chart(
    title: str,
    labels: Sequence[str],
    values: np.ndarray,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    floor: float = -np.inf,
    **frame,
) -> str:
    """One bar a label, coloured by sign.

    Args:
        title: what is shown.
        labels: one a bar.
        values: lengths of the bars.
        low: lower end of each interval, drawn as a whisker where it is below `high`.
        high: its upper end.
        floor: the axis goes no lower than this.
        **frame: `unit`, `width`, `height`, `note`.
    """
    values = np.asarray(values, float)
    low = values if low is None else np.asarray(low, float)
    high = values if high is None else np.asarray(high, float)
    shown = axes.value_range([np.maximum(v, floor) for v in (values, low, high, np.zeros(1))])
    if not np.isfinite(values).any() or shown is None:
        return empty(title, NOTHING)
    p = panel(title, (0.0, float(len(labels))), shown, is_time=False, **frame)
    body = []
    for k, (a, b, c) in enumerate(zip(values, low, high, strict=True)):
        if np.isfinite(a):
            text = f"{labels[k]}: {a:.4g}" + (f" [{b:.4g}, {c:.4g}]" if b < c else "")
            rect = _rect(p, k, 0.0, a, "good" if a >= 0 else "bad", 0.6)
            body.append(f"<g><title>{html.escape(text)}</title>{rect}</g>")
            if b < c:
                x, (y0, y1) = p.x(np.array(k + 0.5)), p.y(np.array([b, c]))
                whisker = (
                    f"M{x:.1f} {y0:.1f}V{y1:.1f}M{x - 5:.1f} {y0:.1f}h10M{x - 5:.1f} {y1:.1f}h10"
                )
                body.append(f'<path class="whisker" d="{whisker}"/>')
    return p.figure("".join(body), (), _bar_labels(p, labels))


def stacked_bars(
    title: str,
    labels: Sequence[str],
    layers: Sequence[Layer],
    steps: Line,
    marked: np.ndarray,
    most: float,
    marked_name: str,
    **frame,
) -> str:
    """Parts of each bar, positive ones upwards from zero and negative ones downwards.

    Args:
        title: what is shown.
        labels: one a bar.
        layers: parts, `values [bars]`.
        steps: what the bars are compared with, `y [bars]`.
        marked: which bars get a dot.
        most: largest value shown; what is beyond is cut off.
        marked_name: what a dot means.
        **frame: `unit`, `width`, `height`, `note`.
    """
    if len(labels) == 0 or not np.isfinite(steps.y).any():
        return empty(title, NOTHING)
    values = np.nan_to_num(np.stack([s.values for s in layers]), posinf=0.0, neginf=0.0)
    down = np.minimum(values, 0.0).sum(axis=0).min()
    least = max(min(float(down), float(np.nanmin(steps.y)), 0.0), -most)
    p = panel(title, (0.0, float(len(labels))), (least - 0.04 * most, most), is_time=False, **frame)
    body = []
    for k, label in enumerate(labels):
        up, under, rects = 0.0, 0.0, ""
        for part, value in zip(layers, values[:, k], strict=True):
            start = up if value > 0 else under
            end = min(max(start + value, least - most), 2 * most)
            up, under = (end, under) if value > 0 else (up, end)
            rects += _rect(p, k, start, end, part.color, 0.86) if end != start else ""
        words = [f"{label}", f"{steps.name} {steps.y[k]:.4g}"]
        words += [f"{s.name} {v:.4g}" for s, v in zip(layers, values[:, k], strict=True) if v]
        body.append(f"<g><title>{html.escape(', '.join(words))}</title>{rects}</g>")
    edge = p.x(np.arange(len(labels) + 1.0))
    level = np.clip(p.y(np.asarray(steps.y, float)), p.y.end - 9, p.y.start + 9)
    body += [
        f'<path class="steps" style="stroke:{paint(steps.color)}" '
        f'd="M{edge[k]:.1f} {level[k]:.1f}H{edge[k + 1]:.1f}"/>'
        for k in np.flatnonzero(np.isfinite(level))
    ]
    middle = (edge[:-1] + edge[1:]) / 2
    body += [
        f'<circle class="dot" r="5" cx="{middle[k]:.1f}" cy="{level[k] - 9:.1f}"/>'
        for k in np.flatnonzero(marked & np.isfinite(level))
    ]
    keys = [(s.name, paint(s.color)) for s in (steps, *layers)] + [(marked_name, paint("good"))]
    return p.figure("".join(body), keys, _bar_labels(p, labels))


def _rect(p: Panel, k: int, start: float, end: float, color: str, share: float) -> str:
    x0, x1 = p.x(np.array([k + (1 - share) / 2, k + (1 + share) / 2]))
    y0, y1 = sorted(p.y(np.array([start, end])))
    size = f'width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
    return f'<rect x="{x0:.1f}" y="{y0:.1f}" {size} fill="{paint(color)}"/>'


def _bar_labels(p: Panel, labels: Sequence[str]) -> list[tuple[float, str]]:
    """As many labels as fit."""
    every = max(1, int(np.ceil(len(labels) * LABEL_PX / (p.x.end - p.x.start))))
    return [(float(p.x(np.array(k + 0.5))), t) for k, t in enumerate(labels) if k % every == 0]
