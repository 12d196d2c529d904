"""The likelihood of a filter on a problem's own paths: that of the fit, and where it pulls to."""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm import belief, features
from diffmm.core import defaults
from diffmm.engine import graph, run, soft_loop
from diffmm.market import AccountInputs
from diffmm.training import ascent, fit, path_likelihood
from diffmm.training.experiment import Objective
from diffmm.training.problem import Problem
from diffmm.venues import world_io

from .hills import experiment, Hill


NAMES = ("features.variance_noise_s", "features.fair_noise_spread", "belief.tail")
LOOP = soft_loop.Config.small()
FRAMES, PATHS, FRAME_S = 64, 4, 0.25
GRID = path_likelihood.Grid(warm_s=2.0, every_s=0.5)
NOISE = NAMES.index("features.fair_noise_spread")


@ft.cache
def problem():
    return Problem(
        world_io.load_world("busy"),
        defaults(graph.Params),
        names=NAMES,
        asked=defaults(soft_loop.Params),
        loop=LOOP,
        account=AccountInputs(wealth_usd=3000.0, room_usd=3000.0),
        frames=FRAMES,
        block=PATHS,
        lanes=PATHS,
        grid=GRID,
    )


def fit_score(now, data):
    """What `fit_filter` sums over the moments of one tape, as a mean."""
    stage = belief.build(dataclasses.replace(LOOP.engine.belief, fills=False))
    config = fit.Config(chunk=len(data["seen"].mid_bp))
    found, _ = fit._scores(stage, defaults(graph.Params), now, data, config)
    return (data["weight"][:, None] * found).sum()


def fit_data(path):
    """One path of the problem as the fit has its tapes: features seen once, at the start."""
    frames, at = problem().scored(0)
    rows = frames[path].reshape(-1, frames.shape[-1])
    event = jax.vmap(lambda row: soft_loop.public(LOOP.layout.unpack(row), row.dtype))(rows)
    stage = features.build(LOOP.engine.features)
    seen = run.watch(stage, defaults(graph.Params).features, rows, unpack=unpacked)
    one = {name: jnp.asarray(x[path]) for name, x in at._asdict().items()}
    return {"event": event, "seen": seen, **one}


def unpacked(row):
    return soft_loop.public(LOOP.layout.unpack(row), row.dtype)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_value_and_gradient_are_those_of_the_fit():
    given = problem()
    likely, slopes = given.likelihood_slopes(np.zeros(3), 0)
    score = jax.jit(jax.value_and_grad(lambda z, data: fit_score(given.at.params(z), data)))
    for path in range(PATHS):
        value, expected = score(jnp.zeros(3), fit_data(path))
        np.testing.assert_allclose(likely[path], value, rtol=1e-4)
        np.testing.assert_allclose(slopes[path], expected, rtol=2e-3, atol=2e-5)
    assert (np.abs(slopes).max(axis=0) > 1e-4).all()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_large_weight_brings_a_noise_to_where_the_fit_has_it_and_none_does_not():
    given = problem()
    line = np.linspace(-3.0, 3.0, 25)
    along = lambda x: np.eye(3)[NOISE] * x
    scores = [given.log_likelihoods(along(x), [0]).mean() for x in line]
    likeliest = line[int(np.argmax(scores))]
    assert abs(likeliest) < 3.0

    class Alone:
        """The problem, its one noise moved and nothing else; utilities that do not care."""

        account = given.account

        def slopes(self, z, seed):
            return np.zeros(PATHS), np.zeros((PATHS, 1))

        def likelihood_slopes(self, z, seed):
            value, slopes = given.likelihood_slopes(along(float(z[0])), 0)
            return value, slopes[:, NOISE : NOISE + 1]

    def end(weight, start):
        train = experiment(parameters=(NAMES[NOISE],), learning_rate=0.2, steps=80).train
        state = ascent.init(train)._replace(z=np.array([start], np.float32))
        for _ in range(train.steps):
            found = ascent.slope(Alone(), Objective(likelihood_weight=weight), state.z, 0)
            state = ascent.step(train, state, found)
        return float(state.z[0])

    step = line[1] - line[0]
    for start in (-1.5, 1.5):
        assert abs(end(1e3, start + likeliest) - likeliest) < step
        assert end(0.0, start + likeliest) == np.float32(start + likeliest)


def test_the_terms_add_and_none_is_asked_for_without_a_weight():
    class Likely(Hill):
        def likelihood_slopes(self, z, seed):
            return np.arange(8.0), np.tile([1.0, 2.0, 3.0], (8, 1))

    z = np.array([0.1, 0.2, 0.3])
    plain = ascent.slope(Hill(), Objective(), z, 0)
    # A hill has no likelihood at all: without a weight nothing asks it for one.
    unweighted = ascent.slope(Likely(), Objective(), z, 0)
    weighted = ascent.slope(Likely(), Objective(likelihood_weight=2.0), z, 0)
    np.testing.assert_array_equal(unweighted.gradient, plain.gradient)
    assert unweighted.value_usd == plain.value_usd
    np.testing.assert_allclose(weighted.gradient - plain.gradient, [2.0, 4.0, 6.0], rtol=1e-12)
    np.testing.assert_allclose(weighted.value_usd - plain.value_usd, 2 * 3.5, rtol=1e-12)


def test_a_path_without_a_finite_likelihood_is_left_out_of_both_terms():
    class Likely(Hill):
        def likelihood_slopes(self, z, seed):
            return np.array([np.nan] + [1.0] * 7), np.ones((8, 3))

    found = ascent.slope(Likely(), Objective(likelihood_weight=1.0), np.zeros(3), 0)
    assert found.left_out == 1
    assert np.isfinite(found.gradient).all()


def test_moments_lie_on_rows_with_a_book_and_see_the_mid_their_horizon_later():
    frames, at = problem().scored(0)
    for path in range(PATHS):
        event = LOOP.layout.unpack(frames[path].reshape(-1, frames.shape[-1]))
        valid = np.asarray(event.is_valid)
        time_s = np.cumsum(np.where(valid, np.asarray(event.dt_s, np.float64), 0.0))
        counted = at.row[path][at.weight[path] > 0]
        assert counted.size > 0
        assert valid[counted].all()
        assert time_s[counted].max() <= time_s[-1] - 10
        assert time_s[counted].min() >= GRID.warm_s - GRID.every_s
        np.testing.assert_allclose(at.weight[path].sum(), 1.0, rtol=1e-5)
        price = np.asarray(event.book.price_bp[:, :, 0], np.float64).mean(axis=1)
        mid = price - np.cumsum(np.where(valid, np.asarray(event.shift_bp, np.float64), 0.0))
        moment_s = np.ceil(time_s[counted] / GRID.every_s - 1e-6) * GRID.every_s
        for k, horizon in enumerate((1, 5, 10)):
            later = mid[np.searchsorted(time_s, moment_s + horizon, side="right") - 1]
            told = at.change_bp[path][: counted.size, k]
            assert np.mean(np.abs(told - (later - mid[counted])) < 1e-2) > 0.95


def test_paths_too_short_for_the_longest_horizon_are_refused_with_what_they_need():
    frames, _ = problem().scored(0)
    with pytest.raises(ValueError, match=r"8 frames a path leave no moment .* 48 frames of 0.25 s"):
        path_likelihood.moments(frames[:, :8], LOOP.layout, GRID, FRAME_S)
