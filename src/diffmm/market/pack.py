"""An Event as one float32 vector: one buffer crosses into the compiled step, not fifty.

Integers are ticks from the anchor and small enums, so float32 holds them exactly (below 2**24).
"""

import dataclasses
import functools as ft
import types
from typing import Any

import numpy as np

from diffmm.core import Packing

from .event import (
    Account,
    Book,
    Context,
    Event,
    Fill,
    Orders,
    Reference,
    Rules,
    Trade,
)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Shapes of one Event.

    **Attributes:**

    - `levels`: L, book levels a side.
    - `slots`: S, orders a side.
    """

    levels: int = 20
    slots: int = 8

    @ft.cached_property
    def blank(self) -> Event:
        """An event of zeros."""
        f, i, b = np.float32, np.int32, np.bool_
        scalar = lambda kind: np.zeros((), kind)
        of = lambda kind, n: np.zeros((2, n), kind)
        row, slot = self.levels, self.slots
        return Event(
            kind=scalar(i),
            is_valid=scalar(b),
            wake=scalar(b),
            restart=scalar(b),
            dt_s=scalar(f),
            age_s=scalar(f),
            lag_s=scalar(f),
            shift_bp=scalar(f),
            shift_ticks=scalar(i),
            book=Book(of(i, row), of(f, row), of(f, row), of(f, row), of(b, row)),
            trade=Trade(scalar(i), scalar(f), scalar(f), scalar(f)),
            reference=Reference(scalar(f), scalar(f), scalar(f), scalar(b)),
            context=Context(*[scalar(f)] * 5, is_valid=scalar(b)),
            fill=Fill(np.zeros(2, f), np.zeros(2, f), np.zeros(2, f)),
            orders=Orders(*(of(k, slot) for k in (i, f, f, f, f, b, b))),
            account=Account(*(scalar(f) for _ in range(7))),
            rules=Rules(scalar(f), scalar(f), scalar(f)),
        )

    @ft.cached_property
    def packing(self) -> Packing:
        """Where each leaf of an Event lies in the vector."""
        return Packing.of(self.blank)

    @property
    def width(self) -> int:
        """Length of the vector."""
        return self.packing.width

    def views(self, vector: np.ndarray) -> Any:
        """The same memory as float32 views by an Event's names, for writing.

        Plain names: an Event's own attributes take longer to find than a number to write.
        """
        ends = iter(np.cumsum([x.size for x in self.packing.leaves]).tolist())

        def named(tree: Any) -> Any:
            if not dataclasses.is_dataclass(tree):
                end = next(ends)
                return vector[end - tree.size : end].reshape(tree.shape)
            fields = dataclasses.fields(tree)
            return types.SimpleNamespace(**{x.name: named(getattr(tree, x.name)) for x in fields})

        return named(self.blank)

    def unpack(self, vector: Any) -> Event:
        """A vector (or a batch, last axis) to an Event of the right dtypes, inside a trace too."""
        return self.packing.unpack(vector)
