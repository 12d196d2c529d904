"""Gradient ascent on a problem: one step, and everything that the next one needs to know.

Adam on coordinates of one prior scale each (Kingma & Ba 2015), the gradient clipped by its norm,
the rate rising and then falling along a cosine. A path whose utility or gradient is no
finite number is left out and counted; a step without any path left moves nothing. A state that was
saved and read again goes on with the same bits. Source: ours; `tests/training/test_ascent.py`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .experiment import Objective, Train
from .objective import value_and_weights
from .problem import Problem


STREAM = 1_000_000
"""Seeds of one use: training, selection, the final comparison, curves; seeds never meet."""


class State(NamedTuple):
    """Between two steps; arrays only.

    **Attributes:**

    - `step`: taken so far.
    - `z`, `optimiser`: coordinates, and what Adam remembers.
    - `best_z`, `best_usd`: of the looks at hard fills so far.
    - `looks_since`: looks since the best one.
    - `skipped`: steps without a gradient, the latest in a row.
    """

    step: np.ndarray
    z: np.ndarray
    optimiser: Any
    best_z: np.ndarray
    best_usd: np.ndarray
    looks_since: np.ndarray
    skipped: np.ndarray


class Slope(NamedTuple):
    """What a block of paths says of the objective.

    **Attributes:**

    - `value_usd`: of the relaxed paths, less the prior's charge, the likelihood's term added.
    - `gradient`: USD a coordinate.
    - `left_out`: paths without a finite number.
    - `largest_over_median`: of the norms of the paths' gradients.
    """

    value_usd: float
    gradient: np.ndarray
    left_out: int
    largest_over_median: float


def seeds(seed: int, use: int, count: int, first: int = 0) -> list[int]:
    """Seeds of blocks `first` to `first + count` of a use.

    Uses are 0 training, 1 selection, 2 the end, 3 curves.
    """
    base = (4 * seed + use) * STREAM + first
    return list(range(base, base + count))


def optimiser(train: Train) -> optax.GradientTransformation:
    """Clipping, then Adam on its schedule."""
    rate = optax.warmup_cosine_decay_schedule(
        train.learning_rate / max(train.warmup_steps, 1),
        train.learning_rate,
        train.warmup_steps,
        max(train.steps, train.warmup_steps + 1),
        train.final_rate * train.learning_rate,
    )
    return optax.chain(optax.clip_by_global_norm(train.clip_norm), optax.adam(rate))


def init(train: Train) -> State:
    """At the start, nothing looked at."""
    z = np.zeros(len(train.parameters), np.float32)
    none = np.array(-np.inf, np.float64)
    count = np.array(0, np.int64)
    memory = jax.tree.map(np.asarray, optimiser(train).init(jnp.asarray(z)))
    return State(count, z, memory, z.copy(), none, count.copy(), count.copy())


def slope(problem: Problem, asked: Objective, z: np.ndarray, seed: int) -> Slope:
    """The objective's gradient by one block of relaxed paths."""
    utility, by_path = problem.slopes(z, seed)
    ok = np.isfinite(utility) & np.isfinite(by_path).all(axis=1)
    likely, likely_by_path = np.zeros(ok.size), np.zeros_like(by_path)
    if asked.likelihood_weight:
        likely, likely_by_path = problem.likelihood_slopes(z, seed)
        ok &= np.isfinite(likely) & np.isfinite(likely_by_path).all(axis=1)
    if not ok.any():
        return Slope(float("nan"), np.full(z.size, np.nan), int(ok.size), float("nan"))
    value, weights = value_and_weights(asked, utility[ok], problem.account.wealth_usd)
    norms = np.linalg.norm(by_path[ok], axis=1)
    middle = float(np.median(norms))
    z = np.asarray(z, np.float64)
    charge = asked.prior_weight * float(z @ z)
    gradient = weights @ by_path[ok] - 2 * asked.prior_weight * z
    if asked.likelihood_weight:
        value += asked.likelihood_weight * float(likely[ok].mean())
        gradient = gradient + asked.likelihood_weight * likely_by_path[ok].mean(axis=0)
    apart = float(norms.max()) / middle if middle > 0 else float("nan")
    return Slope(value - charge, gradient, int((~ok).sum()), apart)


def step(train: Train, state: State, found: Slope) -> State:
    """One step up; where there is no gradient, the same place one step later."""
    later = state._replace(step=state.step + 1)
    if not np.isfinite(found.gradient).all():
        return later._replace(skipped=state.skipped + 1)
    # The optimiser counts its steps in integers and raises floats to them.
    with jax.numpy_dtype_promotion("standard"):
        down = jnp.asarray(-found.gradient, jnp.float32)
        move, memory = optimiser(train).update(down, state.optimiser)
    memory = jax.tree.map(np.asarray, memory)
    z = state.z + np.asarray(move)
    return later._replace(z=z, optimiser=memory, skipped=0 * state.skipped)


def look(state: State, value_usd: float) -> State:
    """Hard fills on the paths kept apart were worth this; the best place is remembered."""
    if value_usd > float(state.best_usd):
        best = np.array(value_usd, np.float64)
        return state._replace(best_z=state.z.copy(), best_usd=best, looks_since=0 * state.step)
    return state._replace(looks_since=state.looks_since + 1)


def audit(
    problem: Problem, z: np.ndarray, along: np.ndarray, seed: int, distance: float
) -> dict[str, float]:
    """The mean utility's slope by relaxed and by hard runs of the same draws, USD a prior scale.

    The hard one is a central difference: of the simulator that is meant, without a bias but for the
    curvature within `distance`.

    Args:
        problem: what is played.
        z: where.
        along: the direction. It must come from another block: a gradient's own paths rise along it
            by their noise too.
        seed: of the block that is asked.
        distance: of the difference, in prior scales.
    """
    length = float(np.linalg.norm(along))
    if not np.isfinite(length) or length == 0:
        return {"relaxed": 0.0, "hard": 0.0, "standard_error": 0.0, "z": 0.0}
    way = along / length
    by_path = problem.slopes(z, seed)[1] @ way
    ahead, behind = (problem.utilities(z + k * distance * way, [seed]) for k in (1, -1))
    hard = (ahead - behind) / (2 * distance)
    apart = by_path - hard
    error = float(apart.std(ddof=1) / np.sqrt(apart.size))
    return {
        "relaxed": float(by_path.mean()),
        "hard": float(hard.mean()),
        "standard_error": error,
        "z": float(apart.mean() / error) if error > 0 else 0.0,
    }
