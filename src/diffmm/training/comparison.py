"""The configurations of a sweep side by side, seed by seed.

Every configuration met the same seeds, so the difference from the first one is taken pair by pair
before it is averaged. Intervals are Student's, 90 %; with one seed there is none.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .gate import T95


FIGURES = ("pnl_usd_per_hour", "fills_per_hour", "drawdown_usd", "max_abs_position_usd")


def compare(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a configuration, the best mean PnL first.

    Args:
        results: of finished trials. A pair counts where both trials of a seed are there.

    Returns:
        `values`, `trials`, `pnl_usd_per_hour` and `against_first` as `{value, low, high, n}`, the
        other figures and the parts of PnL as means.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(results, key=lambda x: x["trial"]):
        groups.setdefault(repr(sorted(one["values"].items())), []).append(one)
    if not groups:
        return []
    pnl = lambda rows: {x["seed"]: x["pnl_usd_per_hour"] for x in rows}
    first = pnl(next(iter(groups.values())))
    found = []
    for rows in groups.values():
        own = pnl(rows)
        pairs = [own[seed] - first[seed] for seed in own if seed in first]
        parts = rows[0]["pnl_parts_usd_per_hour"]
        mean = lambda read, rows=rows: float(np.mean([read(x) for x in rows]))
        found.append(
            {
                "values": rows[0]["values"],
                "trials": [x["trial"] for x in rows],
                **{name: mean(lambda x, name=name: x[name]) for name in FIGURES},
                "pnl_usd_per_hour": interval(list(own.values())),
                "against_first": interval(pairs),
                "pnl_parts_usd_per_hour": {
                    name: mean(lambda x, name=name: x["pnl_parts_usd_per_hour"][name])
                    for name in parts
                },
                "nonfinite": sum(x["nonfinite"] for x in rows),
            }
        )
    return sorted(found, key=lambda x: -x["pnl_usd_per_hour"]["value"])


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean and its 90 % interval; no ends with fewer than two values, nothing with none."""
    n = len(values)
    if not n:
        return {"value": None, "low": None, "high": None, "n": 0}
    mean = float(np.mean(values))
    if n < 2:
        return {"value": mean, "low": None, "high": None, "n": n}
    half = T95[min(n - 1, len(T95)) - 1] * float(np.std(values, ddof=1)) / math.sqrt(n)
    return {"value": mean, "low": mean - half, "high": mean + half, "n": n}
