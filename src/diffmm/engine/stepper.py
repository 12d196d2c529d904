"""The live runner, and the replay of one tape: two compiled programs, the host picks by `wake`.

Each program is one vector in, one vector out, and runs inside a loop of one turn whose count is
only known at run time: XLA then compiles the step into one kernel instead of hundreds of calls
(with the command line's flags; without them it is merely correct).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmm import execution
from diffmm.core import Health, Packing
from diffmm.simulation import hard_fills

from . import graph, loop


Sides = tuple[int, int]
"""One integer a side: bid, ask."""
NONE: Sides = (0, 0)


@dataclasses.dataclass(frozen=True)
class Row:
    """What one row did: our fills by side, exactly, and the state of the step."""

    lots: Sides
    lots_ticks: Sides
    health: Health

    @property
    def nonfinite(self) -> bool:
        """Whether the step was discarded."""
        return self.health.is_fatal


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What to do now; the rest stays packed, since unpacking it takes as long as deciding.

    **Attributes:**

    - `targets`, `health`: numpy leaves.
    - `packed`: words of the program, what was seen, and the frame's fills.
    """

    targets: execution.Targets
    health: int
    packed: tuple[np.ndarray, np.ndarray, np.ndarray]


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


@dataclasses.dataclass(frozen=True)
class Flat:
    """`trees -> trees` as a function of one vector and the number of turns, not compiled yet.

    **Attributes:**

    - `run`: `(vector, turns) -> vector`, to be lowered or exported.
    - `inputs`, `outputs`: what the vectors hold.
    - `dtype`: of the vectors.
    """

    run: Any
    inputs: Packing
    outputs: Packing
    dtype: Any

    @property
    def shapes(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """Of the vector, and of the number of turns."""
        turns = jax.ShapeDtypeStruct((), ONE_TURN.dtype)
        return jax.ShapeDtypeStruct((self.inputs.width,), self.dtype), turns

    def compile(self, call: Callable[..., Any] | None = None) -> Program:
        """Compile it, or in its place `call`, which was exported from it."""
        run = self.run if call is None else jax.jit(call)
        return Program(run.lower(*self.shapes).compile(), self.inputs, self.outputs)


def flatten(fn: Callable[..., Any], *examples: Any, dtype: Any = np.float32) -> Flat:
    """A function of trees as one of vectors."""
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

    return Flat(jax.jit(run), inputs, outputs, dtype)


def compile_program(fn: Callable[..., Any], *examples: Any, dtype: Any = np.float32) -> Program:
    """Compile a function of trees into one of vectors."""
    return flatten(fn, *examples, dtype=dtype).compile()


@dataclasses.dataclass(frozen=True)
class Step:
    """The two programs of a live step, `Flat` or compiled."""

    observe: Any
    decide: Any

    def compile(self) -> "Step":
        """Both compiled."""
        return Step(self.observe.compile(), self.decide.compile())


def step_of(params: graph.Params, rule: hard_fills.Params | None, config: loop.Config) -> Step:
    """The live step as two functions of vectors; only shapes and dtypes of the trees are read.

    Args:
        params: of the engine.
        rule: of the fills, `None` where the orders are real.
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

    first = flatten(observe, params, rule, start.world, start.observing, row)
    seen, told = first.outputs.shapes[2:4]
    return Step(first, flatten(decide, params, start.world, start.deciding, seen, told))


def compile_trivial() -> Any:
    """A compiled `x + 1`: the floor of any call, for the ratios of a benchmark."""
    compiled = jax.jit(lambda x: x + 1).lower(np.float32(0)).compile()
    return lambda x: np.asarray(compiled(x))


class Stepper:
    """The engine on live rows, one at a time; the state stays on the host.

    With a fill rule our orders are modelled inside the step (shadow and replay, the same functions
    as `loop.replay`); without one they are real, and the rows tell what became of them.
    """

    def __init__(
        self,
        params: graph.Params,
        rule: hard_fills.Params | None,
        config: loop.Config,
        step: Step | None = None,
    ) -> None:
        """Compile both programs, before any connection.

        Args:
            params: of the engine.
            rule: of the fills, `None` where the orders are real.
            config: static choices.
            step: both programs, where they are compiled already.
        """
        start = loop.init(params, rule, config=config)
        step = step_of(params, rule, config).compile() if step is None else step
        self._observe, self._decide = step.observe, step.decide
        shapes = step.observe.outputs.shapes
        self._trivial = compile_trivial()
        host = lambda tree: Packing.of(tree).pack_host(tree, np.float32)
        self._params, self._rule = host(params), host(rule)
        self._world, self._observing = host(start.world), host(start.observing)
        self._deciding, self._nothing = host(start.deciding), host(start.observing)
        self._seen, self._told = Packing.of(shapes[2]), Packing.of(shapes[3])
        self._last = np.zeros(self._seen.width + self._told.width, np.float32)
        self._filled = Packing.of(shapes[4])
        quotes = self._decide.outputs.shapes[2]
        self._targets = Packing.of(quotes.targets)
        self._frame: list[tuple[Sides, Sides]] = []
        self._rows, self._slots = config.frame_rows, config.layout.slots
        at = config.layout.views(np.arange(config.layout.width, dtype=np.float32))
        self._is_valid = int(at.is_valid)

    def row(self, vector: np.ndarray, lots: Sides = NONE, lots_ticks: Sides = NONE) -> Row:
        """Fold one packed row; real fills in it come with it."""
        parts = (self._params, self._rule, self._world, self._observing, vector)
        out = self._observe(np.concatenate(parts))
        a = self._world.size
        b = a + self._observing.size
        c = b + self._last.size
        self._world, self._observing, self._last = out[:a], out[a:b], out[b:c]
        filled = self._filled.unpack(out[c:])
        if filled is not None:
            both = lambda x: (int(x[0]), int(x[1]))
            lots, lots_ticks = both(filled.lots), both(filled.lots_ticks)
        self._frame.append((lots, lots_ticks))
        health = Health(int(self._last[self._seen.width - 1]))
        return Row(lots, lots_ticks, health)

    def decide(self) -> Decision:
        """Evaluate the quotes at the last row."""
        out = self._decide(np.concatenate((self._params, self._world, self._deciding, self._last)))
        a = self._world.size
        self._world, self._deciding = out[:a], out[a : a + self._deciding.size]
        fills, self._frame = _padded(self._frame, self._rows), []
        targets = self._targets.unpack(out[-self._targets.width - 1 : -1])
        return Decision(targets, int(out[-1]), (out, self._last[: self._seen.width], fills))

    def quotes(self, decision: Decision) -> graph.Quotes:
        """All of what a decision was made of, numpy leaves."""
        return self._decide.outputs.unpack(decision.packed[0])[2]

    def seen(self, decision: Decision) -> graph.Seen:
        """Features and belief at a decision, numpy leaves."""
        return self._seen.unpack(decision.packed[1])

    def record(self, decisions: Sequence[Decision]) -> loop.Record:
        """Decisions stacked, as a replay leaves them.

        Where the orders are real nothing is said to stand: that is known after the gate.
        """
        packed = zip(*(x.packed for x in decisions), strict=True)
        out, seen, fills = (np.stack(x) for x in packed)
        world, _, quotes = self._decide.outputs.unpack(out)
        if world is None:
            none = np.zeros((*out.shape[:-1], 2, self._slots), np.int32)
            standing = none, none
        else:
            standing = loop.standing(world)
        lots, lots_ticks = fills[..., 0, :], fills[..., 1, :]
        return loop.make_record(lots, lots_ticks, quotes, *standing, self._seen.unpack(seen))

    def replay(self, frames: np.ndarray) -> loop.Record:
        """A whole tape, one step after the other; records are stacked, one a frame.

        The same programs as on a live feed, so the same numbers to the last bit: a compiler
        rounds a scan over the tape (`loop.replay`) differently, and in a closed loop a lot more or
        less is another queue, another fill and another path.

        Args:
            frames: `[frames, rows, width]`, see `Tape.frames`.
        """
        decided = []
        for frame in frames:
            for vector in frame[frame[:, self._is_valid] > 0]:
                self.row(vector)
            decided.append(self.decide())
        return self.record(decided)

    def restart(self) -> None:
        """Forget what is believed; the next two-sided book starts it anew. Orders stay."""
        self._observing = self._nothing

    def trivial(self) -> np.ndarray:
        """One trivial compiled call."""
        return self._trivial(np.float32(0))


def _padded(frame: list[tuple[Sides, Sides]], rows: int) -> np.ndarray:
    """Fills of a frame's rows, padded with none, `[rows, lots or lots times ticks, side]`."""
    return np.array([*frame, *[(NONE, NONE)] * (rows - len(frame))], np.int32)
