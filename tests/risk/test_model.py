"""The cost of inventory, its carry, and the Kelly sizes, against published numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm import risk
from diffmm.risk import kelly


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def budget(**values):
    base = dict.fromkeys((f.name for f in dataclasses.fields(risk.RiskBudget)), 1.0)
    return risk.RiskBudget(**{k: jnp.float64(v) for k, v in (base | values).items()})


def published_cost(case):
    given = case["inputs"]
    # Their volatility is per unit of price; ours is in bp, and the horizon is one.
    return budget(
        gamma0=given["gamma0"],
        convexity=given["kappa"],
        room_usd=given["qbar"],
        variance_bp2=given["sigma"] ** 2 * 1e8,
    )


def test_the_convex_cost_and_its_margin_are_the_published_ones(oracles):
    case = oracles["convex_gamma"]
    at, expected = published_cost(case), case["expected"]
    for q in (5.0, 10.0):
        found = float(risk.cost_usd(at, jnp.float64(q)))
        assert found == pytest.approx(expected[f"C_at_{q:.0f}"], rel=1e-12)
        margin = float(risk.marginal_cost(at, jnp.float64(q)))
        assert margin == pytest.approx(expected[f"marginal_at_{q:.0f}"], rel=1e-12)


def test_the_marginal_cost_is_the_derivative_of_the_cost():
    at = budget(gamma0=3e-5, convexity=3.0, room_usd=2e4, variance_bp2=90.0)
    for q in (-3e4, -1e3, 0.0, 2e3, 2e4):
        slope = jax.grad(lambda x: risk.cost_usd(at, x))(jnp.float64(q))
        np.testing.assert_allclose(risk.marginal_cost(at, jnp.float64(q)), slope, rtol=1e-12)


def given_trace():
    batch, trace = bundles.stream(), bundles.standard(True)
    return tuple(events.row(x, 5) for x in (batch, trace.features, trace.belief))


def decide(event, seen, belief):
    params = bundles.params(jnp.float64).risk
    return risk.update(params, risk.State(), (event, seen, belief), config=risk.Config())[1]


def test_carry_is_the_published_linear_accrual(oracles):
    """Their 1e-4 in 8 h over 3 h on a mark of 30,000 is 1.125 a unit; ours is bp of notional."""
    case = oracles["funding_carry"]
    event, seen, belief = given_trace()
    hourly = case["inputs"]["funding_rate_8h"] / 8
    event = bundles.replace(event, context__funding_rate_1h=hourly)
    params = bundles.params(jnp.float64, risk__holding_s=3600 * case["inputs"]["hours_held"]).risk
    told = risk.update(params, risk.State(), (event, seen, belief), config=risk.Config())[1]
    a_unit = float(told.carry_bp) / 1e4 * case["inputs"]["mark"]
    assert a_unit == pytest.approx(case["expected"]["carry_per_unit_long_3h"], rel=1e-9)


def test_an_absent_context_is_no_carry():
    event, seen, belief = given_trace()
    absent = bundles.replace(event, context__is_valid=False, context__funding_rate_1h=9.0)
    assert float(decide(absent, seen, belief).carry_bp) == 0
    assert float(decide(event, seen, belief).carry_bp) != 0


def test_twice_the_wealth_halves_the_risk_aversion_and_changes_no_other_price():
    event, seen, belief = given_trace()
    twice = bundles.replace(event, account__wealth_usd=2 * event.account.wealth_usd)
    one, two = decide(event, seen, belief), decide(twice, seen, belief)
    assert float(two.gamma0) == pytest.approx(float(one.gamma0) / 2, rel=1e-12)
    assert float(two.kelly_usd) == pytest.approx(2 * float(one.kelly_usd), rel=1e-12)
    for name in ("convexity", "room_usd", "variance_bp2", "holding_s", "carry_bp"):
        assert float(getattr(one, name)) == float(getattr(two, name))


@pytest.mark.parametrize("rho", ["0.0", "0.5", "0.9"])
def test_two_correlated_bets_have_the_published_sizes_and_growth(oracles, rho):
    case = oracles[f"kelly_two_assets_rho{rho}"]
    given, expected = case["inputs"], case["expected"]
    sd, mean = np.array(given["sigma"]), jnp.array(given["mu"], jnp.float64)
    corr = np.array([[1, given["rho"]], [given["rho"], 1]])
    cov = jnp.array(np.outer(sd, sd) * corr)
    f = kelly.fractions(mean, cov)
    np.testing.assert_allclose(f, expected["f"], rtol=1e-10)
    for share, name in ((1, "growth"), (0.5, "half_kelly_growth"), (2, "double_kelly_growth")):
        np.testing.assert_allclose(
            kelly.growth(share * f, mean, cov), expected[name], rtol=1e-10, atol=1e-12
        )


def test_correlated_equal_bets_shrink_to_the_published_size(oracles):
    case = oracles["kelly_equicorrelation"]
    given, expected = case["inputs"], case["expected"]
    n, rho = given["n"], given["rho"]
    cov = given["sigma"] ** 2 * ((1 - rho) * np.eye(n) + rho)
    f = kelly.fractions(jnp.full((n,), given["mu"]), jnp.array(cov))
    np.testing.assert_allclose(f, expected["f_each"], rtol=1e-10)


def test_the_shrink_for_estimation_error_is_the_published_one(oracles):
    case = oracles["kelly_estimation_shrink"]
    given = [jnp.float64(case["inputs"][k]) for k in ("theta2", "n", "T")]
    np.testing.assert_allclose(kelly.shrink(*given), case["expected"]["c"], rtol=1e-10)
