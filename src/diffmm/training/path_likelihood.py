"""How likely the filter makes what the mid did next on a problem's own paths; differentiated.

    L = mean over moments of sum over h in (1, 5, 10) s of log p(mid(t + h) - mid(t) | belief at t)

The score of `fit`, of features and belief alone: no order of ours stands, so a parameter of quotes
has no slope in it, and a noise of the filter that no quote feels has one. Source: ours;
`tests/training/test_path_likelihood.py`.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from diffmm.core import Stage
from diffmm.engine import graph, run, soft_loop
from diffmm.evaluation import forecast

from .fit import scores


@dataclasses.dataclass(frozen=True)
class Grid:
    """Moments at which the future of a path is predicted.

    **Attributes:**

    - `warm_s`: start of a path that is not scored.
    - `every_s`: distance of the moments.
    """

    warm_s: float = 5.0
    every_s: float = 0.5


class Moments(NamedTuple):
    """Moments of paths and what came after; a path with fewer has some of weight 0.

    **Attributes:**

    - `row`: among the path's rows `[paths, moments]`.
    - `change_bp`, `moved`: `[paths, moments, horizons]`, as in `forecast.Moments`.
    - `weight`: of the path's mean, 1 over its moments.
    """

    row: np.ndarray
    change_bp: np.ndarray
    moved: np.ndarray
    weight: np.ndarray


def moments(frames: np.ndarray, layout: Any, grid: Grid, frame_s: float) -> Moments:
    """The moments of a block of paths.

    Args:
        frames: packed rows `[paths, frames, rows, width]`.
        layout: of a row.
        grid: where.
        frame_s: longest time of a frame, which bounds how many there are.

    Raises:
        ValueError: for paths too short for the longest horizon.
    """
    most = math.ceil(frames.shape[1] * frame_s / grid.every_s) + 1
    found = [_of_path(x.reshape(-1, x.shape[-1]), layout, grid, most) for x in frames]
    if not any(x.weight.any() for x in found):
        least_s = grid.warm_s + max(forecast.HORIZONS_S)
        raise ValueError(
            f"{frames.shape[1]} frames a path leave no moment to predict from: a likelihood needs "
            f"more than {least_s:g} s of a path, {least_s / frame_s:.0f} frames of {frame_s:g} s"
        )
    return Moments(*(np.stack(x) for x in zip(*found, strict=True)))


def _of_path(rows: np.ndarray, layout: Any, grid: Grid, most: int) -> Moments:
    event = layout.unpack(rows)
    valid = np.flatnonzero(np.asarray(event.is_valid))
    known = forecast.path_of(jax.tree.map(lambda x: x[valid], event))
    if not known.has_book.any():
        at = None
    else:
        at = forecast.moments(known, grid.warm_s, float(known.time_s[-1]), grid.every_s)
    n = 0 if at is None else len(at.row)
    horizons = len(forecast.HORIZONS_S)
    empty = Moments(
        np.zeros(most, np.int32),
        np.zeros((most, horizons), np.float32),
        np.zeros((most, horizons), bool),
        np.zeros(most, np.float32),
    )
    if at is not None and n:
        empty.row[:n] = valid[at.row]
        empty.change_bp[:n], empty.moved[:n] = at.change_bp, at.moved
        empty.weight[:n] = 1 / n
    return empty


def log_likelihood(
    params: graph.Params,
    frames: Float[Array, "frames rows width"],
    at: Moments,
    *,
    config: soft_loop.Config,
) -> Float[Array, ""]:
    """L of one path, nats a moment."""
    belief = dataclasses.replace(config.engine.belief, fills=False)
    observe = graph.build(dataclasses.replace(config.engine, belief=belief)).observe

    def update(params: Any, state: Any, row: Any) -> tuple[Any, Any]:
        event = soft_loop.public(config.layout.unpack(row), row.dtype)
        state, seen = observe.update(params, state, event)
        return state, (seen.belief, seen.features)

    rows = frames.reshape(-1, frames.shape[-1])
    chunk = config.chunk * frames.shape[1]
    told, seen = run.watch_in_chunks(Stage(observe.init, update), params, rows, chunk=chunk)
    told, seen = jax.tree.map(lambda x: x[at.row], (told, seen))
    found, _ = scores(params.belief, told, seen, at.change_bp, at.moved)
    return (at.weight[:, None] * found).sum()
