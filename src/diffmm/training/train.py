"""A training run: steps uphill on relaxed fills, looks at hard ones, and a verdict on unseen paths.

A step follows the gradient of relaxed runs. Whether it led anywhere is asked of hard runs of paths
that no gradient saw: their best place is what comes out. Audits compare the slope of the relaxed
runs with that of hard ones. At the end start and best place are compared on paths that neither
training nor selection saw, draw by draw. Source: ours; `tests/training/test_train.py`.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from diffmm.core import declarations, defaults
from diffmm.engine import graph, soft_loop
from diffmm.market import AccountInputs
from diffmm.simulation import World

from . import ascent
from .experiment import Experiment
from .hosts import Follower
from .objective import HardRuns
from .path_likelihood import Grid
from .problem import Problem
from .run_folder import RunFolder


AUDIT_DISTANCE = 0.1
"""Of an audit's finite difference, in prior scales."""
MOST_SKIPPED = 3
DRAWS = 2000
"""Of the bootstrap over paths."""
LEVEL = 0.95
TRAINING, SELECTION, END, CURVE = 0, 1, 2, 3


class TrainingError(RuntimeError):
    """A run that cannot go on; the message says what was found."""


def problem(
    experiment: Experiment,
    world: World,
    start: graph.Params,
    devices: list[Any] | None = None,
) -> Problem:
    """What the experiment plays.

    Raises:
        ValueError: for a parameter that is no trainable scalar.
    """
    asked, train, market = experiment.objective, experiment.train, experiment.world
    engine = experiment.engine
    sizes = soft_loop.Config.small if engine.size == "small" else soft_loop.Config.default
    loop = sizes(engine.inside, engine.near)
    values = defaults(soft_loop.Params)
    number = lambda like, x: jax.numpy.asarray(x, like.dtype)
    fills = type(values.fills)(number(values.fills.temperature, train.temperature))
    wanted = soft_loop.Params(
        fills,
        values.replace,
        number(values.aversion, asked.aversion),
        number(values.excess, asked.excess_per_s),
    )
    return Problem(
        world,
        start,
        names=train.parameters,
        asked=wanted,
        loop=loop,
        account=AccountInputs(wealth_usd=market.wealth_usd, room_usd=market.room_usd),
        frames=train.frames,
        block=train.paths,
        lanes=train.lanes,
        devices=devices,
        grid=Grid(asked.likelihood_warm_s, asked.likelihood_every_s),
    )


def run(
    given: Problem,
    experiment: Experiment,
    folder: RunFolder | Follower,
    tell: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Train to the end from wherever the folder stands; the verdict.

    Args:
        given: the problem of this experiment.
        experiment: what is asked.
        folder: of this run, or of a process that another one keeps it for.
        tell: called with every line of metrics.

    Raises:
        TrainingError: after some steps in a row without a finite gradient.
        RuinError: where log growth is asked of a path that lost everything.
    """
    train, asked = experiment.train, experiment.objective
    seed = experiment.experiment.seed
    state = ascent.init(train)
    state = folder.resume(state) or state

    def note(kind: str, values: dict[str, Any]) -> None:
        line = {"step": int(state.step), "kind": kind, **values}
        folder.append(line)
        tell(line)

    while True:
        now = int(state.step)
        if now % train.evaluate_every == 0 or now == train.steps:
            value = worth(given, experiment, state.z, SELECTION, train.held_out_paths)
            state = ascent.look(state, value)
            note(
                "look",
                {
                    "held_out_usd": value,
                    "best_usd": float(state.best_usd),
                    "z": state.z.tolist(),
                },
            )
            if float(state.best_usd) == value:
                folder.put("best.json", {"step": now, "held_out_usd": value})
        is_stale = 0 < train.patience <= int(state.looks_since)
        if now == train.steps or is_stale:
            break
        found = ascent.slope(given, asked, state.z, ascent.seeds(seed, TRAINING, 1, now)[0])
        if train.audit_every and now % train.audit_every == 0:
            block = ascent.seeds(seed, SELECTION, 1)[0]
            note("audit", ascent.audit(given, state.z, found.gradient, block, AUDIT_DISTANCE))
        norm = float(np.linalg.norm(found.gradient))
        note(
            "step",
            {
                "objective_usd": _finite(found.value_usd),
                "gradient_norm": _finite(norm),
                "left_out": found.left_out,
                "largest_over_median": _finite(found.largest_over_median),
                "z": state.z.tolist(),
            },
        )
        state = ascent.step(train, state, found)
        if int(state.skipped) >= MOST_SKIPPED:
            raise TrainingError(
                f"step {now}: {MOST_SKIPPED} steps in a row without one finite gradient; start "
                "elsewhere, lower train.learning_rate or raise train.temperature"
            )
        if int(state.step) % train.save_every == 0:
            folder.save(state)
    return {
        **verdict(given, experiment, state.best_z),
        "steps": int(state.step),
        "events": int(state.step) * given.events(ascent.seeds(seed, TRAINING, 1)[0]),
        "stopped": "patience" if is_stale else "steps",
    }


def verdict(given: Problem, experiment: Experiment, best: np.ndarray) -> dict[str, Any]:
    """Start and best place on paths that nothing has seen, hard fills, the same draws."""
    n, seed = experiment.train.final_paths, experiment.experiment.seed
    blocks = ascent.seeds(seed, END, n // given.block)
    asked, wealth = experiment.objective, experiment.world.wealth_usd
    before, after = (HardRuns.of(given, asked, z, blocks) for z in (np.zeros_like(best), best))
    objective = lambda runs: runs.value_usd(asked, wealth)
    key = jax.random.key(seed)
    picks = np.asarray(jax.random.randint(key, (DRAWS, n), 0, n))
    gains = np.array([objective(after.picked(k)) - objective(before.picked(k)) for k in picks])
    low, high = np.quantile(gains, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    start, end = objective(before), objective(after)
    named = lambda params: {
        name: (float(x), told["unit"])
        for x, (name, told) in zip(jax.tree.leaves(params), declarations(params), strict=True)
        if name in given.at.names
    }
    old, new = named(given.start), named(given.at.chosen(best, given.start))
    return {
        "objective": experiment.objective.kind,
        "start_usd": start,
        "end_usd": end,
        "gain_usd": {"value": end - start, "low": float(low), "high": float(high), "n": n},
        "parameters": {
            name: {"start": old[name][0], "end": new[name][0], "unit": old[name][1]}
            for name in given.at.names
        },
    }


def worth(given: Problem, experiment: Experiment, z: np.ndarray, use: int, paths: int) -> float:
    """The objective of hard runs on the blocks of a use.

    Raises:
        TrainingError: for a utility that is no finite number.
    """
    blocks = ascent.seeds(experiment.experiment.seed, use, paths // given.block)
    runs = HardRuns.of(given, experiment.objective, z, blocks)
    if bad := runs.not_finite():
        raise TrainingError(f"{bad} of {runs.utility_usd.size} hard runs have no finite utility")
    return runs.value_usd(experiment.objective, experiment.world.wealth_usd)


def _finite(x: float) -> float | None:
    return x if np.isfinite(x) else None
