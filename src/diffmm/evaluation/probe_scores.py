"""Probe quotes scored: what the surface said of each, what became of it, and three calibrations.

A probe is one order a side and depth, alone on the market for one life. Said of it:

    P = 1 - (1 - P_u) (1 - P_o)
    E[edge | filled] = (P_u (edge - gm) - option) / (P_u + P_o)
    E[PnL] of the surface

and what came: whether any of it was filled, the edge `s (x - mark)` of what was filled, and the PnL
`sum share (s (x - mark) - paid - feared P_u / P)`: the costs that a markout does not show are
charged as the surface states them, `P` there being `P_u + P_o`. The mark of a fill is the mid one
holding horizon later on a recording, and the true V when filled in a world, which is the mean of
any later V. Source: ours.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from . import calibration
from .calibration import Interval


SIGN = np.array([-1.0, 1.0])
"""Of a bid and an ask."""


class Said(NamedTuple):
    """The surface at each probe, `[probes, side, depths]`; see `engine.probing.Priced`."""

    is_valid: np.ndarray
    price_bp: np.ndarray
    fill: np.ndarray
    sniped: np.ndarray
    edge_bp: np.ndarray
    gm_bp: np.ndarray
    option_bp: np.ndarray
    paid_bp: np.ndarray
    feared_bp: np.ndarray
    epnl_bp: np.ndarray


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """Probes in a row, one entry each.

    **Attributes:**

    - `time_s`: when it was placed.
    - `group`: of which market; probes of one group and depth share a rate in the Brier base.
    - `depth`, `away_bp`: its place in the grid and its distance from the mid.
    - `is_scored`: inside the part that is scored; the rest is before it.
    - `p`, `edge_said_bp`, `epnl_bp`: said; `p_u` is P_u alone.
    - `is_filled`, `share`: came; share of its size.
    - `edge_bp`: of what was filled, 0 where nothing was.
    - `pnl_bp`: per USD quoted.
    """

    time_s: np.ndarray
    group: np.ndarray
    depth: np.ndarray
    away_bp: np.ndarray
    is_scored: np.ndarray
    p: np.ndarray
    p_u: np.ndarray
    edge_said_bp: np.ndarray
    epnl_bp: np.ndarray
    is_filled: np.ndarray
    share: np.ndarray
    edge_bp: np.ndarray
    pnl_bp: np.ndarray

    def where(self, some: np.ndarray) -> "Outcomes":
        """Some of them."""
        return Outcomes(*(x[some] for x in vars(self).values()))

    @classmethod
    def join(cls, parts: list["Outcomes"]) -> "Outcomes":
        """Those of several markets one after the other; their times are taken as they are."""
        return cls(
            *(np.concatenate(x) for x in zip(*(vars(p).values() for p in parts), strict=True))
        )


class Placed(NamedTuple):
    """Where and when the probes were placed.

    **Attributes:**

    - `row`: after which they stand, in order, `[probes]`.
    - `phase`: which lane took them.
    - `lots`: of each order, `[probes, side, depths]`.
    """

    row: np.ndarray
    phase: np.ndarray
    lots: np.ndarray


class Hits(NamedTuple):
    """Fills of probes, one entry each: at which row, of which lane, how much."""

    row: np.ndarray
    phase: np.ndarray
    depth: np.ndarray
    side: np.ndarray
    lots: np.ndarray

    @classmethod
    def join(cls, parts: list["Hits"]) -> "Hits":
        """Those of several stretches of rows."""
        return cls(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def hits(lots: np.ndarray, first_row: int = 0) -> Hits:
    """Fills from what each row filled, `[rows, phases, depths, side]`."""
    row, phase, depth, side = np.nonzero(lots)
    return Hits(row + first_row, phase, depth, side, lots[row, phase, depth, side].astype(float))


def filled(placed: Placed, got: Hits, mark_bp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lots filled of each probe, and their sum times the mark, `[probes, side, depths]`.

    Args:
        placed: the probes.
        got: fills.
        mark_bp: what a fill at each row is marked at.
    """
    total = np.zeros(placed.lots.shape)
    marked = np.zeros(placed.lots.shape)
    for phase in np.unique(placed.phase):
        mine, here = np.flatnonzero(placed.phase == phase), got.phase == phase
        row, lots = got.row[here], got.lots[here]
        # A probe is filled by rows after the one at which it was placed.
        probe = np.searchsorted(placed.row[mine], row, side="left") - 1
        at = mine[probe], got.side[here], got.depth[here]
        np.add.at(total, at, lots)
        np.add.at(marked, at, lots * mark_bp[row])
    return total, marked


def edge_bp(
    price_bp: np.ndarray, anchor_bp: np.ndarray, lots: np.ndarray, marked: np.ndarray
) -> np.ndarray:
    """What a unit filled is worth at its mark, 0 where nothing is; last two are of `filled`."""
    x = price_bp + anchor_bp[:, None, None]
    mark = marked / np.where(lots > 0, lots, 1.0)
    return np.where(lots > 0, SIGN[None, :, None] * (x - mark), 0.0)


def outcomes(
    said: Said,
    placed: Placed,
    got: tuple[np.ndarray, np.ndarray],
    *,
    time_s: np.ndarray,
    anchor_bp: np.ndarray,
    mid_bp: np.ndarray,
    is_kept: np.ndarray,
    is_scored: np.ndarray,
    group: int,
) -> Outcomes:
    """One market's probes, flat.

    Args:
        said: of the surface.
        placed: the probes.
        got: of `filled`.
        time_s: of each probe, `[probes]`.
        anchor_bp: what brings a price of its row to the coordinate of marks and mids.
        mid_bp: when placed.
        is_kept: probes whose life nothing broke off.
        is_scored: probes of the part that is scored.
        group: number of the market.
    """
    lots, marked = got
    any_filled = lots > 0
    edge = edge_bp(said.price_bp, anchor_bp, lots, marked)
    sign = SIGN[None, :, None]
    x = said.price_bp + anchor_bp[:, None, None]
    share = lots / np.maximum(placed.lots, 1)
    p = 1 - (1 - said.fill) * (1 - said.sniped)
    some = np.maximum(said.fill + said.sniped, np.finfo(float).tiny)
    edge_said = (said.fill * (said.edge_bp - said.gm_bp) - said.option_bp) / some
    charged = said.paid_bp + said.feared_bp * said.fill / some
    depth = np.broadcast_to(np.arange(x.shape[2])[None, None, :], x.shape)
    wide = lambda values: np.broadcast_to(values[:, None, None], x.shape)
    whole = Outcomes(
        wide(time_s),
        np.full(x.shape, group),
        depth,
        sign * (x - mid_bp[:, None, None]),
        wide(is_scored),
        p,
        said.fill,
        edge_said,
        said.epnl_bp,
        any_filled.astype(float),
        share,
        edge,
        share * (edge - charged),
    )
    keep = said.is_valid & wide(is_kept)
    finite = np.isfinite(whole.p) & np.isfinite(whole.edge_said_bp) & np.isfinite(whole.epnl_bp)
    return whole.where(keep & finite)


def base_rate(all_of: Outcomes) -> tuple[np.ndarray, str]:
    """Rate of fills by market and depth at each scored probe, and what it was taken from.

    It is that of the part before the scored one where there is one, else of the scored part.
    """
    scored, fitted = all_of.where(all_of.is_scored), all_of.where(~all_of.is_scored)
    source = fitted if len(fitted.p) else scored
    width = int(all_of.depth.max(initial=0)) + 1
    key = lambda o: o.group * width + o.depth
    n = int(key(all_of).max(initial=0)) + 1
    count = np.bincount(key(source), minlength=n)
    rate = np.bincount(key(source), source.is_filled, minlength=n) / np.maximum(count, 1)
    name = "the part before" if len(fitted.p) else "the scored part itself"
    return rate[key(scored)], name


def scores(all_of: Outcomes, seed: int = 0) -> dict[str, Any]:
    """`p_fill`, `edge_given_fill`, `expected_pnl` of the scored probes, with 90 % intervals."""
    base, base_name = base_rate(all_of)
    o = all_of.where(all_of.is_scored)
    hit = o.is_filled > 0
    f = o.where(hit)
    return {
        "p_fill": {
            **_slope(calibration.slope(o.time_s, o.p, o.is_filled, seed), len(o.p)),
            **_flat("brier_skill", calibration.brier_skill(o.time_s, o.p, base, o.is_filled, seed)),
            **_flat("ece", calibration.calibration_error(o.time_s, o.p, o.is_filled, seed)),
            **_flat("level", calibration.level(o.time_s, o.p, o.is_filled, seed)),
            **_flat("level_of_p_u", calibration.level(o.time_s, o.p_u, o.is_filled, seed)),
            "said": _mean(o.p),
            "came": _mean(o.is_filled),
            "share_filled": _mean(o.share),
            "brier_base": base_name,
        },
        "edge_given_fill": {
            **_slope(calibration.slope(f.time_s, f.edge_said_bp, f.edge_bp, seed), len(f.p)),
            **_flat("bias", calibration.mean(f.time_s, f.edge_bp - f.edge_said_bp, seed)),
            "said_bp": _mean(f.edge_said_bp),
            "came_bp": _mean(f.edge_bp),
        },
        "expected_pnl": {
            **_slope(calibration.slope(o.time_s, o.epnl_bp, o.pnl_bp, seed), len(o.p)),
            "top_minus_bottom": _object(
                calibration.top_minus_bottom(o.time_s, o.epnl_bp, o.pnl_bp, seed)
            ),
            "said_bp": _mean(o.epnl_bp),
            "came_bp": _mean(o.pnl_bp),
        },
    }


def by_depth(all_of: Outcomes) -> list[dict[str, Any]]:
    """Means of the scored probes at each place of the grid."""
    o = all_of.where(all_of.is_scored)
    rows = []
    for k in np.unique(o.depth):
        one = o.where(o.depth == k)
        f = one.where(one.is_filled > 0)
        rows.append(
            {
                "depth": int(k),
                "away_bp": _mean(one.away_bp),
                "n": len(one.p),
                "fills": len(f.p),
                "p_said": _mean(one.p),
                "p_came": _mean(one.is_filled),
                "edge_said_bp": _mean(f.edge_said_bp),
                "edge_came_bp": _mean(f.edge_bp),
                "epnl_said_bp": _mean(one.epnl_bp),
                "epnl_came_bp": _mean(one.pnl_bp),
            }
        )
    return rows


def _mean(x: np.ndarray) -> float | None:
    return float(x.mean()) if len(x) else None


def _slope(found: Interval, n: int) -> dict[str, Any]:
    return {"slope": found.value, "low": found.low, "high": found.high, "n": n}


def _flat(name: str, found: Interval) -> dict[str, Any]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _object(found: Interval) -> dict[str, Any]:
    return {"value": found.value, "low": found.low, "high": found.high}
