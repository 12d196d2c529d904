"""Quotes as options: published values, quadrature, and the identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from diffmm.pricing import option


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def call(depth, sd):
    return float(option.bachelier(jnp.float64(depth), jnp.float64(sd)))


def test_the_option_and_its_gamma_are_the_published_ones(oracles):
    case = oracles["copeland_galai_bachelier"]
    given, expected = case["inputs"], case["expected"]
    sd = given["sigma_abs"] * given["tau"] ** 0.5
    assert sd == pytest.approx(expected["sd"], rel=1e-10)
    assert call(0.0, sd) == pytest.approx(expected["atm_call"], rel=1e-10)
    assert call(0.5, sd) == pytest.approx(expected["call_at_0p5"], rel=1e-10)
    gamma = float(option.gamma(jnp.float64(0.5), jnp.float64(sd)))
    assert gamma == pytest.approx(expected["gamma_at_0p5"], rel=1e-10)
    assert -gamma * given["sigma_abs"] ** 2 / 2 == pytest.approx(
        expected["theta_at_0p5"], rel=1e-10
    )
    slope = jax.grad(option.bachelier)(jnp.float64(0.5), jnp.float64(sd))
    assert -float(slope) == pytest.approx(expected["delta_at_0p5"], rel=1e-10)


def test_break_even_half_spreads_are_the_published_ones(oracles):
    """Where uninformed income equals the option: inelastic flow, and flow falling with depth."""
    case = oracles["copeland_galai_bachelier"]
    given, expected = case["inputs"], case["expected"]
    sd, p = given["sigma_abs"] * given["tau"] ** 0.5, given["p_informed"]
    income = lambda d, k: (1 - p) * given["uninf_side_prob"] * d * np.exp(-k * d)
    for k, name in (
        (0.0, "floor_half_spread_inelastic"),
        (given["k"], "floor_half_spread_elastic"),
    ):
        root = optimize.brentq(lambda d, k=k: income(d, k) - p * call(d, sd), 1e-6, 0.4)
        assert root == pytest.approx(expected[name], rel=1e-8)


@pytest.mark.parametrize("z", [-6.0, -1.5, -0.2, 0.0, 0.3, 1.0, 3.0, 6.0])
def test_the_time_averaged_option_is_the_quadrature_s(z):
    sd = 1.7
    depth = z * sd
    exact = integrate.quad(lambda t: call(depth, sd * t**0.5) if t > 0 else 0.0, 0, 1, limit=200)[0]
    found = float(option.time_average(jnp.float64(depth), jnp.float64(sd)))
    assert found == pytest.approx(exact, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("z", [-4.0, -0.5, 0.0, 0.7, 2.5])
@pytest.mark.parametrize("from_s", [0.0, 0.35, 4.0])
def test_a_mean_from_when_the_order_stands_is_the_quadrature_s(z, from_s):
    sigma, tau = 1.3, 0.6
    depth = z * sigma
    over = lambda fn: integrate.quad(fn, from_s + 1e-12, from_s + tau, limit=200)[0] / tau
    loss = over(lambda t: call(depth, sigma * t**0.5))
    chance = over(lambda t: stats.norm.sf(depth / (sigma * t**0.5)))
    f = [jnp.float64(x) for x in (depth, sigma, from_s, tau)]
    assert float(option.between(option.time_average, *f)) == pytest.approx(loss, rel=1e-6, abs=1e-8)
    found = float(option.between(option.time_average_chance, *f))
    assert found == pytest.approx(chance, rel=1e-6, abs=1e-8)


def test_at_fair_value_the_time_average_is_two_thirds_of_the_value_at_the_end():
    found = float(option.time_average(jnp.float64(0.0), jnp.float64(1.3)))
    assert found == pytest.approx(2 / 3 * call(0.0, 1.3), rel=1e-12)


@pytest.mark.parametrize("depth", [-2.0, -0.1, 0.0, 0.4, 5.0])
def test_the_jump_option_is_the_quadrature_s(depth):
    """Jumps of either sign at a rate, a uniform moment of the life, exponential sizes."""
    rate, mean, life = 0.03, 1.5, 0.8
    size = lambda j: np.exp(-j / mean) / mean
    loss = integrate.quad(lambda j: max(j - depth, 0.0) * size(j), 0, 60, points=[max(depth, 0)])[0]
    exact = rate * (life / 2) * 0.5 * loss
    found = option.jump_option(*(jnp.float64(x) for x in (depth, rate, mean, life)))
    assert float(found) == pytest.approx(exact, rel=1e-7)


def test_an_old_quote_loses_its_budget_at_the_published_age(oracles):
    case = oracles["staleness_and_sniping"]
    given, expected = case["inputs"], case["expected"]
    h = given["half_spread"]
    loss = lambda age: 2 * call(h, given["sigma"] * age**0.5) - given["budget_fraction"] * h
    age = optimize.brentq(loss, 1e-3, 1e3, xtol=1e-12)
    assert age == pytest.approx(expected["strangle_age_threshold_s"], rel=1e-8)


def test_the_sniping_equilibrium_is_the_published_one(oracles):
    """`lambda_invest h = lambda_jump E[(J - h)+]`; a life of 4 s makes ours that expectation."""
    case = oracles["staleness_and_sniping"]
    given, expected = case["inputs"], case["expected"]
    rest = [jnp.float64(x) for x in (given["lambda_jump"], given["jump_mean"], 4.0)]
    gap = lambda h: given["lambda_invest"] * h - float(option.jump_option(jnp.float64(h), *rest))
    root = optimize.brentq(gap, 1e-9, 1.0, xtol=1e-14)
    assert root == pytest.approx(expected["bcs_half_spread"], rel=1e-8)


def test_options_fall_convexly_with_depth_and_rise_with_time_and_never_below_zero():
    for single in (False, True):
        dtype = np.float32 if single else np.float64
        with jax.enable_x64(not single):
            depth = jnp.linspace(-20, 200, 441, dtype=dtype)
            value = np.asarray(option.time_average(depth, jnp.asarray(1.3, dtype)))
            later = np.asarray(option.time_average(depth, jnp.asarray(1.7, dtype)))
            slope = jax.vmap(jax.grad(option.time_average), (0, None))(
                depth, jnp.asarray(1.3, dtype)
            )
        assert (value >= 0).all()
        assert (np.diff(value) <= 1e-6).all()
        assert single or (np.diff(value, 2) >= -1e-9).all()
        assert (later >= value - 1e-6).all()
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("z", [-6.0, -1.5, -0.2, 1e-9, 0.3, 1.0, 3.0])
def test_the_chance_of_being_picked_off_is_the_slope_of_the_option(z):
    sd = 1.7
    slope = jax.grad(lambda d: option.time_average(d, jnp.float64(sd)))(jnp.float64(z * sd))
    found = float(option.time_average_chance(jnp.float64(z * sd), jnp.float64(sd)))
    assert found == pytest.approx(-float(slope), abs=1e-9)
    jump = [jnp.float64(x) for x in (0.01, 4.0, 0.8)]
    if z > 0:
        slope = jax.grad(lambda d: option.jump_option(d, *jump))(jnp.float64(z * sd))
        found = float(option.jump_chance(jnp.float64(z * sd), *jump))
        assert found == pytest.approx(-float(slope), rel=1e-9)
