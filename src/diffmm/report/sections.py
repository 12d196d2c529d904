"""The page's figures of what was believed, quoted and priced, one function a section."""

import html

import numpy as np

from diffmm.engine.graph import Quotes
from diffmm.market import ASK, BID, Event

from . import axes, bars, binding, svg, thin, words
from .binding import Bound
from .series import BP, Decisions, Ledger
from .svg import Band, Layer, Line, Marks


SIDES = ("bid", "ask")
MODES = ("quiet", "trending", "crisis")
BOUND_COLORS = {
    Bound.FREE: "free",
    Bound.GAMMA: "c1",
    Bound.ROOM: "c2",
    Bound.KELLY: "c3",
    Bound.MESSAGE: "c5",
    Bound.ROUNDING: "c6",
    Bound.PRICE: "none",
    Bound.INVALID: "ink",
}
TERM_COLORS = ("c1", "c8", "c3", "c4", "c2", "c5", "c7", "c6")
HEAT_ROWS, HEAT_COLUMNS = 64, 300
DEPTH_SHOWN = 0.98
"""Share of the placed notional that the ladder chart's height covers."""
CLIP = 0.005
BARS = 20
LOSS_SHOWN = 6.0
"""How far below zero E[PnL] is drawn, in units of its best value."""
CLOSE_S = 60.0
"""Length of the close-up."""


def market(d: Decisions, book: Ledger) -> str:
    """Price with our fills, V against mid, a close-up, modes, volatility."""
    price = svg.line_chart(
        "Mid price and our fills",
        d.t_s,
        [Line("mid", d.price, "mid")],
        marks=_fill_marks(book, *book.fill_price),
        height=230,
    )
    around = lambda k: (d.v_bp - k * d.v_sd_bp, d.v_bp + k * d.v_sd_bp)
    belief = svg.line_chart(
        "Fair value V less mid",
        d.t_s,
        [
            Line("posterior mean", d.v_bp, "fair", is_mean=True, width=1.0),
            Line("half spread", d.half_spread_bp, "mid", is_mean=True, width=0.8, dash="2 2"),
            Line("", -d.half_spread_bp, "mid", is_mean=True, width=0.8, dash="2 2"),
        ],
        bands=[
            Band("2 s.d.", *around(2), "fair", 0.14, is_mean=True),
            Band("1 s.d.", *around(1), "fair", 0.26, is_mean=True),
        ],
        unit="bp",
        clip=CLIP,
        height=200,
        note="Means over each pixel's time; the close-up below shows every decision.",
    )
    modes = svg.stacked_area(
        "Mode probabilities",
        d.t_s,
        [Layer(n, p, n) for n, p in zip(MODES, d.modes.T, strict=False)],
        height=130,
    )
    sigma = svg.line_chart(
        "Volatility sigma",
        d.t_s,
        [Line("sigma", d.sigma_bp, "c2")],
        unit="bp per sqrt(s)",
        height=130,
    )
    parts = (price, belief, close_up(d, book), modes, sigma)
    return "<h2>The market and what is believed of it</h2>" + "".join(parts)


def _fill_marks(book: Ledger, *y: np.ndarray) -> list[Marks]:
    return [
        Marks(f"our {verb}", book.fill_t_s[k], y[k], SIDES[k], k == BID)
        for k, verb in ((BID, "buys"), (ASK, "sells"))
    ]


def close_up(d: Decisions, book: Ledger) -> str:
    """The minute with most fills: touch, V and our innermost targets, every decision."""
    title = "Close-up: the minute with most fills"
    times = np.sort(np.concatenate(book.fill_t_s))
    if not len(d.t_s):
        return svg.empty(title, "no decision in this run")
    within = np.searchsorted(times, times + CLOSE_S * 0.9, "right") - np.arange(len(times))
    start = times[within.argmax()] - CLOSE_S * 0.05 if len(times) else d.t_s[len(d.t_s) // 2]
    rows = np.flatnonzero((d.t_s >= start) & (d.t_s <= start + CLOSE_S) & np.isfinite(d.price))
    if not rows.size:
        return svg.empty(title, "no decision with a book in that minute")
    base = float(d.price[rows[0]])
    bp = lambda price: BP * np.log(price / base)
    mid, v, sd = bp(d.price[rows]), d.v_bp[rows], d.v_sd_bp[rows]
    half, target = d.half_spread_bp[rows], d.target_bp[rows]
    best = [
        np.max(np.where(np.isnan(target[:, BID]), -np.inf, target[:, BID]), axis=1),
        np.min(np.where(np.isnan(target[:, ASK]), np.inf, target[:, ASK]), axis=1),
    ]
    lines = [
        Line("market's touch", mid + half, "mid", is_step=True, width=0.9),
        Line("", mid - half, "mid", is_step=True, width=0.9),
        Line("V", mid + v, "fair", width=1.6),
        *(
            Line(f"our best {s}", mid + np.where(np.isfinite(b), b, np.nan), s, True, width=1.8)
            for s, b in zip(SIDES, best, strict=True)
        ),
    ]
    shown = [(t >= d.t_s[rows[0]]) & (t <= d.t_s[rows[-1]]) for t in book.fill_t_s]
    marks = [
        Marks(m.name, m.x[keep], bp(m.y[keep]), m.color, m.is_up)
        for m, keep in zip(_fill_marks(book, *book.fill_price), shown, strict=True)
    ]
    return svg.line_chart(
        title,
        d.t_s[rows],
        lines,
        bands=[
            Band("2 s.d. of V", mid + v - 2 * sd, mid + v + 2 * sd, "fair", 0.1),
            Band("1 s.d.", mid + v - sd, mid + v + sd, "fair", 0.16),
        ],
        marks=marks,
        unit="bp from the minute's first mid",
        height=280,
    )


def ladder(d: Decisions, event: Event, quotes: Quotes, code: np.ndarray) -> str:
    """Targets over time, what bound the sizes, and the Gamma exposure against its limit."""
    out = "<h2>The ladder and what bound it</h2>" + _ladder_heat(d)
    names = [Layer(binding.NAMES[b], np.array(int(b)), BOUND_COLORS[b]) for b in binding.NAMES]
    names = [n for n in names if (code == n.values).any()]
    out += svg.strip_chart(
        "What bound the allocation, share of decisions",
        d.t_s,
        [(s, code[:, k]) for k, s in enumerate(SIDES)],
        names,
        height=110,
    )
    rows = [
        [
            html.escape(n.name),
            *(words.share(float((code[:, k] == n.values).mean())) for k in (0, 1)),
        ]
        for n in names
    ]
    out += words.table(["bound by", *SIDES], rows) if rows else ""
    limit = np.asarray(event.account.gamma_limit_usd, float)
    used = np.asarray(quotes.targets.gamma_usd, float)
    out += svg.line_chart(
        "Gamma exposure of the targets",
        d.t_s,
        [Line("mean", used, "c1", is_mean=True), Line("limit", limit, "bad", dash="4 3")],
        bands=[Band("smallest to largest", used, used, "c1")],
        unit="USD over one quote life",
        height=130,
    )
    return out


def _ladder_heat(d: Decisions) -> str:
    title = "Our targets by distance from the mid"
    has = np.isfinite(d.target_bp)
    if not has.any():
        return svg.empty(title, "no target at any decision of this run")
    away, usd = np.abs(d.target_bp[has]), d.target_usd[has]
    order = np.argsort(away)
    inside = np.cumsum(usd[order]) <= DEPTH_SHOWN * usd.sum()
    reach = 1.1 * float(max(away[order][inside].max(initial=0.0), np.nanmedian(d.half_spread_bp)))
    reach = reach if reach > 0 else 1.0
    columns = min(HEAT_COLUMNS, len(d.t_s))
    column = thin.column_of(d.t_s, d.t_s[0], max(d.t_s[-1], d.t_s[0] + 1.0), columns)
    row = np.floor((d.target_bp + reach) / (2 * reach) * HEAT_ROWS)
    count = np.maximum(np.bincount(column, minlength=columns), 1)
    grids = []
    for side in (BID, ASK):
        ok = has[:, side] & (row[:, side] >= 0) & (row[:, side] < HEAT_ROWS)
        grid = np.zeros((HEAT_ROWS, columns))
        where = (row[:, side][ok].astype(int), np.broadcast_to(column[:, None], ok.shape)[ok])
        np.add.at(grid, where, d.target_usd[:, side][ok])
        grids.append(grid / count)
    full = float(np.quantile(np.concatenate([g[g > 0] for g in grids]), 0.95))
    layers = [
        Layer(f"our {s}, darkest {full:,.0f} USD", np.minimum(g / full, 1.0), s)
        for s, g in zip(SIDES, grids, strict=True)
    ]
    touch = [
        Line("market's half spread", d.half_spread_bp, "ink", is_mean=True, width=1.0),
        Line("", -d.half_spread_bp, "ink", is_mean=True, width=1.0),
    ]
    note = "Opacity is the mean notional that stood as target in each cell of time and price."
    return svg.heat_chart(
        title, d.t_s, (-reach, reach), layers, touch, unit="bp", height=300, note=note
    )


def surface(d: Decisions, event: Event, quotes: Quotes) -> str:
    """The E[PnL] surface at one decision: does the edge clear the stack of costs?"""
    out = "<h2>One decision: edge against every cost, by depth</h2>"
    smallest = np.asarray(event.rules.min_notional_usd)[:, None, None]
    placed = np.asarray(quotes.allocation.size_usd) >= smallest
    k = _typical(d, placed.any(axis=2))
    if k is None:
        return out + svg.empty("E[PnL] surface", "no decision with a two-sided book in this run")
    s = quotes.surface
    out += (
        f'<p class="lead">At {axes.clock(float(d.t_s[k]))}, near the median of the run: '
        f"spread {2 * d.half_spread_bp[k]:.3g} bp, sigma {d.sigma_bp[k]:.3g} bp per sqrt(s), quote "
        f"life {float(s.tau_s[k]):.2f} s. Costs are for a filled unit, so the option's value is "
        "divided by the fill probability. Where the edge lies above the stack, the quote earns.</p>"
    )
    mid = float(np.asarray(event.book.price_bp, float)[k, :, 0].mean())
    both = [_side_charts(quotes, k, side, mid, placed[k, side]) for side in (BID, ASK)]
    stacks, results = zip(*both, strict=True)
    return f'{out}<div class="pair">{"".join((*stacks, *results))}</div>'


def _side_charts(
    quotes: Quotes, k: int, side: int, mid_bp: float, placed: np.ndarray
) -> tuple[str, str]:
    """Edge against stacked costs, and E[PnL], by candidate."""
    s, name = quotes.surface, SIDES[side].capitalize()
    ok = np.flatnonzero(np.asarray(s.is_valid)[k, side, : len(placed)])
    ok = ok[: max(BARS, 2 + int(np.flatnonzero(placed[ok]).max(initial=0)))]
    sign = -1.0 if side == BID else 1.0
    depth = sign * (np.asarray(s.price_bp, float)[k, side, ok] - mid_bp)
    edge = np.asarray(s.edge_bp, float)[k, side, ok]
    layers = [
        Layer(n, v[side, ok], c)
        for (n, v), c in zip(binding.cost_terms(quotes, k).items(), TERM_COLORS, strict=True)
    ]
    layers = [x for x in layers if np.any(x.values != 0)]
    total = np.sum([x.values for x in layers], axis=0)
    most = max(np.max(edge, initial=0.0), np.min(total, initial=np.inf, where=total > 0), 0.1)
    labels = [f"{x:.1f}" for x in np.round(depth, 1) + 0.0]
    stack = bars.stacked_bars(
        f"{name}: edge and costs",
        labels,
        layers,
        Line("edge", edge, "ink"),
        placed[ok],
        1.3 * float(most) if np.isfinite(most) else 1.0,
        "gets size",
        unit="bp a filled unit, by bp from the mid",
        width=540,
        height=270,
    )
    value = 1e3 * np.asarray(s.epnl_usd, float)[k, side, ok]
    best = float(np.max(value, initial=0.0))
    result = bars.bar_chart(
        f"{name}: E[PnL] of {float(s.size_usd[k]):,.0f} USD",
        labels,
        value,
        floor=-LOSS_SHOWN * best if best > 0 else -np.inf,
        unit="0.001 USD over one quote life",
        note="Losses beyond the axis are cut off." if best > 0 else "",
        width=540,
        height=150,
    )
    return stack, result


def _typical(d: Decisions, placed: np.ndarray) -> int | None:
    """The decision nearest the median in spread and volatility, with size on both sides if any."""
    for among in (placed.all(axis=1), placed.any(axis=1), d.has_book):
        rows = np.flatnonzero(among & d.has_book & np.isfinite(d.sigma_bp) & (d.half_spread_bp > 0))
        if rows.size:
            x = np.log(np.stack([d.half_spread_bp[rows], d.sigma_bp[rows] + 1e-9]))
            away = np.abs(x - np.median(x, axis=1, keepdims=True)).sum(axis=0)
            return int(rows[np.argmin(away)])
    return None
