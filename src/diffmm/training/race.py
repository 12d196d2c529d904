"""Searches of one problem side by side: what each found, and what it spent until it was there.

A bar is set by a reference search: its last value on the curve less a share of its size. Whoever
reaches it is asked how many events he had simulated and been charged by then, as shares of what
the reference spent on its whole budget. Runs of the same seed met the same paths, so shares are
taken seed by seed, and their median is told. Source: ours; `tests/training/test_race.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .comparison import interval


SHORT_OF = 0.005
"""Share of the reference's value that a search may stay short of it."""


class RaceError(ValueError):
    """Results that cannot be set side by side."""


def compare(results: Sequence[Mapping[str, Any]], reference: str = "cma") -> dict[str, Any]:
    """All methods, and how each stands to the reference.

    Args:
        results: of `tune`, one a method and seed, all of one world.
        reference: the method that sets the bar.

    Returns:
        `methods`: `{name: {seeds, end_usd, start_usd, simulated, charged, wall_s}}`, figures as
        `{value, low, high, n}`; `against`: by name, `end_less_reference_usd` over the seeds that
        both have, and of the bar `reached`, `seeds`, and the medians `simulated_share` and
        `charged_share`, infinite where most seeds did not reach it; `curves`: as given.

    Raises:
        RaceError: for no results, two of one method and seed, or more than one world.
    """
    runs = _by_method(results)
    mean = lambda rows, name: interval([float(x[name]) for x in rows.values()])
    names = ("start_usd", "end_usd", "simulated", "charged", "wall_s")
    told = {
        method: {"seeds": sorted(rows), **{name: mean(rows, name) for name in names}}
        for method, rows in runs.items()
    }
    bars = runs.get(reference, {})
    against = {method: _against(rows, bars) for method, rows in runs.items() if method != reference}
    return {
        "reference": reference,
        "short_of": SHORT_OF,
        "methods": told,
        "against": against if bars else {},
        "curves": [
            {"method": method, "seed": seed, "points": [_shown(p) for p in rows[seed]["curve"]]}
            for method, rows in runs.items()
            for seed in sorted(rows)
        ],
    }


def cost_of(curve: Sequence[Mapping[str, Any]], bar_usd: float) -> tuple[float, float]:
    """Simulated and charged events of a curve's first point at the bar; infinite without one."""
    for point in curve:
        if point["hard_usd"] >= bar_usd:
            return float(point["simulated"]), float(point["charged"])
    return float("inf"), float("inf")


def bar_of(curve: Sequence[Mapping[str, Any]]) -> float:
    """What a reference's curve asks for: its last value less its permitted share."""
    last = float(curve[-1]["hard_usd"])
    return last - SHORT_OF * abs(last)


def _against(
    rows: Mapping[int, Mapping[str, Any]], bars: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    seeds = sorted(set(rows) & set(bars))
    shares = []
    for seed in seeds:
        spent = cost_of(rows[seed]["curve"], bar_of(bars[seed]["curve"]))
        of = float(bars[seed]["simulated"]), float(bars[seed]["charged"])
        shares.append([a / b for a, b in zip(spent, of, strict=True)])
    middle = np.median(np.array(shares), axis=0) if shares else (float("inf"),) * 2
    return {
        "seeds": seeds,
        "end_less_reference_usd": interval(
            [rows[k]["end_usd"] - bars[k]["end_usd"] for k in seeds]
        ),
        "reached": int(sum(np.isfinite(x[0]) for x in shares)),
        "simulated_share": _finite(middle[0]),
        "charged_share": _finite(middle[1]),
    }


def _by_method(
    results: Sequence[Mapping[str, Any]],
) -> dict[str, dict[int, Mapping[str, Any]]]:
    if not results:
        raise RaceError("no result.json of diffmm tune, expected some below the folders given")
    for name in ("world", "objective"):
        if len(found := sorted({str(x[name]) for x in results})) > 1:
            raise RaceError(f"results of {name} {', '.join(found)}, expected one {name}")
    runs: dict[str, dict[int, Mapping[str, Any]]] = {}
    for one in results:
        rows = runs.setdefault(one["method"], {})
        if one["seed"] in rows:
            raise RaceError(f"{one['method']} has seed {one['seed']} twice, expected it once")
        rows[one["seed"]] = one
    return runs


def _shown(point: Mapping[str, Any]) -> dict[str, Any]:
    return {name: x for name, x in point.items() if name != "z"}


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
