"""What placed quotes earned inside a window: markouts, impact, inventory, drawdown, and pairs.

Fills of any policy in one shape, so that ours and a reference are measured alike. All is net of the
maker fee where it says net; intervals resample blocks of 60 s of the window, those without a fill
included where a figure is per hour, and a pair shares its blocks. Source: Huang & Stoll (1996) for
the markout and the impact.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from . import calibration, impact
from .calibration import Interval
from .forecast import Path
from .markouts import BLOCK_S


BP = 1e4
HOUR_S = 3600.0
HORIZONS_S = (10, 60)
IMPACT_AGES_S = (1.0, 5.0, 10.0, 30.0, 60.0)
"""Ages at which a fill's impact is read for its permanent part."""
LEAST_FILLS = 10
"""Fewer say nothing of a permanent impact."""
GRID_S = 1.0
"""At which inventory and PnL are read."""


@dataclasses.dataclass(frozen=True)
class Fills:
    """Fills in order of rows; a price is in the coordinate of `Path.mid_bp`.

    **Attributes:**

    - `row`, `time_s`: of the tape.
    - `sign`: +1 where our ask was filled.
    - `price_bp`, `usd`: mean price and notional.
    """

    row: np.ndarray
    time_s: np.ndarray
    sign: np.ndarray
    price_bp: np.ndarray
    usd: np.ndarray

    def where(self, some: np.ndarray) -> "Fills":
        """Some of them."""
        return Fills(*(x[some] for x in vars(self).values()))


@dataclasses.dataclass(frozen=True)
class Window:
    """The part that is scored, in the tape's time."""

    start_s: float
    end_s: float

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.end_s - self.start_s) / HOUR_S


def fills(
    known: Path, anchor_bp: np.ndarray, lot_usd: np.ndarray, lots: npt.ArrayLike, ticks: Any
) -> Fills:
    """Fills from what each row filled.

    Args:
        known: the mid.
        anchor_bp: what brings a price of each row to the coordinate of mids.
        lot_usd: by row.
        lots: `[rows, side]`.
        ticks: sums of lots times ticks, `[rows, side]`.
    """
    lots, ticks = np.asarray(lots, np.float64), np.asarray(ticks, np.float64)
    row, side = np.nonzero(lots)
    mean_ticks = ticks[row, side] / lots[row, side]
    step = np.expm1(known.tick_bp[row] / BP)
    return Fills(
        row,
        known.time_s[row],
        np.where(side == 1, 1.0, -1.0),
        BP * np.log1p(mean_ticks * step) + anchor_bp[row],
        lots[row, side] * lot_usd[row],
    )


def markout_bp(known: Path, f: Fills, after_s: float) -> np.ndarray:
    """`s (x - mid later)` of each fill, before fees."""
    return f.sign * (f.price_bp - known.mid_bp[known.row_at(f.time_s + after_s)])


def scores(
    known: Path, all_fills: Fills, window: Window, fee_bp: float, seed: int
) -> dict[str, Any]:
    """Everything about one policy but its pairs and its Greeks."""
    f = all_fills.where((all_fills.time_s >= window.start_s) & (all_fills.time_s < window.end_s))
    out: dict[str, Any] = {
        "fills": len(f.row),
        "filled_usd": float(f.usd.sum()),
        "filled_usd_per_hour": float(f.usd.sum()) / window.hours,
    }
    for h in HORIZONS_S:
        old = f.where(f.time_s + h <= window.end_s)
        net = markout_bp(known, old, h) - fee_bp
        columns = np.stack([old.usd, old.usd * net], axis=1)
        ratio = lambda s: s[..., 1] / s[..., 0]
        out[f"markout_{h}s_bp"] = told(calibration.statistic(old.time_s, columns, ratio, seed))
        usd = per_hour(old.time_s, old.usd * net / BP, window, seed)
        out[f"markout_{h}s_usd_per_hour"] = told(usd)
    out["permanent_impact_bp"] = told(permanent_impact(known, f, window, seed))
    inventory, pnl = _paths(known, all_fills, window, fee_bp)
    out["inventory_half_life_s"] = half_life_s(inventory)
    out["largest_inventory_usd"] = float(np.abs(inventory).max(initial=0.0))
    out["pnl_usd"] = float(pnl[-1]) if len(pnl) else 0.0
    out["drawdown_usd"] = drawdown(pnl)
    return out


def filled_usd(f: Fills, window: Window) -> float:
    """Notional filled inside the window."""
    return float(f.usd[(f.time_s >= window.start_s) & (f.time_s < window.end_s)].sum())


def net_usd(known: Path, f: Fills, window: Window, fee_bp: float, after_s: float) -> Any:
    """Times and net markouts in USD of the fills that are old enough inside the window."""
    inside = (f.time_s >= window.start_s) & (f.time_s + after_s <= window.end_s)
    f = f.where(inside)
    return f.time_s, f.usd * (markout_bp(known, f, after_s) - fee_bp) / BP


def paired_per_hour(
    ours: tuple[np.ndarray, np.ndarray],
    theirs: tuple[np.ndarray, np.ndarray],
    window: Window,
    seed: int,
) -> Interval:
    """Ours less theirs in USD an hour, resampled together; each is `(times, USD)`."""
    time_s = np.concatenate([ours[0], theirs[0]])
    return per_hour(time_s, np.concatenate([ours[1], -theirs[1]]), window, seed)


def per_hour(time_s: np.ndarray, usd: np.ndarray, window: Window, seed: int) -> Interval:
    """A sum over the window per hour; every block of the window is drawn alike."""
    if window.hours <= 0:
        return Interval(None)
    first, last = (int(np.floor_divide(t, BLOCK_S)) for t in (window.start_s, window.end_s - 1e-9))
    every = BLOCK_S * np.arange(first, last + 1, dtype=np.float64)
    both = np.concatenate([time_s, every])
    columns = np.concatenate([usd, np.zeros(len(every))])[:, None]
    return calibration.statistic(both, columns, lambda s: s[..., 0] / window.hours, seed)


def permanent_impact(known: Path, f: Fills, window: Window, seed: int) -> Interval:
    """P of `impact.fit_impact` in bp, by notional; its decay is held while blocks are drawn."""
    f = f.where((f.time_s + max(IMPACT_AGES_S) <= window.end_s) & (f.row > 0))
    if len(f.row) < LEAST_FILLS:
        return Interval(None)
    before = known.mid_bp[f.row - 1]
    ages = np.array(IMPACT_AGES_S)
    later = known.mid_bp[known.row_at(f.time_s[:, None] + ages[None, :])]
    moved = f.sign[:, None] * (later - before[:, None])
    found = impact.fit_impact(ages, np.average(moved, axis=0, weights=f.usd))
    design = np.stack([np.ones_like(ages), np.exp(-found.decay * ages)], axis=1)
    weights = np.linalg.pinv(design)[0]
    columns = np.stack([f.usd, f.usd * (moved @ weights)], axis=1)
    return calibration.statistic(f.time_s, columns, lambda s: s[..., 1] / s[..., 0], seed)


def half_life_s(*inventory: np.ndarray) -> float | None:
    """Time in which inventory halves, of a first-order autoregression about zero.

    `None` where it never moves or does not fall. Several paths are one regression.
    """
    square = sum(float((x[:-1] ** 2).sum()) for x in inventory)
    crossed = sum(float((x[:-1] * x[1:]).sum()) for x in inventory)
    kept = crossed / square if square > 0 else 1.0
    return float(GRID_S * np.log(0.5) / np.log(kept)) if 0 < kept < 1 else None


def inventory_usd(known: Path, f: Fills, window: Window) -> np.ndarray:
    """Inventory in USD on a grid of the window, what was held before included."""
    return _paths(known, f, window, 0.0)[0]


def drawdown(pnl: np.ndarray) -> float:
    """Largest fall of a PnL path from its highest point so far."""
    return float((np.maximum.accumulate(np.append(0.0, pnl)) - np.append(0.0, pnl)).max())


def told(found: Interval) -> dict[str, Any]:
    """As a JSON object."""
    return dataclasses.asdict(found)


def _paths(known: Path, f: Fills, window: Window, fee_bp: float) -> tuple[np.ndarray, np.ndarray]:
    """Inventory in USD and PnL in USD on a grid of the window, what was held before included."""
    at = np.arange(window.start_s, window.end_s, GRID_S)
    mid = known.mid_bp[known.row_at(at)]
    sold = np.append(0.0, np.cumsum(f.sign * f.usd))
    n = np.searchsorted(f.time_s, at, side="right")
    inventory = -sold[n]
    if not len(at):
        return inventory, inventory
    # Earned since the start: fills inside at their price, the position from before at its mid.
    inside = f.where(f.time_s > at[0])
    k = np.searchsorted(inside.time_s, at, side="right")
    total = lambda x: np.append(0.0, np.cumsum(x))[k]
    cash = total(inside.usd * (inside.sign * inside.price_bp - fee_bp))
    held = total(inside.sign * inside.usd)
    pnl = (cash - held * mid + inventory[0] * (mid - mid[0])) / BP
    return inventory, pnl
