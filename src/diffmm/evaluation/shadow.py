"""What a run's orders were expected to earn, and what they did: one edge against the other.

The expected edge of a fill is the surface's, at the last decision before it, at the column nearest
to its price: `(P_u (edge - gm) - option) / (P_u + P_o)`. The realised one is its markout against
the mid a holding horizon later. Both before fees, by notional, over the same fills; a fill too
young is in neither. Source: ours; tested in `tests/evaluation/test_shadow.py`.
"""

from typing import Any

import numpy as np

from diffmm.pricing import Surface

from . import calibration, ladder, placed
from .forecast import Path
from .placed import Fills


def at_fills_bp(surface: Surface, wakes: np.ndarray, ticks: np.ndarray, f: Fills) -> np.ndarray:
    """Expected edge of each fill; NaN before the first decision.

    Args:
        surface: of the decisions, stacked.
        wakes: rows of the decisions, in order.
        ticks: price of each fill in ticks of its own row.
        f: the fills.
    """
    # A row is folded before the decision that it wakes, so its fills belong to the one before.
    decision = np.searchsorted(wakes, f.row, side="left") - 1
    known = np.flatnonzero(decision >= 0)
    out = np.full(len(f.row), np.nan)
    if not len(known):
        return out
    at = ladder.some(surface, decision[known])
    side = (f.sign[known] > 0).astype(int)
    wanted = np.repeat(np.rint(ticks[known])[:, None, None], 2, axis=1)
    edge = ladder.edge_given_fill_bp(at, ladder.nearest(at, wanted))
    out[known] = edge[np.arange(len(known)), side, 0]
    return out


def edges(
    known: Path, expected_bp: np.ndarray, f: Fills, after_s: float, seed: int
) -> dict[str, Any]:
    """`expected_edge_bp`, `realised_edge_bp` and their difference, each with an interval.

    Args:
        known: the mid.
        expected_bp: of each fill.
        f: the fills.
        after_s: age at which a fill is marked.
        seed: of the bootstrap.
    """
    old = (f.time_s + after_s <= known.time_s[-1]) & np.isfinite(expected_bp)
    f, said = f.where(old), expected_bp[old]
    came = placed.markout_bp(known, f, after_s)
    ratio = lambda s: s[..., 1] / s[..., 0]

    def mean(values: np.ndarray) -> dict[str, Any]:
        columns = np.stack([f.usd, f.usd * values], axis=1)
        return placed.told(calibration.statistic(f.time_s, columns, ratio, seed))

    return {
        "expected_edge_bp": mean(said),
        "realised_edge_bp": mean(came),
        "realised_less_expected_bp": mean(came - said),
        "edge_fills": len(said),
    }


def quoted_s(lots: np.ndarray, time_s: np.ndarray, end_s: float) -> dict[str, float]:
    """Seconds during which an order of ours stood, on any side and on both.

    Args:
        lots: sizes after each decision, `[decisions, side, orders]`.
        time_s: of the decisions.
        end_s: of the run.
    """
    lasted = np.diff(np.append(time_s, max(end_s, time_s[-1] if len(time_s) else end_s)))
    sides = (np.asarray(lots) > 0).any(axis=2)
    return {
        "quote_seconds": float(lasted[sides.any(axis=1)].sum()),
        "two_sided_seconds": float(lasted[sides.all(axis=1)].sum()),
        "seconds": float(lasted.sum()),
    }
