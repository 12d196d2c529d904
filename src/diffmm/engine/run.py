"""One pair of pure functions; four runners. Nothing else in diffmm calls `jit`.

An engine folds every event with `observe` and evaluates the quotes with `decide` on a wake. A tape
is cut by the host into frames `[frames, rows]`: at most `rows` events of which the last valid one
is the wake, padded by repeating it with `is_valid` false. So nothing is paid twice under `vmap`.
"""

import dataclasses
import functools as ft
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from diffmm.core import Stage, where


@dataclasses.dataclass(frozen=True)
class Engine:
    """The two questions, two stages.

    **Attributes:**

    - `observe`: `(params, state, event) -> (state, seen)`; every event.
    - `decide`: `(params, state, (seen, event)) -> (state, out)`; wakes only.
    """

    observe: Stage
    decide: Stage


Folded = tuple[Any, Any]
"""State of `observe` and state of `decide`."""


def init(engine: Engine, params: Any) -> Folded:
    """Both states before the first event."""
    return engine.observe.init(params), engine.decide.init(params)


def fold_frame(engine: Engine, params: Any, state: Folded, frame: Any) -> tuple[Folded, Any]:
    """Fold the rows of one frame, then decide at its last valid row.

    Rows are folded by one loop, each recomputed on the way back: a row of its own in front of it,
    or what a row leaves behind for its gradient, would double the program or its memory.
    """
    observing, deciding = state
    first, last = (jax.tree.map(lambda x, k=k: x[k], frame) for k in (0, -1))
    shapes = jax.eval_shape(engine.observe.update, params, observing, first)[1]
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def row(carry: Any, event: Any) -> tuple[Any, None]:
        old_state, old_seen = carry
        new_state, new_seen = engine.observe.update(params, old_state, event)
        return (new_state, where(event.is_valid, new_seen, old_seen)), None

    again = jax.checkpoint(row, prevent_cse=False)
    (observing, seen), _ = jax.lax.scan(again, (observing, blank), frame)
    deciding, out = engine.decide.update(params, deciding, (seen, last))
    return (observing, deciding), out


def replay(engine: Engine, params: Any, frames: Any) -> tuple[Folded, Any]:
    """Fold a whole tape; outputs are stacked, one a frame."""
    return jax.lax.scan(
        lambda state, frame: fold_frame(engine, params, state, frame), init(engine, params), frames
    )


def counterfactual(engine: Engine, batch_params: Any, frames: Any) -> Any:
    """The same history under each row of `batch_params`."""
    return jax.vmap(lambda params: replay(engine, params, frames)[1])(batch_params)


@ft.partial(jax.jit, static_argnames="engine")
def quotes(engine: Engine, params: Any, frames: Any) -> Any:
    """Targets of every frame, for a replay that keeps nothing else."""
    return jax.lax.scan(
        lambda state, frame: _targets(fold_frame(engine, params, state, frame)),
        init(engine, params),
        frames,
    )[1]


def _targets(folded: tuple[Folded, Any]) -> tuple[Folded, Any]:
    state, out = folded
    return state, out.targets


def objective_and_gradient(
    engine: Engine, loss: Callable[[Any, Any], Any], chunk: int
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """`(params, frames) -> (value, gradient)` of the summed loss, see `objective`."""
    return jax.jit(jax.value_and_grad(objective(engine, loss, chunk)))


def objective(
    engine: Engine, loss: Callable[[Any, Any], Any], chunk: int
) -> Callable[[Any, Any], Any]:
    """`(params, frames) -> value` of the summed loss, memory of one chunk at a time.

    Args:
        engine: what to differentiate.
        loss: `(out, frame) -> scalar` of each frame.
        chunk: frames between checkpoints; must divide the number of frames.

    Raises:
        ValueError: when the number of frames is not a multiple of `chunk`.
    """

    def total(params: Any, frames: Any) -> Any:
        n = jax.tree.leaves(frames)[0].shape[0]
        if n % chunk:
            raise ValueError(f"{n} frames are not a multiple of chunk {chunk}; pad the tape")
        chunks = jax.tree.map(lambda x: x.reshape(n // chunk, chunk, *x.shape[1:]), frames)

        def step(state: Folded, frame: Any) -> tuple[Folded, Any]:
            state, out = fold_frame(engine, params, state, frame)
            return state, loss(out, frame)

        # Recomputing a chunk is cheaper than storing it: the backward pass is bound by memory.
        @jax.checkpoint
        def fold_chunk(state: Folded, frames: Any) -> tuple[Folded, Any]:
            state, losses = jax.lax.scan(step, state, frames)
            return state, losses.sum()

        _, sums = jax.lax.scan(fold_chunk, init(engine, params), chunks)
        return sums.sum()

    return total


def compile_objective(
    engine: Engine, loss: Callable[[Any, Any], Any], chunk: int, params: Any, frames: Any
) -> tuple[Any, Any]:
    """The objective alone, and with its gradient, compiled for the shapes of `frames`."""
    total = objective(engine, loss, chunk)
    return (
        jax.jit(total).lower(params, frames).compile(),
        jax.jit(jax.value_and_grad(total)).lower(params, frames).compile(),
    )


@ft.partial(jax.jit, static_argnames=("stage", "unpack"))
def watch(stage: Stage, params: Any, rows: Any, *, unpack: Callable[[Any], Any]) -> Any:
    """What a stage of events makes of every packed row, no decision taken; outputs stacked.

    Args:
        stage: `observe`, or a part of it that reads events only.
        params: its parameters.
        rows: packed events `[rows, width]`.
        unpack: a vector to an event.
    """
    step = lambda state, row: stage.update(params, state, unpack(row))
    return jax.lax.scan(step, stage.init(params), rows)[1]


@ft.partial(jax.jit, static_argnames=("stage", "unpack"))
def watch_from(
    stage: Stage, params: Any, state: Any, rows: Any, *, unpack: Callable[[Any], Any]
) -> tuple[Any, Any]:
    """The same from a state on, and the state after it: a tape in chunks, see `chunks`."""
    step = lambda state, row: stage.update(params, state, unpack(row))
    return jax.lax.scan(step, state, rows)


def watch_in_chunks(stage: Stage, params: Any, inputs: Any, *, chunk: int) -> Any:
    """A stage over inputs stacked on the first axis, to be differentiated; not compiled.

    Memory of one chunk at a time.

    Raises:
        ValueError: when the number of inputs is not a multiple of `chunk`.
    """
    n = jax.tree.leaves(inputs)[0].shape[0]
    if n % chunk:
        raise ValueError(f"{n} rows are not a multiple of chunk {chunk}; pad them")

    @jax.checkpoint
    def fold(state: Any, inputs: Any) -> tuple[Any, Any]:
        step = lambda state, one: stage.update(params, state, one)
        return jax.lax.scan(step, state, inputs)

    chunks = jax.tree.map(lambda x: x.reshape(-1, chunk, *x.shape[1:]), inputs)
    _, out = jax.lax.scan(fold, stage.init(params), chunks)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)


def each_path(
    fn: Callable[[Any, Any], Any], lanes: int, devices: Sequence[Any] | None = None
) -> Any:
    """`(theta, paths) -> fn(theta, path)` of every path, compiled; outputs are stacked.

    Args:
        fn: of one path; it may be a gradient.
        lanes: paths side by side in one kernel; must divide the number of paths.
        devices: among which the lanes are shared out, equally; must divide their number. They may
            be those of several processes, each of which is given all paths; see `fetch`.

    Raises:
        ValueError: when the devices do not divide the lanes.
    """
    if devices is not None and lanes % len(devices):
        raise ValueError(f"{lanes} lanes, expected a multiple of the {len(devices)} devices")

    mesh = None if devices is None else jax.sharding.Mesh(np.array(devices), ("lanes",))

    @jax.jit
    def run(theta: Any, paths: Any) -> Any:
        group = lambda x: x.reshape(-1, lanes, *x.shape[1:])
        flat = lambda x: x.reshape(-1, *x.shape[2:])
        side_by_side = jax.vmap(fn, in_axes=(None, 0))
        if mesh is not None:
            across = jax.sharding.PartitionSpec("lanes")
            whole = jax.sharding.PartitionSpec()
            side_by_side = jax.shard_map(
                side_by_side, mesh=mesh, in_specs=(whole, across), out_specs=across, check_vma=False
            )
        out = jax.lax.map(lambda one: side_by_side(theta, one), jax.tree.map(group, paths))
        return jax.tree.map(flat, out)

    return run


def fetch(out: jax.Array) -> np.ndarray:
    """An output of `each_path` on the host; parts that other processes hold are fetched.

    One array at a time: two exchanges of one program may pass each other.
    """
    if out.is_fully_addressable:
        return np.asarray(out)
    return np.asarray(multihost_utils.process_allgather(out, tiled=True))


def value_and_gradient(loss: Callable[..., Any]) -> Callable[..., Any]:
    """A loss with a remark beside, and its gradient in the first argument, compiled."""
    return jax.jit(jax.value_and_grad(loss, has_aux=True))
