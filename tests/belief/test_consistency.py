"""Predictive variances that measure how far off they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm import core
from diffmm.belief import consistency


PARAMS = core.defaults(consistency.Params)
DT_S = 0.25


def scored(mids, claimed=1.0, flows=None, shift=None):
    """Of a driftless forecaster that says the variance is `claimed` per second."""
    n = len(mids)
    flows = np.ones(n, bool) if flows is None else flows
    shift = np.zeros(n) if shift is None else shift
    horizons = PARAMS.horizons_s

    def step(state, row):
        mid, flow, moved = row
        state = consistency.score(PARAMS, state, jnp.float32(DT_S), moved, flow)
        state = consistency.renew(PARAMS, state, 0 * horizons, claimed * horizons, mid)
        return state, jnp.exp(consistency.log_scale(PARAMS, state))

    rows = (jnp.asarray(mids, jnp.float32), jnp.asarray(flows), jnp.asarray(shift, jnp.float32))
    return np.asarray(jax.lax.scan(step, consistency.init(PARAMS), rows)[1])


def walk(seconds, variance, seed=0):
    steps = np.random.default_rng(seed).normal(size=int(seconds / DT_S))
    return np.cumsum(steps) * np.sqrt(variance * DT_S)


def test_before_a_forecast_has_come_due_variances_stand_as_they_are():
    assert (scored(walk(0.9, 4.0)) == 1).all()


@pytest.mark.parametrize("truth", [0.25, 4.0])
def test_a_variance_that_is_wrong_by_a_factor_learns_that_factor(truth):
    found = scored(walk(40_000, truth))
    # The average over time of an unbiased estimate, well after the prior is forgotten.
    late = found[len(found) // 4 :].mean(axis=0)
    # A prior of five forecasts that were right is worth 5 of 605, 125, 65.
    horizons = np.asarray(PARAMS.horizons_s)
    worth = 5 / (5 + 600 / horizons)
    # The mid in force when a forecast is due is that of the row before.
    seen = truth * (1 - DT_S / horizons)
    np.testing.assert_allclose(late, worth + (1 - worth) * seen, rtol=0.08)


def test_a_mid_that_trends_for_seconds_is_wider_at_the_longer_horizons_only():
    rng = np.random.default_rng(1)
    n = 80_000
    drift = np.zeros(n)
    for k in range(1, n):
        drift[k] = 0.95 * drift[k - 1] + 0.12 * rng.normal()
    found = scored(np.cumsum(DT_S * drift + rng.normal(size=n) * np.sqrt(DT_S)))
    at_1, at_5, at_10 = found[n // 4 :].mean(axis=0)
    assert at_1 < 1.2
    assert at_1 + 0.15 < at_5 < at_10


def test_what_was_under_way_in_an_outage_is_not_scored():
    mids = walk(600, 1.0)
    flows = np.ones(len(mids), bool)
    flows[1000:1200] = False
    jumped = mids + np.where(np.arange(len(mids)) >= 1100, 50.0, 0.0)
    assert scored(jumped, flows=flows).max() < 3
    assert scored(jumped).max() > 10


def test_a_move_of_the_anchor_changes_nothing():
    mids = walk(600, 2.0)
    shift = np.zeros(len(mids))
    shift[700] = 37.5
    moved = scored(mids + np.cumsum(shift), shift=shift)
    np.testing.assert_allclose(moved, scored(mids), rtol=2e-3)


def test_between_two_horizons_the_scale_lies_between_theirs_and_beyond_them_it_stays():
    logs = jnp.log(jnp.array([0.5, 2.0, 8.0]))
    at = lambda h: float(consistency.at(PARAMS, logs, jnp.float32(h)))
    assert [at(h) for h in (0.1, 1, 5, 10, 60)] == pytest.approx([0.5, 0.5, 2, 8, 8], rel=1e-5)
    assert at(5**0.5) == pytest.approx(1.0, rel=1e-5)
    assert at(50**0.5) == pytest.approx(4.0, rel=1e-5)


def test_its_gradient_is_finite_before_and_after_the_first_score():
    def total(memory, n):
        params = dataclasses.replace(PARAMS, memory_s=memory)
        state = consistency.init(params)
        for _ in range(n):
            state = consistency.score(
                params, state, jnp.float32(1.0), jnp.float32(0.0), jnp.array(True)
            )
            state = consistency.renew(PARAMS, state, jnp.zeros(3), jnp.ones(3), jnp.float32(n))
        return jnp.sum(consistency.log_scale(params, state))

    for n in (1, 3):
        assert np.isfinite(jax.grad(total)(jnp.float32(600.0), n))
