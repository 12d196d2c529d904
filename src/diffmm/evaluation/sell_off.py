"""What a maker held and traded through a scripted fall, and through its mirror.

Positions are counted in contracts, exactly, from the lots of each row.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from .forecast import Path


@dataclasses.dataclass(frozen=True)
class Run:
    """One maker on one tape.

    **Attributes:**

    - `time_s`: of each row.
    - `bought`, `sold`: contracts filled by row.
    - `price`: mid of each row, USD.
    """

    time_s: np.ndarray
    bought: np.ndarray
    sold: np.ndarray
    price: np.ndarray

    @property
    def held(self) -> np.ndarray:
        """Position after each row, contracts, long positive."""
        return np.cumsum(self.bought - self.sold)


def run(known: Path, lots: npt.ArrayLike, contracts_per_lot: float, start_usd: float) -> Run:
    """A run from lots `[rows, side]`; `start_usd` is the price at 0 bp."""
    bought, sold = np.asarray(lots, np.float64).T * contracts_per_lot
    return Run(known.time_s, bought, sold, start_usd * np.exp(known.mid_bp / 1e4))


def scores(one: Run, from_s: float, to_s: float) -> dict[str, Any]:
    """Position and trade inside a window: averages by time, notional in USD."""
    inside = (one.time_s >= from_s) & (one.time_s < to_s)
    if not inside.any():
        raise ValueError(f"no row between {from_s:g} and {to_s:g} s")
    held, time_s = one.held[inside], one.time_s[inside]
    lasts_s = np.diff(np.append(time_s, to_s))
    both = one.bought + one.sold
    return {
        "mean": float(np.average(held, weights=lasts_s)),
        "most": float(held.max()),
        "least": float(held.min()),
        "end": float(held[-1]),
        "filled_usd": float((both * one.price)[inside].sum()),
        "fills": int((both[inside] > 0).sum()),
    }


def told(fall: Run, rally: Run, flat_s: float, end_s: float) -> dict[str, Any]:
    """Both tapes of one maker; `above_flat` is how far the fall's peak is over the flat mean."""
    flat = scores(fall, 0.0, flat_s)
    down, up = scores(fall, flat_s, end_s), scores(rally, flat_s, end_s)
    return {
        "above_flat": down["most"] - flat["mean"],
        "below_flat_in_rally": flat["mean"] - up["least"],
        "flat": flat,
        "sell_off": down,
        "rally": up,
    }
