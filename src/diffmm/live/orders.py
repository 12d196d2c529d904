"""The orders of a shadow session by id: what was intended, at which price, for which reasons.

None of them is sent. The fill rule inside the compiled step decides what would have been filled;
this table gives every order an id, so that the journal can say what each one was made of.
"""

import dataclasses
from typing import Any

import numpy as np

from diffmm.execution.diff import Cancel, diff, Place
from diffmm.execution.model import Targets
from diffmm.market import BID
from diffmm.pricing import Surface


@dataclasses.dataclass
class Order:
    """One modelled order: ticks from the anchor, lots still open."""

    id: int
    ticks: int
    lots: int


class Orders:
    """Orders by side and slot.

    **Attributes:**

    - `intents`: cancels and places so far.
    - `live`: what should stand, by `(side, slot)`.
    """

    def __init__(self) -> None:
        self.live: dict[tuple[int, int], Order] = {}
        self.intents = 0
        self._placed = 0

    def decide(self, targets: Targets, surface: Surface) -> list[dict[str, Any]]:
        """Intents of one decision, each place with the terms of the surface it was priced by."""
        is_live = np.zeros(targets.lots.shape, bool)
        for at in self.live:
            is_live[at] = True
        intents = diff(targets, is_live)
        self.intents += len(intents)
        return [self._apply(one, surface) for one in intents]

    def filled(self, side: int, lots: int) -> list[dict[str, int]]:
        """Take modelled fills off the orders of a side, the best price first."""
        first = -1 if side == BID else 1
        resting = [(first * o.ticks, at) for at, o in self.live.items() if at[0] == side]
        told = []
        for _, at in sorted(resting):
            order = self.live[at]
            taken = min(lots, order.lots)
            if taken:
                told.append({"id": order.id, "ticks": order.ticks, "lots": taken})
            order.lots -= taken
            lots -= taken
            if order.lots == 0:
                del self.live[at]
        return told

    def shift(self, ticks: int | None) -> None:
        """The anchor moved by so many ticks; `None`: to another tick, which ends every order."""
        if ticks is None:
            self.live.clear()
        for order in self.live.values():
            order.ticks += ticks or 0

    def best(self, side: int) -> Order | None:
        """The order nearest to the market."""
        ours = [order for at, order in self.live.items() if at[0] == side]
        pick = max if side == BID else min
        return pick(ours, key=lambda order: order.ticks, default=None)

    def _apply(self, intent: Cancel | Place, surface: Surface) -> dict[str, Any]:
        at = intent.side, intent.slot
        if isinstance(intent, Cancel):
            return {"cancel": self.live.pop(at).id}
        self._placed += 1
        self.live[at] = Order(self._placed, intent.ticks, intent.lots)
        told = dataclasses.asdict(intent)
        return {"place": self._placed, **told, "terms": terms(surface, intent.side, intent.ticks)}


def terms(surface: Surface, side: int, ticks: int) -> dict[str, float]:
    """Every number of the surface at one price, by name; empty where it was no candidate."""
    found = np.flatnonzero((surface.ticks[side] == ticks) & surface.is_valid[side])
    if found.size == 0:
        return {}
    column, out = found[0], {}
    for field in dataclasses.fields(surface):
        value = np.asarray(getattr(surface, field.name))
        if value.dtype.kind != "f":
            continue
        out[field.name] = float(value[side, column] if value.ndim == 2 else value)
    return out
