"""Calibration by likelihood: the observation function by regression, the filter by gradient.

Coins are pooled: one set of coefficients serves all, since every term is scale-free. First the
index, whose terms are linear in their coefficients, by a ridge on the mid's moves over 1, 5 and 10
s, weighted by their variance; the penalty is chosen by blocked folds. Then the noises of the filter
and how the mid follows V, by gradient of the predictive log likelihood of those moves through the
compiled scan, stopped where the blocks that are left out score best. Source: ours.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffmm import belief, features
from diffmm.core import constrain, declarations, Stage, unconstrain
from diffmm.engine import graph, run
from diffmm.evaluation import forecast
from diffmm.market import Tape


TERMS = ("queue", "flow", "thin", "depth")
"""Coefficients of the index in `features.Params`."""
FITTED = (
    "features.variance_noise_s",
    "belief.dynamics.drift_vol",
    "belief.dynamics.sigma_scale",
    "belief.dynamics.log_sigma_rate",
    "belief.dynamics.log_sigma_vol",
    "belief.exit_rate",
    "belief.predictive.filter_share",
    "belief.predictive.follow_through_sd",
    "belief.predictive.lag_share",
    "belief.predictive.move",
)
"""How the paths begin of the leaves that the gradient moves."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How a fit is made; nothing here reaches a quote.

    **Attributes:**

    - `every_s`: distance of the moments whose future is predicted.
    - `warm_s`: start of a tape that is not scored.
    - `folds`, `block_s`: blocks of time that take turns at being left out.
    - `penalties`: ridge penalties tried, as shares of each term's own power.
    - `steps`, `learning_rate`: of the gradient (Adam, on unconstrained values).
    - `consistency`: weight of `log(NIS)^2` beside the mean log likelihood, at each horizon.
    - `chunk`: rows between checkpoints of the backward pass.
    """

    every_s: float = 0.2
    warm_s: float = 30.0
    folds: int = 5
    block_s: float = 60.0
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    steps: int = 30
    learning_rate: float = 0.1
    consistency: float = 0.3
    chunk: int = 256


@dataclasses.dataclass(frozen=True)
class Sample:
    """The fitting part of one tape: rows, the moments in it, the block of time of each."""

    tape: Tape
    rows: np.ndarray
    at: forecast.Moments
    fold: np.ndarray

    @classmethod
    def of(cls, tape: Tape, to: float, config: Config) -> "Sample":
        """The first share `to` of a tape's time; nothing later is read.

        Raises:
            ValueError: when that part is too short to be left out in blocks.
        """
        known = forecast.path(tape)
        end_s = to * known.time_s[-1]
        rows = int(np.searchsorted(known.time_s, end_s, side="right"))
        at = forecast.moments(known, config.warm_s, end_s, config.every_s)
        least_s = config.warm_s + config.folds * config.block_s
        if end_s < least_s:
            raise ValueError(
                f"{tape.instrument.coin}: {end_s:.0f} s to fit on, expected at least {least_s:.0f}"
            )
        fold = (at.time_s // config.block_s).astype(int) % config.folds
        return cls(tape, tape.rows[:rows], at, fold)


def fit(
    params: graph.Params, tapes: Sequence[Tape], to: float, config: Config
) -> tuple[graph.Params, dict[str, Any]]:
    """Parameters fitted on the first share `to` of each tape, and what was found on the way.

    Raises:
        ValueError: for a tape that is too short.
    """
    samples = [Sample.of(tape, to, config) for tape in tapes]
    params, index = fit_index(params, samples, config)
    if not config.steps:
        return params, {"index": index}
    params, noises = fit_filter(params, samples, config)
    return params, {"index": index, "filter": noises}


def index_columns(params: features.Params, tape: Tape, rows: np.ndarray) -> tuple[Any, np.ndarray]:
    """What the features say at every row, and each term of the index alone, `[rows, terms]` in bp.

    A term is the index with its own coefficient 1 and the others 0; the index is linear in them.
    """
    stage = features.build(features.Config())
    seen = run.watch(stage, params, rows, unpack=tape.layout.unpack)
    columns = []
    for term in TERMS:
        alone = {name: jnp.float32(name == term) for name in TERMS}
        one = run.watch(
            stage, dataclasses.replace(params, **alone), rows, unpack=tape.layout.unpack
        )
        columns.append(one.index_bp)
    return seen, np.stack([np.asarray(x, np.float64) for x in columns], axis=1)


def fit_index(
    params: graph.Params, samples: Sequence[Sample], config: Config
) -> tuple[graph.Params, dict[str, Any]]:
    """Coefficients of the index by a pooled ridge; its penalty predicts left-out blocks best."""
    relaxation = float(params.features.relaxation)
    reach = 1 - np.exp(
        -np.array(forecast.HORIZONS_S) / float(params.belief.predictive.relaxation_s)
    )
    squares = np.zeros((config.folds, len(TERMS), len(TERMS)))
    products = np.zeros((config.folds, len(TERMS)))
    for one in samples:
        seen, columns = index_columns(params.features, one.tape, one.rows)
        x = columns[one.at.row]
        weight = 1 / np.asarray(seen.sigma_bp, np.float64)[one.at.row] ** 2
        for k, horizon in enumerate(forecast.HORIZONS_S):
            # A move over h has variance h, and h overlapping ones say little more than one.
            w, pull = weight / horizon**2, relaxation * reach[k]
            for fold in range(config.folds):
                rows = one.fold == fold
                xw = x[rows] * w[rows, None]
                squares[fold] += pull**2 * xw.T @ x[rows]
                products[fold] += pull * xw.T @ one.at.change_bp[rows, k]

    def solve(left_out: int | None, penalty: float) -> np.ndarray:
        keep = np.arange(config.folds) != left_out
        a, b = squares[keep].sum(axis=0), products[keep].sum(axis=0)
        own = np.diag(a)
        # A term that never spoke, as the order flow of a world, is worth nothing.
        return np.linalg.solve(a + np.diag(np.where(own > 0, penalty * own, 1.0)), b)

    def explained(penalty: float) -> float:
        total = 0.0
        for fold in range(config.folds):
            beta = solve(fold, penalty)
            total += 2 * beta @ products[fold] - beta @ squares[fold] @ beta
        return total

    scores = {penalty: explained(penalty) for penalty in config.penalties}
    best = max(scores, key=lambda penalty: scores[penalty])
    found = solve(None, best)
    values = {name: jnp.float32(x) for name, x in zip(TERMS, found, strict=True)}
    new = dataclasses.replace(params, features=dataclasses.replace(params.features, **values))
    return new, {"penalty": best, **{name: float(x) for name, x in values.items()}}


def fit_filter(
    params: graph.Params, samples: Sequence[Sample], config: Config
) -> tuple[graph.Params, dict[str, Any]]:
    """Noises and the mid's law by gradient, stopped where the left-out blocks score best."""
    given = _padded(params, samples, config)
    raw = unconstrain(params)
    mask = jax.tree.unflatten(
        jax.tree.structure(raw), [path.startswith(FITTED) for path, _ in declarations(params)]
    )
    moving, still = eqx.partition(raw, mask)
    stage = belief.build(belief.Config(fills=False))

    def loss(moving: Any, data: dict[str, Any]) -> tuple[Any, Any]:
        now = constrain(eqx.combine(moving, still))
        score, nis = jax.vmap(lambda one: _scores(stage, params, now, one, config))(data)
        train = jnp.where(data["left_out"], 0.0, data["weight"])[..., None]
        apart = jnp.where(data["left_out"], data["weight"], 0.0)[..., None]
        mean = lambda x, w: jnp.sum(x * w, axis=(0, 1)) / jnp.sum(w)
        balance = config.consistency * jnp.sum(jnp.log(mean(nis, train)) ** 2)
        held = balance - jnp.sum(mean(score, apart))
        return balance - jnp.sum(mean(score, train)), (held, mean(nis, train))

    step = run.value_and_gradient(loss)
    optimiser = optax.adam(config.learning_rate)
    state, best, told = optimiser.init(moving), moving, []
    for _ in range(config.steps + 1):
        (value, (held, nis)), gradient = step(moving, given)
        told.append({"loss": float(value), "held_out": float(held), "nis": nis.tolist()})
        if told[-1]["held_out"] <= min(x["held_out"] for x in told):
            best = moving
        updates, state = optimiser.update(gradient, state)
        moving = optax.apply_updates(moving, updates)
    new = constrain(eqx.combine(best, still))
    # What was not fitted keeps its bits, which the way there and back would not.
    new = jax.tree.map(lambda moved, a, b: a if moved else b, mask, new, params)
    taken = min(range(len(told)), key=lambda k: told[k]["held_out"])
    return new, {"steps": taken, "start": told[0], "end": told[taken]}


def _scores(
    stage: Stage, old: graph.Params, now: graph.Params, data: dict[str, Any], config: Config
) -> tuple[Any, Any]:
    """Log density and normalised squared error of every move, `[moments, horizons]`."""
    seen, event = _reweighted(old.features, now.features, data), data["event"]
    told = run.watch_in_chunks(stage, now.belief, (event, seen), chunk=config.chunk)
    told, seen = jax.tree.map(lambda x: x[data["row"]], (told, seen))
    return scores(now.belief, told, seen, data["change_bp"], data["moved"])


def scores(
    params: belief.Params, told: Any, seen: Any, change_bp: Any, moved: Any
) -> tuple[Any, Any]:
    """Log density and normalised squared error of moves of the mid, `[moments, horizons]`.

    Args:
        params: of the belief.
        told: beliefs at the moments.
        seen: features there.
        change_bp: of the mid, `[moments, horizons]`.
        moved: whether it is another mid.
    """

    def one(told: Any, seen: Any, change: Any, moved: Any) -> tuple[Any, Any]:
        out = []
        for k, horizon in enumerate(forecast.HORIZONS_S):
            ahead = belief.mid_ahead(params, told, seen, jnp.float32(horizon))
            error = (change[k] - ahead.mean) ** 2 / ahead.var
            out.append((ahead.log_density(change[k], moved[k]), error))
        densities, errors = zip(*out, strict=True)
        return jnp.stack(densities), jnp.stack(errors)

    return jax.vmap(one)(told, seen, change_bp, moved)


def _reweighted(old: features.Params, now: features.Params, data: dict[str, Any]) -> Any:
    """The features with the precisions that other noises give: the scan before is not repeated."""
    seen, tick = data["seen"], data["event"].rules.tick_bp
    noise = lambda p: jax.vmap(lambda *x: features.price_noise(p, *x))(
        seen.half_spread_bp, tick, seen.sigma_bp**2
    )
    one = jnp.ones_like(tick)[:, None]
    variance = old.variance_noise_s / now.variance_noise_s
    ratio = jnp.concatenate([noise(old) / noise(now), one, one * variance], axis=1)
    return dataclasses.replace(seen, precision=seen.precision * ratio)


def _padded(params: graph.Params, samples: Sequence[Sample], config: Config) -> dict[str, Any]:
    """The samples side by side, shorter ones filled with rows and moments that do not count."""
    longest = max(len(one.rows) for one in samples)
    rows_n = -(-longest // config.chunk) * config.chunk
    moments_n = max(len(one.at.row) for one in samples)
    stage = features.build(features.Config())

    def fill(x: np.ndarray, n: int) -> np.ndarray:
        return np.concatenate([x, np.zeros((n - len(x), *x.shape[1:]), x.dtype)])

    def columns(one: Sample) -> dict[str, Any]:
        at, layout = one.at, one.tape.layout
        rows = fill(one.rows, rows_n)
        seen = run.watch(stage, params.features, rows, unpack=layout.unpack)
        parts = {
            "row": at.row,
            "change_bp": at.change_bp.astype(np.float32),
            "moved": at.moved,
            "weight": np.ones(len(at.row), np.float32),
            "left_out": one.fold == config.folds - 1,
        }
        padded = {name: fill(x, moments_n) for name, x in parts.items()}
        return {"event": layout.unpack(rows), "seen": seen} | padded

    return jax.tree.map(lambda *x: np.stack(x), *[columns(one) for one in samples])
