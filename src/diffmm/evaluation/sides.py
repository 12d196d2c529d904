"""How often both sides are quoted, and what keeps the missing one out."""

import dataclasses

import numpy as np

from diffmm.allocation import Allocation
from diffmm.execution import Targets
from diffmm.market import Event, SIDE_SIGN
from diffmm.pricing import Surface
from diffmm.risk import RiskBudget

from .costs import blame, BLAMES, costs_bp, SIDES, take


BP = 1e4
LIMITS = ("message", "gamma_limit", "inventory_room", "kelly", "min_notional", "health")
REASONS = (*BLAMES, *LIMITS)
"""Everything that can keep a side out: the surface's own terms, then what stands behind it."""


@dataclasses.dataclass(frozen=True)
class Sides:
    """Two-sidedness of a run.

    **Attributes:**

    - `fraction`: decisions with a target on both sides over `n`; `None` when `n` is zero.
    - `n`: decisions with a two-sided book and |q| below half the room.
    - `missing`: by side, how often each reason kept it out of them.
    """

    fraction: float | None
    n: int
    missing: dict[str, dict[str, int]]

    @property
    def main_reason(self) -> str | None:
        """The reason that keeps a side out most often."""
        total = {r: sum(side.get(r, 0) for side in self.missing.values()) for r in REASONS}
        worst = max(total, key=total.__getitem__)
        return worst if total[worst] else None


def two_sided(
    event: Event, risk: RiskBudget, surface: Surface, allocation: Allocation, targets: Targets
) -> Sides:
    """Count over stacked decisions.

    Args:
        event: the rows of the decisions, as the tape has them.
        risk: gives the position and the room.
        surface: gives the costs.
        allocation: gives the duals and the message price.
        targets: what was asked for.
    """
    touch = np.asarray(event.book.ticks[:, :, 0])
    valid = np.asarray(event.book.is_valid[:, :, 0])
    has_book = np.all(valid, axis=1) & (touch[:, 0] < touch[:, 1])
    room = np.asarray(risk.room_usd)
    counted = has_book & (2 * np.abs(np.asarray(risk.position_usd)) < room)
    quoted = np.any(np.asarray(targets.lots) > 0, axis=2)
    n = int(counted.sum())
    missing = np.flatnonzero(counted & ~quoted.all(axis=1))
    names = reasons(
        take(event, missing),
        take(risk, missing),
        take(surface, missing),
        take(allocation, missing),
        take(targets, missing),
    )
    out = {
        side: {
            r: int(k)
            for r, k in zip(
                REASONS,
                np.bincount(names[~quoted[missing, i], i], minlength=len(REASONS)),
                strict=True,
            )
            if k
        }
        for i, side in enumerate(SIDES)
    }
    fraction = float(quoted[counted].all(axis=1).mean()) if n else None
    return Sides(fraction, n, out)


def reasons(
    event: Event, risk: RiskBudget, surface: Surface, allocation: Allocation, targets: Targets
) -> np.ndarray:
    """Index into `REASONS` of `[decisions, side]`: what keeps the best candidate there out.

    The best candidate has the largest E[PnL] at the reference size, or where none is positive the
    largest E[PnL] per USD filled (a quote that never fills loses nothing and tells nothing). Asked
    in turn: is the step invalid; is that E[PnL] not positive (a term of the surface); does it not
    pay its message; is there less room than the smallest order; does the price of the Gamma limit,
    or of the inventory cap, eat what is left. Else the size wanted is below the smallest order.
    """
    slots = event.orders.ticks.shape[2]
    columns = surface.ticks.shape[2] - slots
    valid = surface.is_valid & np.isfinite(surface.epnl_usd)
    epnl = np.where(valid, surface.epnl_usd, -np.inf)[:, :, :columns]
    margin = surface.net_bp - surface.inventory_bp - surface.impact_bp
    margin = np.where(valid, margin, -np.inf)[:, :, :columns]
    pays = (epnl > 0).any(axis=2)
    best = np.where(pays, np.argmax(epnl, axis=2), np.argmax(margin, axis=2))[:, :, None]
    at = lambda x: np.take_along_axis(x, best, axis=2)[:, :, 0]
    costs = np.take_along_axis(costs_bp(surface), best[..., None], axis=2)[:, :, 0]
    fill, net = at(surface.fill), at(surface.net_bp)
    term = blame(fill * at(surface.edge_bp), costs)

    ticks, live = surface.ticks[:, :, columns:], surface.is_valid[:, :, columns:]
    held = ((ticks == at(surface.ticks)[:, :, None]) & live).any(axis=2)
    wide = lambda x: np.asarray(x)[:, None]
    message = wide(BP * allocation.message_usd / surface.size_usd)
    left = fill * net - np.where(held, 0.0, message)
    most = np.where(allocation.cap_is_kelly, wide(risk.kelly_usd), wide(risk.room_usd))
    used = np.where(allocation.cap_is_kelly, wide(risk.exposure_usd), wide(risk.position_usd))
    room = most + np.asarray(SIDE_SIGN, most.dtype) * used
    smallest = np.maximum(wide(event.rules.min_notional_usd), wide(event.rules.lot_usd))
    gamma = wide(allocation.gamma_dual) * at(surface.gamma_bp)
    cap = allocation.cap_dual_bp
    index = {name: len(BLAMES) + k for k, name in enumerate(LIMITS)}
    capped = np.where(allocation.cap_is_kelly, index["kelly"], index["inventory_room"])
    priced = left <= gamma + cap
    return np.select(
        [
            ~wide(targets.is_valid) | ~np.isfinite(epnl).any(axis=2),
            at(epnl) <= 0,
            left <= 0,
            room < smallest,
            priced & (gamma >= cap),
            priced,
        ],
        [index["health"], term, index["message"], capped, index["gamma_limit"], capped],
        index["min_notional"],
    )
