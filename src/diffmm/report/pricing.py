"""The page of a validation of pricing: verdicts, calibration curves, depths, rules, policies."""

import html
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import svg, words
from .page import foot, page, tile
from .svg import Line


SCORES = {
    "p_fill": "P(fill)",
    "edge_given_fill": "edge given a fill",
    "expected_pnl": "E[PnL]",
}


def write_pricing(path: pathlib.Path, summary: Mapping[str, Any], reproduce: str) -> None:
    """Write the page of one validation; its folder must exist."""
    title = f"Pricing of {', '.join(summary['coins'])} on {summary['market']}"
    body = (
        f'<h1><span class="mode">VALIDATION</span>{html.escape(title)}</h1>'
        '<p class="lead">probe quotes were priced and never placed; the hard fill rule says what '
        f"would have become of them; marked at {html.escape(summary['mark'])}</p>"
    )
    for life in (summary, summary["quote_life"]):
        body += f"<h2>Quotes that live {life['life_s']:g} s</h2>"
        body += _tiles(life) + _verdicts(life) + _curve(life) + _depths(life) + _rules(life)
    body += _coins(summary) + _placed(summary) + foot(summary, reproduce)
    pathlib.Path(path).write_text(page(title, body), encoding="utf-8")


def _ends(x: Mapping[str, Any], low: str = "low", high: str = "high") -> str:
    if x[low] is None or x[high] is None:
        return "no interval"
    return f"{x[low]:+.3g} to {x[high]:+.3g}"


def _tiles(life: Mapping[str, Any]) -> str:
    shown = [
        tile(f"slope of {name}", words.say(life[key]["slope"]), f"90 %: {_ends(life[key])}")
        for key, name in SCORES.items()
    ]
    fill, top = life["p_fill"], life["expected_pnl"]["top_minus_bottom"]
    level = _ends(fill, "level_low", "level_high")
    shown.append(tile("fills that came over said", words.say(fill["level"]), level))
    shown.append(tile("top less bottom tenth, bp", words.say(top["value"]), _ends(top)))
    return f'<div class="tiles">{"".join(shown)}</div>'


def _verdicts(life: Mapping[str, Any]) -> str:
    rows = []
    for name, x in life["verdicts"].items():
        low, high = x["bar"]
        bar = f"{'' if low is None else f'{low:g}'} to {'' if high is None else f'{high:g}'}"
        contains = "" if x["contains"] is None else f", holding {x['contains']:g}"
        each = {f"{rule}, {split}": v for rule, s in x["by_rule"].items() for split, v in s.items()}
        rows.append([html.escape(name), bar + contains, x["verdict"], words.say(each)])
    return words.table(["figure", "bar", "verdict", "under each rule and cancel split"], rows)


def _curve(life: Mapping[str, Any]) -> str:
    said = np.array([x["said"] for x in life["calibration"]])
    came = np.array([x["came"] for x in life["calibration"]])
    return svg.line_chart(
        "P(fill): what came of each tenth, by what was said",
        said,
        [Line("came", came, "c1"), Line("right", said, "ink", dash="4 3")],
        unit="share filled",
        is_time=False,
        height=190,
    )


def _depths(life: Mapping[str, Any]) -> str:
    names = ("n", "fills", "p_said", "p_came", "edge_said_bp", "edge_came_bp")
    names += ("epnl_said_bp", "epnl_came_bp")
    rows = [[words.say(x["away_bp"]), *(words.say(x[k]) for k in names)] for x in life["by_depth"]]
    return words.table(["mean bp from the mid", *(n.replace("_", " ") for n in names)], rows)


def _rules(life: Mapping[str, Any]) -> str:
    rows = []
    for rule, splits in life["by_rule"].items():
        for split, x in splits.items():
            cells = [f"{words.say(x[k]['slope'])} ({_ends(x[k])})" for k in SCORES]
            rows.append([rule.replace("_", " "), split, *cells, words.say(x["p_fill"]["level"])])
    head = ["filled by", "cancels in front", *(f"slope of {x}" for x in SCORES.values()), "level"]
    return words.table(head, rows)


def _coins(summary: Mapping[str, Any]) -> str:
    rows = []
    for coin, x in summary["coins"].items():
        cells = [f"{words.say(x[k]['slope'])} ({_ends(x[k])})" for k in SCORES]
        fill = x["p_fill"]
        level = f"{words.say(fill['level'])} ({_ends(fill, 'level_low', 'level_high')})"
        rows.append([html.escape(coin), *cells, level, words.say(fill["ece"])])
    head = ["market", *(f"slope of {x}" for x in SCORES.values()), "level", "calibration error"]
    return "<h2>Each market</h2>" + words.table(head, rows)


def _placed(summary: Mapping[str, Any]) -> str:
    """Policies side by side, where they were run."""
    if not summary.get("placed"):
        return ""
    known = lambda x: "-" if x["value"] is None else f"{words.signed(x['value'])} ({_ends(x)})"
    body = "<h2>Placed quotes, beside reference policies</h2>"
    for coin, found in summary["placed"].items():
        rows = []
        for name, x in found["policies"].items():
            rows.append(
                [
                    html.escape(name),
                    words.say(x["fills"]),
                    words.say(x["filled_usd"]),
                    known(x["markout_10s_bp"]),
                    known(x["markout_60s_bp"]),
                    known(x["markout_60s_usd_per_hour"]),
                    known(x["permanent_impact_bp"]),
                    words.say(x["theta_below_gamma_share"]),
                    words.say(x["inventory_half_life_s"]),
                    words.say(x["drawdown_usd"]),
                    known(x["ours_less_it_60s_usd_per_hour"])
                    if "ours_less_it_60s_usd_per_hour" in x
                    else "",
                    _matched(x.get("at_matched_notional")),
                ]
            )
        head = ["policy", "fills", "USD filled", "net 10 s bp", "net 60 s bp", "net 60 s USD/h"]
        head += ["permanent impact bp", "theta below gamma", "half-life s", "drawdown USD"]
        head += ["ours less it, USD/h", "at matched notional"]
        body += f"<h3>{html.escape(coin)}</h3>" + words.table(head, rows)
    return body


def _matched(x: Mapping[str, Any] | None) -> str:
    """Our run whose fills come nearest to a policy's, and what it earned more."""
    if x is None:
        return ""
    apart = x["ours_less_it_60s_usd_per_hour"]
    return (
        f"offset {x['edge_offset_bp']:+g} bp, {words.say(x['filled_usd'])} USD: "
        f"{words.signed(apart['value'])} ({_ends(apart)})"
    )
