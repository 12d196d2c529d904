"""Transitions that are exact for any time step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm import core
from diffmm.belief import dynamics, INFORMED, LOG_SIGMA, MU, V
from diffmm.belief.gaussian import Gaussian


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def params(**values):
    given = {k: jnp.float64(v) for k, v in values.items()}
    base = core.defaults(dynamics.Params, jnp.float64)
    leaves = [
        given.get(path, x)
        for (path, _), x in zip(core.declarations(base), jax.tree.leaves(base), strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(base), leaves)


def prior(mean, var):
    return Gaussian(jnp.array(mean, jnp.float64), jnp.diag(jnp.sqrt(jnp.array(var, jnp.float64))))


def predict(p, g, dt_s, drift_vol=0.1, sigma_scale=1.0, log_sigma_vol=0.05, level=-0.3):
    numbers = [jnp.float64(x) for x in (dt_s, drift_vol, sigma_scale, log_sigma_vol, level)]
    return dynamics.predict(p, g, *numbers)


def test_the_informed_logit_is_the_published_ornstein_uhlenbeck_step(oracles):
    case = oracles["ou_exact_discretisation"]
    given, expected = case["inputs"], case["expected"]
    p = params(informed_rate=given["theta"], informed_vol=given["sigma"], informed_mean=0.0)
    sure = prior([0, 0, 0, 1.0], [1, 1, 1, 1e-30])
    moved = predict(p, sure, given["dt"])
    np.testing.assert_allclose(moved.mean[INFORMED], expected["phi"], rtol=1e-10)
    np.testing.assert_allclose(moved.cov[INFORMED, INFORMED], expected["q"], rtol=1e-9)
    for_ever = predict(p, sure, 1e4)
    np.testing.assert_allclose(
        for_ever.cov[INFORMED, INFORMED], expected["stationary_var"], rtol=1e-9
    )


def test_price_is_uncorrelated_with_log_volatility_and_its_noise_is_the_lognormal_moment(oracles):
    case = oracles["ukf_logvol_unobservable_from_price"]
    given, expected = case["inputs"], case["expected"]
    g = prior(given["x0"], given["P0"])
    still = params(drift_rate=1e-9, log_sigma_rate=1e-9)
    moved = predict(still, g, 1.0, drift_vol=1e-9, log_sigma_vol=1e-9)
    np.testing.assert_allclose(moved.mean, [*given["x0"][:3], moved.mean[3]], rtol=1e-9)
    assert abs(float(moved.cov[V, LOG_SIGMA])) < 1e-12
    before = given["P0"][V] + given["P0"][MU]
    np.testing.assert_allclose(moved.cov[V, V] - before, expected["true_noise_var"], rtol=1e-7)


def test_log_volatility_reverts_to_the_level_that_the_tape_shows_and_its_spread_is_bounded():
    rate, vol, level, dt = 0.2, 0.1, 0.7, 3.0
    moved = predict(
        params(log_sigma_rate=rate),
        prior([0, 0, -0.5, 0], [1, 1, 1e-30, 1]),
        dt,
        log_sigma_vol=vol,
        level=level,
    )
    keep = np.exp(-rate * dt)
    np.testing.assert_allclose(moved.mean[LOG_SIGMA], level + (-0.5 - level) * keep, rtol=1e-12)
    spread = vol**2 / (2 * rate) * (1 - keep**2)
    np.testing.assert_allclose(moved.cov[LOG_SIGMA, LOG_SIGMA], spread, rtol=1e-9)


def test_two_half_steps_are_one_step():
    p, g = params(), prior([1.0, 0.2, -0.5, 0.3], [0.2, 0.04, 1e-12, 0.1])
    step = lambda g, dt_s: predict(p, g, dt_s, log_sigma_vol=1e-9, level=-0.5)
    once, twice = step(g, 0.8), step(step(g, 0.4), 0.4)
    np.testing.assert_allclose(once.mean, twice.mean, rtol=1e-9)
    for i in (MU, LOG_SIGMA, INFORMED):
        np.testing.assert_allclose(once.cov[i, i], twice.cov[i, i], rtol=1e-7)
    np.testing.assert_allclose(once.cov[V, V], twice.cov[V, V], rtol=1e-2)


def test_drift_adds_its_reverting_integral_to_fair_value():
    rate, dt = 0.3, 2.0
    moved = predict(params(drift_rate=rate), prior([1.0, 0.5, 0, 0], [1, 1, 1, 1]), dt)
    np.testing.assert_allclose(moved.mean[V], 1 + 0.5 * (1 - np.exp(-rate * dt)) / rate, rtol=1e-12)
    np.testing.assert_allclose(moved.mean[MU], 0.5 * np.exp(-rate * dt), rtol=1e-12)


def test_no_time_changes_no_moment():
    g = prior([1.0, 0.5, -0.3, 0.7], [0.3, 0.2, 0.1, 0.4])
    moved = predict(params(), g, 0.0)
    np.testing.assert_allclose(moved.mean, g.mean, rtol=1e-12)
    np.testing.assert_allclose(moved.cov, g.cov, atol=1e-14)
