"""Targets against live orders, on the host, in integers: the minimal intents."""

import dataclasses

import numpy as np

from .model import Targets


@dataclasses.dataclass(frozen=True)
class Cancel:
    """Take the order of a slot off the book."""

    side: int
    slot: int


@dataclasses.dataclass(frozen=True)
class Place:
    """Put a new order into a slot, post-only."""

    side: int
    slot: int
    ticks: int
    lots: int


def diff(targets: Targets, is_live: np.ndarray) -> list[Cancel | Place]:
    """Intents in the order in which they are sent: cancels first, then places.

    Args:
        targets: output of the compiled step, numpy leaves.
        is_live: slots that hold an order, in flight or resting, `[side, slots]`.
    """
    keep = np.asarray(targets.keep) & bool(targets.is_valid)
    lots = np.asarray(targets.lots) if bool(targets.is_valid) else np.zeros_like(is_live, int)
    cancels = [Cancel(int(a), int(b)) for a, b in np.argwhere(np.asarray(is_live) & ~keep)]
    places = [
        Place(int(a), int(b), int(targets.ticks[a, b]), int(lots[a, b]))
        for a, b in np.argwhere((lots > 0) & ~keep)
    ]
    return [*cancels, *places]
