"""The frame that every chart draws in: caption, legend, axes, and a body clipped to the plot."""

import dataclasses
import html
from collections.abc import Sequence

import numpy as np

from . import axes


WIDTH = 1080
LEFT, RIGHT, TOP, BOTTOM = 64, 10, 8, 22
COLUMN_PX = 1.5
"""Width of the column of which a line keeps the extremes."""
NOTHING = "no finite value in this run"


@dataclasses.dataclass(frozen=True)
class Panel:
    """Where data land in pixels, and the words around them.

    **Attributes:**

    - `title`, `unit`, `note`: the caption.
    - `x`, `y`: scales; y grows upwards.
    - `is_time`: x is seconds since the start.
    - `width`, `height`: of the whole chart.
    """

    title: str
    unit: str
    x: axes.Scale
    y: axes.Scale
    is_time: bool
    width: int
    height: int
    note: str = ""

    @property
    def columns(self) -> int:
        """How many columns a series is reduced to."""
        return int((self.x.end - self.x.start) / COLUMN_PX)

    def figure(
        self,
        body: str,
        legend: Sequence[tuple[str, str]] = (),
        x_labels: Sequence[tuple[float, str]] = (),
        y_labels: Sequence[tuple[float, str]] | None = None,
    ) -> str:
        """The whole figure.

        Args:
            body: SVG of the plot.
            legend: `(name, CSS colour)`.
            x_labels: `(pixel, text)` where x is not time.
            y_labels: `(pixel, text)` instead of the axis of values.
        """
        x0, x1, y0, y1 = self.x.start, self.x.end, self.y.end, self.y.start
        size = f'width="{x1 - x0:g}" height="{y1 - y0:g}"'
        view = f'viewBox="{x0:g} {y0:g} {x1 - x0:g} {y1 - y0:g}"'
        ends = " ".join(f"{v:.9g}" for v in (self.x.low, self.x.high, self.y.low, self.y.high))
        box = f"{x0:g} {x1:g} {y1:g} {y0:g}"
        return (
            f"<figure>{caption(self.title, self.unit, legend, self.note)}"
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{html.escape(self.title)}" data-ends="{ends}" data-box="{box}" '
            f'data-x="{"time" if self.is_time else "place"}">'
            f"{self._x_axis(x_labels)}{self._y_axis(y_labels)}"
            f'<svg x="{x0:g}" y="{y0:g}" {size} {view}>{body}</svg></svg></figure>'
        )

    def _x_axis(self, given: Sequence[tuple[float, str]]) -> str:
        lines = ""
        if self.is_time:
            at = axes.time_ticks(self.x.low, self.x.high)
            given = list(zip(self.x(at), axes.time_labels(at), strict=True))
            span = f"V{self.y.start:g}"
            lines = "".join(
                f'<path class="grid" d="M{x:.1f} {self.y.end:g}{span}"/>' for x, _ in given
            )
        y = self.height - 6
        return lines + "".join(
            f'<text class="x" x="{x:.1f}" y="{y}">{html.escape(t)}</text>' for x, t in given
        )

    def _y_axis(self, given: Sequence[tuple[float, str]] | None) -> str:
        span = f"H{self.x.end:g}"
        out = ""
        if given is None:
            at = axes.ticks(self.y.low, self.y.high, max(2, self.height // 45))
            given = list(zip(self.y(at), axes.labels(at), strict=True))
            for value, (y, _) in zip(at, given, strict=True):
                kind = "zero" if value == 0 else "grid"
                out += f'<path class="{kind}" d="M{self.x.start:g} {y:.1f}{span}"/>'
        x = self.x.start - 6
        return out + "".join(
            f'<text class="y" x="{x:g}" y="{y + 3.5:.1f}">{html.escape(t)}</text>' for y, t in given
        )


def panel(
    title: str,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    *,
    unit: str = "",
    is_time: bool = True,
    width: int = WIDTH,
    height: int = 190,
    note: str = "",
) -> Panel:
    """A frame with the house's margins; a range of no width is widened."""
    low, high = x_range
    x = axes.Scale(low, high if high > low else low + 1.0, LEFT, width - RIGHT)
    y = axes.Scale(*y_range, height - BOTTOM, TOP)
    return Panel(title, unit, x, y, is_time, width, height, note)


def caption(title: str, unit: str, legend: Sequence[tuple[str, str]], note: str = "") -> str:
    """Title, unit and the legend's swatches, as text that wraps."""
    keys = "".join(
        f'<span class="key"><i style="background:{color}"></i>{html.escape(name)}</span>'
        for name, color in legend
    )
    unit = f' <span class="unit">{html.escape(unit)}</span>' if unit else ""
    note = f'<p class="note">{html.escape(note)}</p>' if note else ""
    return f"<figcaption><b>{html.escape(title)}</b>{unit}{keys}{note}</figcaption>"


def empty(title: str, reason: str) -> str:
    """What stands where there is nothing to draw."""
    return f'<figure>{caption(title, "", ())}<p class="empty">{html.escape(reason)}</p></figure>'


def paint(color: str, opacity: float = 1.0) -> str:
    """A CSS colour from a variable's name."""
    if opacity >= 1:
        return f"var(--{color})"
    return f"color-mix(in srgb,var(--{color}) {100 * opacity:.0f}%,transparent)"


def path(x: np.ndarray, y: np.ndarray) -> str:
    """Points joined by straight lines, a tenth of a pixel exact."""
    points = np.round(np.stack([x, y], axis=1), 1)
    return "M" + "L".join(f"{a:g} {b:g}" for a, b in points.tolist())
