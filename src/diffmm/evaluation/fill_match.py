"""Two accounts of the same orders: which fills agree, and what the others come to.

A fill of one account is matched to one of the other with the same side, price and size at most a
quantum apart, each used once, in order of time. Source: ours.
"""

import dataclasses
from typing import Any

import numpy as np


BP = 1e4


@dataclasses.dataclass(frozen=True)
class Fills:
    """Fills in order of time.

    **Attributes:**

    - `order`: number of the order.
    - `time_ms`: when.
    - `side`: 0 for a bid.
    - `price`, `size`: in the instrument's units.
    """

    order: np.ndarray
    time_ms: np.ndarray
    side: np.ndarray
    price: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.time_ms)


def match(ours: Fills, theirs: Fills, quantum_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Index of the partner in the other account of each of ours and of theirs, -1 for none."""
    mine, other = np.full(len(ours), -1), np.full(len(theirs), -1)
    keys: dict[tuple[int, int, int], list[int]] = {}
    for j in range(len(theirs)):
        key = (int(theirs.side[j]), int(theirs.price[j]), int(theirs.size[j]))
        keys.setdefault(key, []).append(j)
    for i in range(len(ours)):
        found = keys.get((int(ours.side[i]), int(ours.price[i]), int(ours.size[i])), [])
        for j in found:
            if other[j] < 0 and abs(int(theirs.time_ms[j]) - int(ours.time_ms[i])) <= quantum_ms:
                mine[i], other[j] = j, i
                break
    return mine, other


def pnl(fills: Fills, mark: float) -> float:
    """Value of what was bought less what was paid, marked once, price units times size."""
    sign = np.where(fills.side == 0, 1.0, -1.0)
    return float(np.sum(sign * fills.size * (mark - fills.price)))


def traded(fills: Fills) -> float:
    """Notional, price units times size."""
    return float(np.sum(fills.size.astype(np.float64) * fills.price))


def compare(ours: Fills, theirs: Fills, quantum_ms: float, mark: float) -> dict[str, Any]:
    """Counts, the share of all fills that agree, and the difference of PnL.

    The share is of the larger account, so that a fill that only one knows counts against it.
    """
    mine, _ = match(ours, theirs, quantum_ms)
    matched = int(np.sum(mine >= 0))
    most = max(len(ours), len(theirs))
    apart = np.abs(ours.time_ms[mine >= 0] - theirs.time_ms[mine[mine >= 0]])
    notional = max(traded(ours), traded(theirs))
    gap = pnl(ours, mark) - pnl(theirs, mark)
    return {
        "ours": len(ours),
        "theirs": len(theirs),
        "matched": matched,
        "matched_share": matched / most if most else None,
        "same_millisecond": int(np.sum(apart == 0)),
        "pnl_difference_bp": BP * gap / notional if notional else None,
    }
