"""Numbers and JSON as HTML text; everything that came from outside is escaped here."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any


def say(value: Any) -> str:
    """A JSON value as short text, escaped."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{html.escape(str(k))} {say(v)}" for k, v in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(say(v) for v in value) or "none"
    return html.escape(str(value))


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def signed(value: float | None, unit: str = "") -> str:
    """A number with its sign and colour; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    tone = "good" if value > 0 else "bad" if value < 0 else ""
    return f'<span class="{tone}">{value:+,.4g}{html.escape(unit)}</span>'


def find(tree: Any, *names: str) -> Any:
    """The first value under any of these keys, outermost first, or None."""
    level = [tree]
    while level:
        for node in level:
            for name in names:
                if isinstance(node, Mapping) and name in node:
                    return node[name]
        level = [v for n in level if isinstance(n, Mapping) for v in n.values()]
    return None


def number(value: Any) -> float | None:
    """A finite float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def facts(title: str, pairs: Mapping[str, Any]) -> str:
    """A short list of names and values; without any, nothing."""
    known = {k: v for k, v in pairs.items() if v is not None}
    if not known:
        return ""
    rows = "".join(f"<dt>{html.escape(k)}</dt><dd>{say(v)}</dd>" for k, v in known.items())
    return f"<div><h3>{html.escape(title)}</h3><dl>{rows}</dl></div>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def share(value: float, text: str = "") -> str:
    """A share as a bar before its percentage, or before another text."""
    wide = 90 * max(0.0, min(value, 1.0))
    bar = f'<span class="bar"><i style="width:{wide:.0f}px"></i></span>'
    return bar + (text or f"{100 * value:.1f} %")


def tree_table(head: Sequence[str], tree: Mapping[str, Any]) -> str:
    """A nested JSON object as a table: a row for each path to an object with plain values.

    Args:
        head: names of the levels.
        tree: the object; plain values become columns, what is nested deeper is said in one cell.
    """
    rows: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []

    def walk(path: tuple[str, ...], node: Any) -> None:
        if not isinstance(node, Mapping):
            rows.append((path, {"value": node}))
        elif any(not isinstance(v, Mapping) for v in node.values()) or len(path) == len(head):
            rows.append((path, {str(k): v for k, v in node.items()}))
        else:
            for key, value in node.items():
                walk((*path, str(key)), value)

    walk((), tree)
    columns = list(dict.fromkeys(k for _, values in rows for k in values))
    cells = []
    for path, values in rows:
        places = [html.escape(p) for p in path] + [""] * (len(head) - len(path))
        cells.append([*places, *(_cell(c, values.get(c)) for c in columns)])
    return table([*head, *(c.replace("_", " ") for c in columns)], cells)


def _cell(column: str, value: Any) -> str:
    known = number(value)
    return share(known) if column == "share" and known is not None else say(value)
