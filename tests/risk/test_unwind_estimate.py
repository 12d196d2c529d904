"""Rates from counts, against a planted chain and by hand."""

import numpy as np
import pytest

from diffmm.risk.unwind import estimate


RATE = np.array([[0, 0.02, 0.01], [0.05, 0, 0.05], [0.1, 0.02, 0]])


def chain(seconds, seed=0):
    """States of a planted chain every tenth of a second, as certain probabilities."""
    rng = np.random.default_rng(seed)
    out, dt = [0], 0.1
    for u in rng.random(round(seconds / dt)):
        edges = np.cumsum(RATE[out[-1]] * dt)
        hit = np.searchsorted(edges, u)
        out.append(int(hit) if hit < 3 else out[-1])
    return np.eye(3)[out], np.full(len(out) - 1, dt)


def test_a_planted_chain_is_found():
    found = estimate.jumps(*chain(2e4), RATE)
    told = estimate.rates(found, RATE, 0.0)
    seen = found.jumps / found.occupied_s[:, None]
    np.testing.assert_allclose(told, seen)
    assert (np.abs(told - RATE) <= 4 * np.sqrt(RATE / found.occupied_s[:, None])).all()


def test_certain_states_are_counted_one_by_one():
    states = np.eye(3)[[0, 0, 1, 1, 2, 0]]
    found = estimate.jumps(states, np.array([1.0, 1, 1, 1, 1]), RATE)
    np.testing.assert_allclose(found.jumps, [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(found.occupied_s, [2, 2, 1])


def test_a_filter_that_knows_nothing_and_learns_nothing_confirms_its_own_rates():
    """At the stationary distribution the expected jumps are those of the filter's own chain."""
    generator = RATE - np.diag(RATE.sum(1))
    stationary = np.linalg.lstsq(np.vstack([generator.T, np.ones(3)]), [0, 0, 0, 1], rcond=None)[0]
    n, dt = 2000, 1e-3
    found = estimate.jumps(np.tile(stationary, (n, 1)), np.full(n - 1, dt), RATE)
    told = found.jumps / found.occupied_s[:, None]
    np.testing.assert_allclose(told, RATE, rtol=1e-3)


def test_the_prior_weighs_its_seconds_and_vanishes():
    none = estimate.Counts(np.zeros((3, 3)), np.zeros(3))
    np.testing.assert_allclose(estimate.rates(none, RATE, 60.0), RATE)
    one = estimate.Counts(np.array([[0, 3.0], [0, 0]]), np.array([60.0, 0.0]))
    prior = np.array([[0, 0.01], [0.01, 0]])
    assert estimate.rates(one, prior, 60.0)[0, 1] == pytest.approx((0.6 + 3) / 120)
    far = estimate.Counts(1e6 * one.jumps, 1e6 * one.occupied_s)
    assert estimate.rates(far, prior, 60.0)[0, 1] == pytest.approx(3 / 60, rel=1e-4)


def test_where_a_chain_goes_is_the_mean_of_a_dirichlet_posterior():
    counts = np.array([[0, 5.0, 2.0], [1, 0, 0], [0, 4, 0]])
    prior_s = 40.0
    told = estimate.rates(estimate.Counts(counts, np.array([90.0, 30, 30])), RATE, prior_s)
    alpha = RATE * prior_s + counts
    np.testing.assert_allclose(
        told / told.sum(1, keepdims=True), alpha / alpha.sum(1, keepdims=True)
    )


def test_stretches_add():
    states, dt = chain(50)
    half = len(dt) // 2
    a = estimate.jumps(states[: half + 1], dt[:half], RATE)
    b = estimate.jumps(states[half:], dt[half:], RATE)
    whole = estimate.jumps(states, dt, RATE)
    np.testing.assert_allclose((a + b).jumps, whole.jumps)
    np.testing.assert_allclose((a + b).occupied_s, whole.occupied_s)


def test_fill_rates_are_notional_over_time_beside_their_prior():
    found = estimate.Fills(np.array([[300.0, 0.0]]), np.array([[30.0, 0.0]]))
    told = estimate.fill_usd_s(found + found, np.array([[4.0, 7.0]]), 60.0)
    np.testing.assert_allclose(told, [[(240 + 600) / 120, 7.0]])
