"""The cost of inventory, its carry, and the Kelly sizes, against published numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm import risk
from diffmm.belief import V
from diffmm.features import frontier
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


def update(params, event, seen, belief):
    state = risk.init(params, config=risk.Config())
    return risk.update(params, state, (event, seen, belief), config=risk.Config())[1]


def decide(event, seen, belief):
    params = bundles.params(jnp.float64).risk
    return update(params, event, seen, belief)


def test_carry_is_over_the_hour_the_published_linear_accrual(oracles):
    """Their 1e-4 in 8 h over 3 h on a mark of 30,000 is 1.125 a unit; ours is bp of notional."""
    case = oracles["funding_carry"]
    event, seen, belief = given_trace()
    hourly = case["inputs"]["funding_rate_8h"] / 8
    given = {"context__funding_rate_1h": hourly, "context__premium_rate_1h": hourly}
    params = bundles.params(jnp.float64, risk__holding_s=3600 * case["inputs"]["hours_held"]).risk

    def a_unit(left_s):
        now = bundles.replace(event, **given, context__settlement_s=left_s)
        return update(params, now, seen, belief).carry_bp / 1e4 * case["inputs"]["mark"]

    left = 3600 * (jnp.arange(20_000.0) + 0.5) / 20_000
    mean = float(jnp.mean(jax.vmap(a_unit)(left)))
    assert mean == pytest.approx(case["expected"]["carry_per_unit_long_3h"], rel=1e-8)


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
    for name in ("convexity", "room_usd", "variance_bp2", "holding_s", "carry_bp", "flow_log"):
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


def earned_bp(told, belief):
    return float(belief.expected_v(told.holding_s) - belief.mean[V] - told.carry_bp)


@pytest.mark.parametrize("rate", [-1e-4, 1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("convexity", [1e-6, 3.0, 40.0])
def test_at_the_target_the_marginal_cost_is_what_holding_earns(rate, convexity):
    event, seen, belief = given_trace()
    event = bundles.replace(
        event, context__funding_rate_1h=rate, context__premium_rate_1h=rate, account__wealth_usd=5.0
    )
    told = update(bundles.params(jnp.float64, risk__convexity=convexity).risk, event, seen, belief)
    earned = earned_bp(told, belief)
    limit = min(float(told.room_usd), float(told.kelly_usd))
    margin = 1e4 * float(risk.marginal_cost(told, told.target_usd))
    if abs(float(told.target_usd)) < 0.999 * limit:
        assert margin == pytest.approx(earned, rel=1e-9)
    else:
        assert abs(margin) <= abs(earned) * (1 + 1e-9)
        assert np.sign(told.target_usd) == np.sign(earned)


def test_the_target_leans_against_who_pays_and_stays_in_the_room_where_nothing_is_risky():
    at = dict(convexity=3.0, room_usd=2e4)
    f = lambda net, variance: float(
        risk.target(
            jnp.float64(net),
            gamma0=jnp.float64(1e-4),
            variance_bp2=jnp.float64(variance),
            **{k: jnp.float64(v) for k, v in at.items()},
        )
    )
    inside = [f(x, 60.0) for x in (-1e-2, -1e-3, 0.0, 1e-3, 1e-2)]
    assert inside[2] == 0
    assert (np.diff(inside) > 0).all()
    np.testing.assert_array_equal(inside, -np.array(inside[::-1]))
    assert f(1.0, 0.0) == pytest.approx(2e4)
    assert f(1e6, 60.0) == pytest.approx(2e4)
    slope = jax.grad(lambda x: risk.target(x, *map(jnp.float64, (1e-4, 3.0, 2e4, 0.0))))
    assert np.isfinite(slope(jnp.float64(0.0)))


def in_mode(belief, crisis):
    log_mode = jnp.log(jnp.array([1 - crisis, crisis]))
    return dataclasses.replace(belief, log_mode=log_mode)


def ceiling(crisis=0.3, frontier=None, **values):
    event, seen, belief = given_trace()
    if frontier is not None:
        seen = dataclasses.replace(seen, frontier=mapped(**frontier))
    given = {f"risk__{k}": v for k, v in values.items()}
    # A volatility that is the same in each mode, so that only the correlation is another.
    level = jnp.full_like(belief.mode_sigma_bp, 0.5)
    belief = dataclasses.replace(in_mode(belief, crisis), mode_sigma_bp=level)
    return float(update(bundles.params(jnp.float64, **given).risk, event, seen, belief).kelly_usd)


def mapped(proximity=0.0, exhaustion=0.0):
    """A frontier that says no more than these, of longs."""
    side = lambda x: jnp.array([x, 0.0], jnp.float64)
    zero = dict.fromkeys(
        (f.name for f in dataclasses.fields(frontier.Frontier)), jnp.zeros((), jnp.float64)
    )
    return frontier.Frontier(
        **zero | {"proximity": side(proximity), "exhaustion": side(exhaustion)}
    )


MANY = {"edge_samples": 1e15}


def test_the_ceiling_of_correlated_fills_is_that_of_two_bets_and_of_one_at_most():
    event, seen, _ = given_trace()
    edge = float(seen.half_spread_bp + event.rules.tick_bp / 2) / 1e4
    variance = 0.25 * 60 / 1e8
    wealth = 0.25 * float(event.account.wealth_usd)
    for calm, crisis in ((0.0, 1e-9), (0.6, 1e-9), (0.2, 0.5)):
        rho = crisis + (1 - crisis) * calm
        cov = variance * jnp.array([[1.0, rho], [rho, 1.0]])
        both = float(jnp.sum(kelly.fractions(jnp.full((2,), edge), cov)))
        found = ceiling(crisis, calm_correlation=calm, **MANY)
        assert found == pytest.approx(wealth * both, rel=1e-8)
    one = wealth * edge / variance
    found = [ceiling(calm_correlation=x, **MANY) for x in (0.0, 0.5, 0.9, 1.0)]
    assert (np.diff(found) < 0).all()
    assert found[-1] == pytest.approx(one, rel=1e-9)
    assert ceiling(1 - 1e-12, calm_correlation=0.0, **MANY) == pytest.approx(one, rel=1e-9)


def test_an_edge_known_from_few_horizons_has_a_lower_ceiling():
    found = [ceiling(edge_samples=n) for n in (1.0, 100.0, 1e4, 1e12)]
    assert (np.diff(found) > 0).all()
    assert found[0] < 0.1 * found[-1]
    assert ceiling(**MANY) == pytest.approx(found[-1], rel=1e-6)


def test_near_liquidations_fills_are_one_bet_and_behind_a_cascade_more_than_two():
    calm = {"calm_correlation": 0.4, **MANY}
    felt = {"proximity_share": 1.0, "recovery_share": 0.8}
    plain = ceiling(**calm)
    near = [ceiling(frontier={"proximity": x}, **calm, **felt) for x in (0.0, 0.5, 1.0)]
    assert near[0] == pytest.approx(plain, rel=1e-12)
    assert (np.diff(near) < 0).all()
    assert near[-1] == pytest.approx(ceiling(calm_correlation=1.0, **MANY), rel=1e-9)
    behind = [ceiling(frontier={"exhaustion": x}, **calm, **felt) for x in (0.0, 0.5, 1.0)]
    assert (np.diff(behind) > 0).all()
    assert behind[-1] > ceiling(calm_correlation=0.0, crisis=1e-12, **MANY)
    as_shipped = ceiling(frontier={"proximity": 0.9, "exhaustion": 0.9}, **calm)
    assert as_shipped == plain


def test_the_shares_of_the_frontier_have_a_gradient_where_it_is_mapped():
    event, seen, belief = given_trace()
    seen = dataclasses.replace(seen, frontier=mapped(0.5, 0.3))
    params = bundles.params(
        jnp.float64, risk__proximity_share=0.3, risk__recovery_share=0.2, risk__calm_correlation=0.4
    ).risk
    slopes = jax.grad(lambda p: update(p, event, seen, in_mode(belief, 0.2)).kelly_usd)(params)
    assert float(slopes.proximity_share) < 0
    assert float(slopes.recovery_share) > 0
    assert float(slopes.calm_correlation) < 0


def spiked(rate, **context):
    """The standard market with a rate from the middle on, half a minute before the settlement."""
    batch = bundles.stream()
    late = np.arange(bundles.ROWS) >= bundles.ROWS // 2
    values = np.where(late, rate, 0.0)
    left = np.where(late, 42.0 - np.arange(bundles.ROWS), 1800.0)
    given = {"funding_rate_1h": values, "premium_rate_1h": values, "settlement_s": left}
    return bundles.replace(batch, **{f"context__{k}": v for k, v in (given | context).items()})


def distances_bp(t):
    """Of the sizes on average, and of the nearest quote that is worth something: bid and ask."""
    size = np.asarray(t.allocation.size_usd)
    cut = lambda x: np.asarray(x)[:, :, : size.shape[2]]
    away = cut(t.pricing.price_bp) - np.asarray(t.features.mid_bp)[:, None, None]
    away = np.array([-1, 1])[None, :, None] * away
    pays = cut(t.pricing.is_valid) & (cut(t.pricing.epnl_usd) > 0)
    return (size * away).sum(axis=2) / size.sum(axis=2), np.where(pays, away, 99.0).min(axis=2)


def test_a_funding_spike_on_a_tape_moves_the_payer_s_quotes_deeper_and_the_other_s_closer():
    half, rates = bundles.ROWS // 2, (-3e-4, -1e-4, 0.0, 1e-4, 3e-4)
    traces = [bundles.trace(batch=spiked(x)) for x in rates]
    sizes, nearest = (np.stack(x) for x in zip(*map(distances_bp, traces), strict=True))
    assert (np.ptp(sizes[:, :half], axis=0) == 0).all()
    outward = np.array([1, -1])
    assert (np.diff(nearest[:, half:], axis=0) * outward >= 0).all()
    for found in (sizes, nearest):
        moved = np.diff(found[:, half:].mean(axis=1), axis=0) * outward
        assert (moved[1:, 0] > 0.1).all()
        assert (moved[:-1, 1] > 0.1).all()
        assert (moved >= 0).all()
    down, up = (np.asarray(traces[k].pricing.carry_bp)[half:] for k in (1, 3))
    np.testing.assert_array_equal(up, -down)
    np.testing.assert_array_equal(up[:, 0], -up[:, 1])
    assert (up[:, 0] > 0).all()


def test_without_a_context_the_quotes_are_those_of_a_rate_of_zero_to_the_bit():
    ones = np.ones(bundles.ROWS)
    absent = spiked(9.0, is_valid=0 * ones, settlement_s=0 * ones, open_interest_usd=7 * ones)
    absent = bundles.trace(batch=absent)
    zero = bundles.trace(batch=spiked(0.0))
    for a, b in zip(
        jax.tree.leaves((absent.pricing, absent.allocation, absent.execution)),
        jax.tree.leaves((zero.pricing, zero.allocation, zero.execution)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
