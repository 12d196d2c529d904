"""A sweep as trials, and trials as rows of compiled programs.

A trial is one configuration on one seed; every configuration meets the same seeds, so they are
compared on common random numbers. Trials on the same market by the same rule are rows of one
program; programs with the same static choices are compiled once.
"""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any

from diffmm.core import defaults
from diffmm.engine import graph, loop
from diffmm.market import Layout
from diffmm.simulation import hard_fills

from . import axes, experiment_file
from .experiment import Experiment, Sweep
from .experiment_file import ExperimentError
from .overrides import apply, OverrideError


LEAST_FRAMES = 1024
"""Tapes are padded to a multiple, so that nearly all of them have one length, and one program."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One configuration on one seed.

    **Attributes:**

    - `number`: in the whole sweep, the same in every shard.
    - `seed`: of the world.
    - `values`: by the paths of the axes.
    - `experiment`: with the values in it, static choices left out.
    - `static`: those, by path.
    """

    number: int
    seed: int
    values: dict[str, Any]
    experiment: Experiment
    static: dict[str, Any]

    @property
    def program(self) -> str:
        """Trials with the same words are compiled together."""
        asked = self.experiment
        return _words({"size": asked.engine.size, "fill_on": asked.fills.fill_on, **self.static})

    @property
    def market(self) -> str:
        """Trials with the same words play on the same tape by the same rule."""
        plain = self.experiment.plain()
        told = {"world": plain["world"], "fills": plain["fills"], "seed": self.seed}
        return _words({**told, "program": self.program})

    def plain(self) -> dict[str, Any]:
        """As builtins, for another process."""
        told = dataclasses.asdict(dataclasses.replace(self, experiment=None))  # pyright: ignore
        return told | {"experiment": self.experiment.plain()}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Trial":
        """What `plain` gave."""
        asked = experiment_file.convert(plain["experiment"], "trial")
        return cls(**(plain | {"experiment": asked}))


def trials(experiment: Experiment) -> list[Trial]:
    """Every trial of a sweep, each checked to the last value.

    Raises:
        ExperimentError: for an experiment without [sweep], a path that leads nowhere, or a value
            that its place does not take.
    """
    sweep = of(experiment)
    found = axes.configurations(sweep, experiment.experiment.seed)
    places = {path: axes.place(path) for one in found for path in one}
    base = {name: x for name, x in experiment.plain().items() if name != "sweep"}
    out: list[Trial] = []
    for values in found:
        own, static = _resolved(base, values, places)
        for seed in sweep.seeds:
            out.append(Trial(len(out), seed, values, own, static))
    return out


def of(experiment: Experiment) -> Sweep:
    """The table.

    Raises:
        ExperimentError: where there is none.
    """
    if experiment.sweep is None:
        raise ExperimentError("there is no [sweep] in this experiment; give it axes and seeds")
    return experiment.sweep


def _resolved(
    base: dict[str, Any], values: dict[str, Any], places: dict[str, str]
) -> tuple[Experiment, dict[str, Any]]:
    table = json.loads(json.dumps(base))
    static = {path: x for path, x in values.items() if places[path] == axes.STATIC}
    for path, value in values.items():
        if path not in static:
            experiment_file.put(table, path, value)
    own = experiment_file.convert(table, f"sweep trial {values}")
    try:
        apply(defaults(graph.Params), own.settings())
        config(own, static)
    except OverrideError as error:
        raise ExperimentError(f"sweep trial {values}: {error}") from error
    return own, static


def config(experiment: Experiment, static: dict[str, Any]) -> loop.Config:
    """The closed loop's static choices, in a world whose takers have limits.

    Raises:
        ExperimentError: for a static choice of another kind.
    """
    is_small = experiment.engine.size == "small"
    layout = Layout(levels=4, slots=2) if is_small else Layout()
    engine = graph.Config.small() if is_small else graph.Config.default()
    for path, value in static.items():
        engine = axes.with_static(engine, path, value)
    on_touch = experiment.fills.fill_on == "prints_or_touch"
    return loop.Config(engine, hard_fills.Config(layout.slots, on_touch, True), layout)


def rule(experiment: Experiment) -> hard_fills.Params:
    """The fill rule's parameters."""
    asked = experiment.fills
    names = ("order_latency_ms", "cancel_latency_ms", "queue_cancel_ahead")
    return apply(defaults(hard_fills.Params), [f"{x}={getattr(asked, x)}" for x in names])


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of one program on one market; `width` of them, the last repeated where fewer are left.

    **Attributes:**

    - `trials`: that it makes.
    - `width`: rows compiled.
    """

    trials: tuple[Trial, ...]
    width: int


def batches(some: Sequence[Trial], rows: int) -> list[Batch]:
    """Trials in rows, those that share a program next to each other.

    Args:
        some: of one sweep; a shard, or what is left of one.
        rows: most of a batch.
    """
    key = lambda x: (x.program, x.market, x.number)
    ordered = sorted(some, key=key)
    groups = [list(x) for _, x in itertools.groupby(ordered, key=lambda x: (x.program, x.market))]
    widths: dict[str, int] = {}
    for group in groups:
        name = group[0].program
        widths[name] = max(widths.get(name, 0), min(len(group), rows))
    return [
        Batch(tuple(group[at : at + rows]), widths[group[0].program])
        for group in groups
        for at in range(0, len(group), rows)
    ]


def padded(frames: int) -> int:
    """Frames that a tape is padded to."""
    return -(-frames // LEAST_FRAMES) * LEAST_FRAMES


def _words(told: dict[str, Any]) -> str:
    return json.dumps(told, sort_keys=True)
