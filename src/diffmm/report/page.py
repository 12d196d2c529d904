"""One self-contained HTML page of a run: no script or style from elsewhere, works offline."""

import html
import importlib.resources
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from diffmm.engine.loop import Record
from diffmm.market import Tape

from . import axes, binding, outcome, sections, series, words
from .series import Decisions, Ledger


FEW_FILLS = 100
"""Fills below which no figure about them says much."""
PROMISES = {
    "shadow": "no order leaves this process; fills are modelled",
    "replay": "a recorded market; no order was sent; fills are modelled",
    "paper": "orders go to the embedded venue in this process; no market sees them",
    "live": "orders were sent; fills are the venue's",
}
RULE = ("order_latency_ms", "cancel_latency_ms", "queue_cancel_ahead", "fill_on")
ACCOUNT = (
    "wealth_usd",
    "room_usd",
    "gamma_limit_usd",
    "maker_fee_bp",
    "taker_fee_bp",
    "position_usd",
)
NO_EVENT = '<p class="notice warn">No event reached the engine in this run.</p>'
COUNTS = ("gamma_violations", "nonfinite", "intents", "rejects", "gaps")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_page(
    path: pathlib.Path,
    *,
    title: str,
    mode: str,
    summary: Mapping[str, Any],
    tape: Tape,
    record: Record,
    learner: Mapping[str, Any] | None = None,
    reproduce: str,
) -> None:
    """Write the page of one run.

    Args:
        path: the file; its folder must exist.
        title: what was run, for instance the coin and the window.
        mode: `shadow`, `replay`, `paper`, `live`; said first, and in the page's title.
        summary: the command's JSON object; every key is optional.
        tape: rows that were folded.
        record: what each frame left, stacked, as numpy.
        learner: `offsets_bp`, `weights [rounds, rows]`, `times`, `regret`, `bound`.
        reproduce: the command line that makes this run again.
    """
    text = render(title, mode, summary, tape, record, learner, reproduce)
    pathlib.Path(path).write_text(text, encoding="utf-8")


def render(
    title: str,
    mode: str,
    summary: Mapping[str, Any],
    tape: Tape,
    record: Record,
    learner: Mapping[str, Any] | None,
    reproduce: str,
) -> str:
    """The page as text."""
    said = mode.upper()
    promise = PROMISES.get(mode.lower(), "")
    body = foot(summary, reproduce)
    body = (_run(summary, tape, record, learner) if len(tape.rows) else NO_EVENT) + body
    body = header(title, said, promise, summary, tape) + body
    return page(f"{said} - {promise} | {title}" if promise else f"{said} | {title}", body)


def _run(
    summary: Mapping[str, Any], tape: Tape, record: Record, learner: Mapping[str, Any] | None
) -> str:
    """Everything between the header and the foot."""
    d, book = series.decisions(tape, record), series.ledger(tape, record)
    rows = np.flatnonzero(tape.layout.unpack(tape.rows).wake)[: len(d.t_s)]
    event = tape.layout.unpack(tape.rows[rows])
    quotes = jax.tree.map(np.asarray, record.quotes)
    code = binding.bounds(event, quotes)
    parts = [
        bands(summary, d, book),
        tiles(summary, d, book),
        sections.market(d, book),
        sections.ladder(d, event, quotes, code),
        sections.surface(d, event, quotes),
        outcome.fills(book, summary),
        outcome.money(book),
        outcome.learner(learner),
        outcome.missing(event, quotes, summary),
    ]
    return "".join(parts)


def page(title: str, body: str) -> str:
    """The document around the body."""
    folder = importlib.resources.files(__package__)
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = (folder / "page.js").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{body}</main><script>{script}</script></body></html>\n"
    )


def header(title: str, said: str, promise: str, summary: Mapping[str, Any], tape: Tape) -> str:
    """Mode, promise, instrument, window, fill rule, account, counters."""
    rule = {name: words.find(summary, name) for name in RULE}
    event = tape.layout.unpack(tape.rows[:1])
    told = {n: np.asarray(getattr(event.account, n), float) for n in ACCOUNT}
    account = {
        n: words.find(summary, n) if words.find(summary, n) is not None else float(v[0])
        for n, v in told.items()
        if len(v)
    }
    dt_s = np.asarray(tape.layout.unpack(tape.rows).dt_s, float)
    window = axes.clock(float(dt_s[1:].sum()))
    digest = words.find(summary, "quotes_digest")
    run = {
        "instrument": tape.instrument.coin,
        "venue": summary.get("venue"),
        "reference": summary.get("reference"),
        "window": words.find(summary, "window") or window,
        "events": words.find(summary, "events") or len(tape.rows),
        "decisions": words.find(summary, "decisions"),
        "quotes digest": digest[:12] if isinstance(digest, str) else digest,
    }
    health = {name: words.find(summary, name) for name in COUNTS}
    for name in ("health", "counters", "notices"):
        found = words.find(summary, name)
        health |= found if isinstance(found, Mapping) else {name: found}
    parts = [
        words.facts("Run", run),
        words.facts("Fill rule", rule),
        words.facts("Account", account),
        words.facts("Health", health),
    ]
    return (
        f'<h1><span class="mode">{html.escape(said)}</span>{html.escape(title)}</h1>'
        f'<p class="lead">{html.escape(promise)}</p><div class="facts">{"".join(parts)}</div>'
    )


def fill_count(summary: Mapping[str, Any], book: Ledger) -> int:
    """Fills that the command counted, else those on the record."""
    told = words.number(summary.get("fills"))
    return int(told) if told is not None else sum(len(t) for t in book.fill_t_s)


def bands(summary: Mapping[str, Any], d: Decisions, book: Ledger) -> str:
    """What the reader must know before any figure."""
    out = []
    n = fill_count(summary, book)
    if n < FEW_FILLS:
        out.append(("warn", f"{n} fills: fewer than {FEW_FILLS}, so PnL and markouts are noise."))
    gaps = words.find(summary, "gaps")
    gaps = len(gaps) if isinstance(gaps, list) else words.number(gaps) or 0
    if gaps:
        out.append(("warn", f"{gaps:g} gaps in the data were too long to bridge."))
    blind = float((~d.has_book).mean()) if len(d.t_s) else 1.0
    if blind > 0.01:
        out.append(("warn", f"{100 * blind:.1f} % of the decisions had no two-sided book."))
    for name, what in (
        ("gamma_violations", "decisions left orders over the Gamma limit."),
        ("nonfinite", "steps were not finite and were discarded."),
    ):
        count = words.number(words.find(summary, name)) or 0
        if count:
            out.append(("error", f"{count:,.0f} {what}"))
    return "".join(f'<p class="notice {kind}">{html.escape(text)}</p>' for kind, text in out)


def tiles(summary: Mapping[str, Any], d: Decisions, book: Ledger) -> str:
    """The verdict."""
    parts = words.find(summary, "pnl_parts")
    parts = parts if isinstance(parts, Mapping) else {}
    total = words.number(summary.get("pnl_usd"))
    numbers = [v for v in map(words.number, parts.values()) if v is not None]
    if total is None and numbers:
        total = sum(numbers)
    lots = np.isfinite(d.target_bp).any(axis=2)
    two_sided = words.number(words.find(summary, "two_sided_fraction"))
    if two_sided is None and len(d.t_s):
        two_sided = float(lots.all(axis=1).mean())
    most = words.number(words.find(summary, "max_abs_position_usd"))
    if most is None:
        most = float(np.abs(book.position_usd).max(initial=0.0))
    violations = words.find(summary, "gamma_violations")
    out = [
        tile("PnL, USD", words.signed(total), _lines(parts)),
        tile("fills", f"{fill_count(summary, book):,}", _by_side(book)),
        tile("two-sided", "-" if two_sided is None else f"{100 * two_sided:.1f} %", "of decisions"),
        tile("max position, USD", f"{most:,.0f}", ""),
        tile("gamma violations", words.say(violations), ""),
    ]
    latency = words.find(summary, "latency_us")
    if isinstance(latency, Mapping) and latency:
        decide = words.find(latency, "decide")
        p50 = words.find(decide, "p50") if isinstance(decide, Mapping) else None
        out.append(tile("decide p50, us", words.say(p50), _lines(latency)))
    rate = words.number(words.find(summary, "events_per_s"))
    if rate is not None:
        out.append(tile("replayed", f"{rate:,.0f}", "events a second"))
    return f'<div class="tiles">{"".join(out)}</div>'


def tile(name: str, value: str, small: str) -> str:
    """One figure with its name; both are HTML already."""
    return f'<div class="tile"><span>{name}</span><b>{value}</b><small>{small}</small></div>'


def _lines(tree: Mapping[str, Any]) -> str:
    """A name and its value on each line."""
    return "<br>".join(f"{html.escape(str(k))} {words.say(v)}" for k, v in tree.items())


def _by_side(book: Ledger) -> str:
    bought, sold = (len(t) for t in book.fill_t_s)
    return f"{bought:,} buys, {sold:,} sells"


def foot(summary: Mapping[str, Any], reproduce: str) -> str:
    """The whole summary, and the command that makes the run again."""
    text = html.escape(json.dumps(summary, indent=1, default=str))
    return (
        f"<h2>Reproduce with</h2><pre>{html.escape(reproduce)}</pre>"
        f"<details><summary>The run's JSON object</summary><pre>{text}</pre></details>"
    )
