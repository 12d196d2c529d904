"""A stage over a tape of any length: one compiled program for a chunk of rows, memory of one chunk.

The last chunk is padded with rows that are not valid, which every stage leaves its state unchanged
on. Source: ours; tested in `tests/engine/test_probing.py`.
"""

import functools as ft
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from diffmm.core import Stage
from diffmm.market import Layout, Tape

from . import run


ROWS = 8192
"""Rows of a chunk."""


def fold(
    stage: Stage,
    params: Any,
    tape: Tape,
    beside: tuple[Any, ...] = (),
    *,
    unpack: Callable[[Any], Any],
    rows: int = ROWS,
) -> Iterator[tuple[slice, Any]]:
    """Rows of each chunk, and what the stage made of them, as numpy.

    Args:
        stage: of events, or of what `unpack` makes of a row.
        params: its parameters.
        tape: the market.
        beside: arrays by row that go with the packed ones.
        unpack: `(vector, *beside)` of a row to the stage's input; the same object every time.
        rows: of a chunk.
    """
    state = stage.init(params)
    n = len(tape.rows)
    is_valid = int(tape.layout.views(np.arange(tape.layout.width, dtype=np.float32)).is_valid)
    for start in range(0, n, rows):
        part = slice(start, min(start + rows, n))
        missing = rows - (part.stop - start)
        vectors, *others = (_padded(x[part], missing) for x in (tape.rows, *beside))
        if missing:
            vectors[-missing:, is_valid] = 0.0
        state, out = run.watch_from(stage, params, state, (vectors, *others), unpack=unpack)
        yield part, jax.tree.map(lambda x, k=part.stop - start: np.asarray(x)[:k], out)


def whole(parts: Iterator[tuple[slice, Any]]) -> Any:
    """All chunks joined."""
    return jax.tree.map(lambda *x: np.concatenate(x), *(out for _, out in parts))


@ft.cache
def as_packed() -> Callable[[Any], Any]:
    """A row's vector as it is."""
    return lambda row: row[0]


@ft.cache
def as_event(layout: Layout) -> Callable[[Any], Any]:
    """A row as its event."""
    return lambda row: layout.unpack(row[0])


def _padded(x: np.ndarray, missing: int) -> np.ndarray:
    """The last row again, `missing` times."""
    return np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) if missing else x
