"""Where E[PnL] is positive, by side and depth, and the cost that makes the rest negative.

A candidate's E[PnL] per USD quoted is `P_u edge - sum of costs`, each cost in bp times the fill
probability (the option stands outside it). Of a candidate with E[PnL] <= 0 one name is to blame:

1. the smallest of the costs whose removal alone makes E[PnL] positive;
2. where no single one does: `edge` if the edge itself is not positive, else the largest cost.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from diffmm.market import Event
from diffmm.pricing import Surface, TERMS


SIDES = ("bid", "ask")
EDGE = "edge"
BLAMES = (*TERMS, EDGE)
BUCKETS = ("near_touch", "0-2", "2-5", "5-10", "10+")
LIMITS_BP = (2.0, 5.0, 10.0)
"""Upper ends of the buckets by distance from the mid."""
CHUNK = 4096
"""Decisions at a time, so that the terms of a day fit in memory."""


@dataclasses.dataclass(frozen=True)
class Share:
    """One side and bucket.

    **Attributes:**

    - `share`: of candidates with E[PnL] > 0; `None` without candidates.
    - `n`: candidates.
    - `negative_term`: the name most often to blame for the rest; `None` without a rest.
    - `blamed`: how often each name is.
    """

    share: float | None
    n: int
    negative_term: str | None
    blamed: dict[str, int]


def costs_bp(surface: Surface) -> np.ndarray:
    """Costs per USD quoted, `[..., side, columns, terms]` in the order of `TERMS`."""
    wide = lambda x: np.asarray(x)[..., None, None]
    fill = np.asarray(surface.fill)
    # Who is sniped pays the exit, the carry and the fee too.
    any_fill = fill + np.asarray(surface.sniped)
    by_name = {
        "gm": fill * surface.gm_bp,
        "option": np.asarray(surface.option_bp),
        "exit": any_fill * wide(surface.exit_bp) + fill * surface.impact_bp,
        "inventory": fill * surface.inventory_bp,
        "carry": any_fill * surface.carry_bp,
        "fee": any_fill * wide(surface.fee_bp),
        "offset": fill * wide(surface.offset_bp),
    }
    return np.stack([by_name[name] for name in TERMS], axis=-1)


def blame(income_bp: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Index into `BLAMES` for candidates whose income does not cover their costs.

    Args:
        income_bp: `P_u edge`, `[...]`.
        costs: `[..., terms]`.
    """
    deficit = costs.sum(axis=-1) - income_bp
    enough = costs > deficit[..., None]
    smallest = np.argmin(np.where(enough, costs, np.inf), axis=-1)
    largest = np.where(income_bp <= 0, len(TERMS), np.argmax(costs, axis=-1))
    return np.where(enough.any(axis=-1), smallest, largest)


def bucket(
    event: Event, ticks: npt.ArrayLike, price_bp: npt.ArrayLike, mid_bp: np.ndarray
) -> np.ndarray:
    """Index into `BUCKETS` of quotes `[frames, side, columns]`.

    `near_touch` is within one half spread plus one tick of the touch of its own side, in integers;
    every other quote goes by its distance from the mid.
    """
    touch = np.asarray(event.book.ticks[:, :, 0], np.int64)
    spread = touch[:, 1] - touch[:, 0]
    near = 2 * np.abs(np.asarray(ticks) - touch[:, :, None]) <= spread[:, None, None] + 2
    away = np.abs(np.asarray(price_bp) - mid_bp[:, None, None])
    far = np.searchsorted(LIMITS_BP, away, side="right")
    return np.where(near, 0, far + 1)


def positive_share(
    surface: Surface, event: Event, mid_bp: npt.ArrayLike
) -> dict[str, dict[str, Share]]:
    """Shares by side and bucket over the candidates of stacked decisions.

    Args:
        surface: stacked, numpy; our own orders' columns are left out.
        event: the rows at which the decisions were made, stacked.
        mid_bp: `[frames]`.
    """
    columns = surface.ticks.shape[2] - event.orders.ticks.shape[2]
    shape = (len(SIDES), len(BUCKETS), len(BLAMES) + 1)
    counts, mid_bp = np.zeros(shape, np.int64), np.asarray(mid_bp)
    for start in range(0, len(mid_bp), CHUNK):
        counts += _count(surface, event, mid_bp, slice(start, start + CHUNK), columns)
    return {
        side: {name: _share(counts[i, k]) for k, name in enumerate(BUCKETS)}
        for i, side in enumerate(SIDES)
    }


def take(tree: Any, where: Any) -> Any:
    """Some decisions of a stacked module, as numpy; a part that is left out stays out."""
    if tree is None:
        return None
    if not dataclasses.is_dataclass(tree):
        return np.asarray(tree)[where]
    parts = {name: take(x, where) for name, x in vars(tree).items()}
    return dataclasses.replace(tree, **parts)


def _count(
    surface: Surface, event: Event, mid_bp: np.ndarray, where: slice, columns: int
) -> np.ndarray:
    """Candidates by side, bucket and name; the last name stands for E[PnL] > 0."""
    part, rows = take(surface, where), take(event, where)
    place = bucket(rows, part.ticks, part.price_bp, mid_bp[where])[:, :, :columns]
    income = np.asarray(part.fill * part.edge_bp)
    name = blame(income, costs_bp(part))[:, :, :columns]
    name = np.where(part.epnl_usd[:, :, :columns] > 0, len(BLAMES), name)
    valid = part.is_valid[:, :, :columns]
    side = np.broadcast_to(np.arange(len(SIDES))[None, :, None], valid.shape)
    out = np.zeros((len(SIDES), len(BUCKETS), len(BLAMES) + 1), np.int64)
    np.add.at(out, (side[valid], place[valid], name[valid]), 1)
    return out


def _share(counts: np.ndarray) -> Share:
    n, rest = int(counts.sum()), counts[:-1]
    blamed = {name: int(k) for name, k in zip(BLAMES, rest, strict=True) if k}
    return Share(
        float(counts[-1] / n) if n else None,
        n,
        max(blamed, key=blamed.__getitem__) if blamed else None,
        blamed,
    )
