"""The live runner of the closed loop: two compiled programs, the host picks by `wake`.

Each program is one vector in, one vector out, and runs inside a loop of one turn whose count is
only known at run time: XLA then compiles the step into one kernel instead of hundreds of calls
(with the command line's flags; without them it is merely correct).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmm.core import Health, Packing
from diffmm.simulation import hard_fills

from . import graph, loop


@dataclasses.dataclass(frozen=True)
class Row:
    """What one row did: our modelled fills by side, exactly, and the state of the step."""

    lots: tuple[int, int]
    lots_ticks: tuple[int, int]
    health: Health

    @property
    def nonfinite(self) -> bool:
        """Whether the step was discarded."""
        return self.health.is_fatal


@dataclasses.dataclass(frozen=True)
class Program:
    """`trees -> trees` as one compiled vector function."""

    compiled: Any
    inputs: Packing
    outputs: Packing

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """One turn; numpy in, numpy out."""
        return np.asarray(self.compiled(vector, ONE_TURN))


ONE_TURN = np.int32(1)


def compile_program(fn: Callable[..., Any], *examples: Any, dtype: Any = np.float32) -> Program:
    """Compile a function of trees into one of vectors."""
    inputs = Packing.of(examples)
    outputs = Packing.of(jax.eval_shape(fn, *examples))

    def turn(_: int, carry: Any) -> Any:
        vector, last = carry
        out = outputs.pack(fn(*inputs.unpack(vector)), dtype)
        # The inputs must seem to change, or they are hoisted out of the one kernel.
        return vector + 0 * last[0], out

    def run(vector: Any, turns: Any) -> Any:
        start = (vector, jnp.zeros(outputs.width, dtype))
        return jax.lax.fori_loop(0, turns, turn, start)[1]

    shape = jax.ShapeDtypeStruct((inputs.width,), dtype)
    compiled = jax.jit(run).lower(shape, jax.ShapeDtypeStruct((), np.int32)).compile()
    return Program(compiled, inputs, outputs)


def compile_trivial() -> Any:
    """A compiled `x + 1`: the floor of any call, for the ratios of a benchmark."""
    compiled = jax.jit(lambda x: x + 1).lower(np.float32(0)).compile()
    return lambda x: np.asarray(compiled(x))


class Stepper:
    """A run in shadow: the engine on live rows, our orders filled by the hard rule.

    The same functions as `loop.replay`, one row at a time; the state stays on the host.
    """

    def __init__(self, params: graph.Params, rule: hard_fills.Params, config: loop.Config):
        """Compile both programs, before any connection.

        Args:
            params: of the engine.
            rule: of the fills.
            config: static choices.
        """
        start = loop.init(params, rule, config=config)
        row = jax.ShapeDtypeStruct((config.layout.width,), np.float32)

        def observe(params: Any, rule: Any, world: Any, observing: Any, vector: Any) -> Any:
            pair = (world, observing)
            pair, rest = loop.observe_row(params, rule, pair, vector, config=config)
            return *pair, *rest

        def decide(params: Any, world: Any, deciding: Any, seen: Any, told: Any) -> Any:
            state = loop.Loop(world, start.observing, deciding)
            state, quotes = loop.decide_row(params, state, seen, told, config=config)
            return state.world, state.deciding, quotes

        told = (params, rule, start.world, start.observing, row)
        shapes = jax.eval_shape(observe, *told)
        self._observe = compile_program(observe, *told)
        self._decide = compile_program(
            decide, params, start.world, start.deciding, shapes[2], shapes[3]
        )
        self._trivial = compile_trivial()
        host = lambda tree: Packing.of(tree).pack_host(tree, np.float32)
        self._params, self._rule = host(params), host(rule)
        self._world, self._observing = host(start.world), host(start.observing)
        self._deciding, self._nothing = host(start.deciding), host(start.observing)
        self._seen, self._told = Packing.of(shapes[2]), Packing.of(shapes[3])
        self._last = np.zeros(self._seen.width + self._told.width, np.float32)
        self._filled = Packing.of(shapes[4])
        self._frame: list[hard_fills.Filled] = []
        self._rows = config.frame_rows

    def row(self, vector: np.ndarray) -> Row:
        """Fold one packed row."""
        parts = (self._params, self._rule, self._world, self._observing, vector)
        out = self._observe(np.concatenate(parts))
        a = self._world.size
        b = a + self._observing.size
        c = b + self._last.size
        self._world, self._observing, self._last = out[:a], out[a:b], out[b:c]
        filled = self._filled.unpack(out[c:])
        self._frame.append(filled)
        health = Health(int(self._last[self._seen.width - 1]))
        return Row(tuple(map(int, filled.lots)), tuple(map(int, filled.lots_ticks)), health)

    def decide(self) -> loop.Record:
        """Evaluate the quotes at the last row; numpy leaves."""
        parts = (self._params, self._world, self._deciding, self._last)
        out = self._decide(np.concatenate(parts))
        a = self._world.size
        self._world, self._deciding = out[:a], out[a : a + self._deciding.size]
        world, _, quotes = self._decide.outputs.unpack(out)
        seen = self._seen.unpack(self._last[: self._seen.width])
        record = loop.record(_stacked(self._frame, self._rows), quotes, world, seen)
        self._frame = []
        return record

    def restart(self) -> None:
        """Forget what is believed; the next two-sided book starts it anew. Orders stay."""
        self._observing = self._nothing

    def trivial(self) -> np.ndarray:
        """One trivial compiled call."""
        return self._trivial(np.float32(0))


def _stacked(frame: list[hard_fills.Filled], rows: int) -> hard_fills.Filled:
    """Fills of a frame's rows, padded with none."""
    none = hard_fills.Filled(np.zeros(2, np.int32), np.zeros(2, np.int32))
    padded = [*frame, *[none] * (rows - len(frame))]
    return jax.tree.map(lambda *x: np.stack(x), *padded)
