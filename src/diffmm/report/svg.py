"""A small chart kit: inline SVG as text, with axes, units and legends.

Every function returns one `<figure>`. Colours are names of CSS variables (`bid` for `--bid`), so a
page serves light and dark. Series are reduced to the extremes or the mean of each pixel column, so
a chart's size is bounded by its width.
"""

import dataclasses
import html
from collections.abc import Sequence

import numpy as np

from . import axes, thin
from .panel import empty as empty, NOTHING, paint, Panel, panel, path


SHADES = 5
"""Opacities of a heat chart."""
MARK_PX = 4.5


@dataclasses.dataclass(frozen=True)
class Line:
    """One series over the chart's x; without a name it is in neither legend nor read-out.

    **Attributes:**

    - `is_step`: holds a value until the next.
    - `is_mean`: draws the mean of each pixel column instead of its extremes.
    """

    name: str
    y: np.ndarray
    color: str
    is_step: bool = False
    is_mean: bool = False
    width: float = 1.3
    dash: str = ""


@dataclasses.dataclass(frozen=True)
class Band:
    """What lies between two series: their envelope, or their means with `is_mean`."""

    name: str
    low: np.ndarray
    high: np.ndarray
    color: str
    opacity: float = 0.16
    is_mean: bool = False


@dataclasses.dataclass(frozen=True)
class Marks:
    """Points with an x of their own, as triangles that point up or down."""

    name: str
    x: np.ndarray
    y: np.ndarray
    color: str
    is_up: bool


@dataclasses.dataclass(frozen=True)
class Layer:
    """One named part: of a stack, a heat chart's grid, or a strip's code."""

    name: str
    values: np.ndarray
    color: str


def line_chart(
    title: str,
    x: np.ndarray,
    lines: Sequence[Line],
    *,
    bands: Sequence[Band] = (),
    marks: Sequence[Marks] = (),
    clip: float = 0.0,
    **frame,
) -> str:
    """Lines, steps, bands and marks over one x.

    Args:
        title: what is shown.
        x: `[n]`, ascending.
        lines: drawn in order, over the bands.
        bands: drawn first.
        marks: drawn last.
        clip: share of values at each end that may fall outside the plot.
        **frame: `unit`, `is_time`, `width`, `height`, `note`.
    """
    parts = [v for b in bands for v in (b.low, b.high)] + [s.y for s in lines]
    shown = axes.value_range(parts, clip)
    if shown is None or len(x) == 0:
        return empty(title, NOTHING)
    marked = axes.value_range([m.y for m in marks]) or shown
    shown = min(shown[0], marked[0]), max(shown[1], marked[1])
    p = panel(title, (float(x[0]), float(x[-1])), shown, **frame)
    body = [_band(p, x, b) for b in bands] + [_line(p, x, s) for s in lines]
    body += [_marks(p, m) for m in marks]
    keys = [(b.name, paint(b.color, 2 * b.opacity)) for b in bands]
    keys += [(s.name, paint(s.color)) for s in (*lines, *marks) if s.name]
    at = axes.ticks(p.x.low, p.x.high)
    places = [] if p.is_time else list(zip(p.x(at), axes.labels(at), strict=True))
    return p.figure("".join(body), keys, x_labels=places)


def stacked_area(title: str, x: np.ndarray, layers: Sequence[Layer], **frame) -> str:
    """Layers on top of one another, the mean of each column."""
    if len(x) == 0 or axes.value_range([s.values for s in layers]) is None:
        return empty(title, NOTHING)
    p = panel(title, (float(x[0]), float(x[-1])), (0.0, 1.0), **frame)
    at, lower, upper = _stack(p, x, [s.values for s in layers])
    most = float(upper[-1].max())
    p = dataclasses.replace(p, y=dataclasses.replace(p.y, high=most if most > 0 else 1.0))
    at[0], at[-1] = p.x.start, p.x.end
    body = "".join(
        _area(p, at, low, high, s.name, paint(s.color), "stack")
        for s, low, high in zip(layers, lower, upper, strict=True)
    )
    return p.figure(body, [(s.name, paint(s.color)) for s in layers])


def heat_chart(
    title: str,
    x: np.ndarray,
    y_range: tuple[float, float],
    layers: Sequence[Layer],
    lines: Sequence[Line] = (),
    **frame,
) -> str:
    """Grids `[rows, columns]` of shares in [0, 1] as opacity over the whole plot, lines over them.

    The first row lies at the bottom; the columns cut `[x[0], x[-1]]` into equal parts.
    """
    if len(x) == 0:
        return empty(title, NOTHING)
    p = panel(title, (float(x[0]), float(x[-1])), y_range, **frame)
    body = []
    for layer in layers:
        shade = np.ceil(np.nan_to_num(layer.values) * SHADES).clip(0, SHADES)
        for k in range(1, SHADES + 1):
            cells = _cells(p, shade == k)
            fill = f'fill="{paint(layer.color)}" fill-opacity="{k / SHADES:g}"'
            body.append(f'<path {fill} d="{cells}"/>' if cells else "")
    body += [_line(p, x, s) for s in lines]
    return p.figure("".join(body), [(s.name, paint(s.color)) for s in (*layers, *lines) if s.name])


def strip_chart(
    title: str,
    x: np.ndarray,
    rows: Sequence[tuple[str, np.ndarray]],
    names: Sequence[Layer],
    **frame,
) -> str:
    """What held over time: a strip a row, each column cut by the share of its codes.

    Args:
        title: what is shown.
        x: `[n]`, ascending.
        rows: label and codes `[n]`.
        names: what each code is called and its colour; `values` holds the code.
        **frame: `width`, `height`, `note`.
    """
    if len(x) == 0:
        return empty(title, "no decision in this run")
    p = panel(title, (float(x[0]), float(x[-1])), (0.0, 1.0), **frame)
    tall = (p.y.start - p.y.end) / max(len(rows), 1)
    body, labels = [], []
    for r, (label, codes) in enumerate(rows):
        top = p.y.end + r * tall
        labels.append((top + tall / 2 - 2, label))
        at, lower, upper = _stack(p, x, [codes == n.values for n in names])
        wide = at[1] - at[0] if len(at) > 1 else p.x.end - p.x.start
        for n, low, high in zip(names, lower, upper, strict=True):
            d = "".join(
                f"M{at[c] - wide / 2:.1f} {top + low[c] * (tall - 4):.1f}"
                f"h{wide + 0.1:.1f}v{(high - low)[c] * (tall - 4):.1f}h-{wide + 0.1:.1f}z"
                for c in np.flatnonzero(high > low)
            )
            body.append(f'<path fill="{paint(n.color)}" d="{d}"/>' if d else "")
    return p.figure("".join(body), [(n.name, paint(n.color)) for n in names], y_labels=labels)


def _stack(
    p: Panel, x: np.ndarray, parts: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel centres of the columns; lower and upper edges `[parts, columns]`."""
    count = p.columns // 2
    column = thin.column_of(x, p.x.low, p.x.high, count)
    means = [thin.reduce_columns(column, np.asarray(v, float), count, "mean") for v in parts]
    upper = np.cumsum(np.nan_to_num(np.stack(means)), axis=0)
    lower = np.concatenate([np.zeros((1, count)), upper[:-1]])
    at = p.x.start + (np.arange(count) + 0.5) * (p.x.end - p.x.start) / count
    return at, lower, upper


def _line(p: Panel, x: np.ndarray, s: Line) -> str:
    y = np.asarray(s.y, float)
    if s.is_mean and len(x) > p.columns:
        column = thin.column_of(x, p.x.low, p.x.high, p.columns)
        y = thin.reduce_columns(column, y, p.columns, "mean", hold=False)
        x = p.x.low + (np.arange(p.columns) + 0.5) * (p.x.high - p.x.low) / p.columns
    rows = thin.extremes(x, y, p.x.low, p.x.high, p.columns)
    missing = np.cumsum(~np.isfinite(y))
    # A hole wider than a column breaks the line; a narrower one cannot be seen.
    wide = np.diff(x[rows]) > 2 * (p.x.high - p.x.low) / p.columns
    d = ""
    for run in np.split(rows, np.flatnonzero((np.diff(missing[rows]) > 0) & wide) + 1):
        if run.size:
            px, py = p.x(x[run]), p.y(y[run])
            d += path(*_held(px, py)) if s.is_step else path(px, py)
    dash = f";stroke-dasharray:{s.dash}" if s.dash else ""
    style = f"stroke:{paint(s.color)};stroke-width:{s.width:g}{dash}"
    return f'<path class="line"{_named(s.name)} style="{style}" d="{d}"/>'


def _named(name: str) -> str:
    return f' data-name="{html.escape(name)}"' if name else ""


def _held(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a step that holds each y until the next x."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]


def _band(p: Panel, x: np.ndarray, b: Band) -> str:
    count = min(p.columns, 1 + len(x) // 2)
    column = thin.column_of(x, p.x.low, p.x.high, count)
    low = thin.reduce_columns(column, b.low, count, "mean" if b.is_mean else "min")
    high = thin.reduce_columns(column, b.high, count, "mean" if b.is_mean else "max")
    at = p.x.start + (np.arange(count) + 0.5) * (p.x.end - p.x.start) / count
    ok = np.isfinite(low) & np.isfinite(high)
    if not ok.any():
        return ""
    return _area(p, at[ok], low[ok], high[ok], b.name, paint(b.color, b.opacity), "band")


def _area(
    p: Panel, at: np.ndarray, low: np.ndarray, high: np.ndarray, name: str, fill: str, kind: str
) -> str:
    around = path(np.concatenate([at, at[::-1]]), p.y(np.concatenate([high, low[::-1]])))
    return (
        f'<path class="{kind}" data-name="{html.escape(name)}" style="fill:{fill}" d="{around}z"/>'
    )


def _marks(p: Panel, m: Marks) -> str:
    ok = np.isfinite(m.x) & np.isfinite(m.y)
    at = np.unique(np.round(np.stack([p.x(m.x[ok]), p.y(m.y[ok])], axis=1)), axis=0)
    s = 1 if m.is_up else -1
    tip = f"l{-MARK_PX:g} {1.6 * s * MARK_PX:g}h{2 * MARK_PX:g}z"
    d = "".join(f"M{x:g} {y:g}{tip}" for x, y in at.tolist())
    return f'<path class="mark" style="fill:{paint(m.color)}" d="{d}"/>'


def _cells(p: Panel, on: np.ndarray) -> str:
    """Rectangles over the true cells, neighbours in a row joined."""
    n_rows, n_columns = on.shape
    wide, tall = (p.x.end - p.x.start) / n_columns, (p.y.start - p.y.end) / n_rows
    edge = np.diff(np.pad(on.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(edge > 0)
    _, end = np.nonzero(edge < 0)
    x, y = p.x.start + start * wide, p.y.start - (row + 1) * tall
    return "".join(
        f"M{a:.1f} {b:.1f}h{w:.1f}v{tall:.2f}h-{w:.1f}z"
        for a, b, w in zip(x, y, (end - start) * wide, strict=True)
    )
