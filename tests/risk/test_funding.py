"""The rate foreseen, the settlements met, the flow around them: against simulation and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm import core
from diffmm.market import Context
from diffmm.risk import funding


HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def params(**values):
    given = core.defaults(funding.Params, jnp.float64)
    named = {path: jnp.float64(values.pop(path, x)) for path, x in vars(given).items()}
    assert not values
    return funding.Params(**named)


def context(venue, left_s, premium=None, is_valid=True):
    f = jnp.float64
    premium = venue if premium is None else premium
    return Context(f(venue), f(premium), f(1e8), f(0.0), f(left_s), jnp.array(is_valid))


def test_before_the_stamp_a_position_pays_the_published_full_stamp(oracles):
    case = oracles["funding_carry"]
    given = case["inputs"]
    at = params(interval_s=8 * HOUR_S)
    carry = funding.carry_bp(at, jnp.float64(given["funding_rate_8h"] / 8), 0.0, jnp.float64(60.0))
    paid = float(carry) / 1e4 * given["q"] * given["mark"]
    assert -paid == pytest.approx(case["expected"]["payment_full"], rel=1e-12)


@pytest.mark.parametrize("holding_s", [5.0, 60.0, 1800.0, 3 * HOUR_S, 40 * HOUR_S])
def test_over_the_hour_the_carry_is_that_of_a_rate_that_accrues_evenly(holding_s):
    n = 200_000
    left = HOUR_S * (jnp.arange(float(n)) + 0.5) / n
    mean = jnp.mean(funding.paid_s(params(), left, jnp.float64(holding_s)))
    assert float(mean) == pytest.approx(holding_s, rel=1e-6)


@pytest.mark.parametrize("left_s", [1.0, 60.0, 1800.0, 3599.0])
@pytest.mark.parametrize("holding_s", [30.0, 900.0, 2 * HOUR_S])
def test_it_is_the_mean_number_of_settlements_that_a_position_meets(left_s, holding_s):
    held = np.random.default_rng(0).exponential(holding_s, 400_000)
    met = np.where(held >= left_s, 1 + np.floor((held - left_s) / HOUR_S), 0.0)
    expected = float(funding.paid_s(params(), jnp.float64(left_s), jnp.float64(holding_s))) / HOUR_S
    error = met.std() / np.sqrt(met.size)
    assert abs(met.mean() - expected) <= 4 * error + 1e-5


def test_far_from_the_hour_it_pays_nothing_and_just_before_it_the_whole_hour():
    left = jnp.array([1800.0, 600.0, 60.0, 1.0, 0.0])
    seconds = np.asarray(funding.paid_s(params(), left, jnp.float64(60.0)))
    assert (np.diff(seconds) > 0).all()
    assert seconds[0] < 1e-6
    assert seconds[-1] == pytest.approx(HOUR_S, rel=1e-12)


MIXED = {"premium_share": 0.5, "average_share": 0.3}


def test_as_the_settlement_nears_the_venue_s_forecast_dominates():
    at, left = params(**MIXED), jnp.array([3600.0, 1800.0, 600.0, 60.0, 0.0])
    told = funding.forecast_1h(at, jnp.float64(1e-4), jnp.float64(5e-4), jnp.float64(-2e-4), left)
    away = np.abs(np.asarray(told) - 1e-4)
    assert (np.diff(away) < 0).all()
    assert away[0] > 1e-5
    assert away[-1] == 0


def test_as_shipped_the_forecast_is_the_venue_s_to_the_bit():
    state = funding.init(params())
    for venue, premium, left in ((1e-4, 5e-4, 900.0), (3e-4, -2e-4, 400.0)):
        state, rate = funding.update(params(), state, context(venue, left, premium))
        assert float(rate) == venue


def test_where_the_venue_tells_no_premium_only_the_mean_of_its_own_forecasts_is_more():
    one = funding.update(params(**MIXED), funding.init(params()), context(1e-4, 900.0))[1]
    assert float(one) == 1e-4


def test_an_absent_context_is_no_rate_and_is_not_remembered():
    start = funding.init(params())
    state, rate = funding.update(params(**MIXED), start, context(9.0, 900.0, is_valid=False))
    assert float(rate) == 0
    assert not bool(state.is_known)
    assert float(state.average_1h) == 0


def test_the_mean_rate_moves_by_the_clock_across_the_hour_and_not_at_a_repeat():
    at = params(average_memory_s=1000.0)
    state, _ = funding.update(at, funding.init(at), context(1e-4, 100.0))
    state, _ = funding.update(at, state, context(3e-4, 3400.0))
    expected = 1e-4 + 2e-4 * (1 - np.exp(-300 / 1000))
    assert float(state.average_1h) == pytest.approx(expected, rel=1e-12)
    again, _ = funding.update(at, state, context(3e-4, 3400.0))
    assert float(again.average_1h) == float(state.average_1h)


def planted(seed, hours=4000):
    """Hours of a mean-reverting premium: at a quarter past, what is known, and what is settled."""
    rng, steps = np.random.default_rng(seed), 60
    decay, mean, sd = np.exp(-1 / 40), 2e-4, 4e-4
    x = np.empty(hours * steps)
    x[0] = mean
    for i, noise in enumerate(sd * np.sqrt(1 - decay**2) * rng.standard_normal(x.size - 1)):
        x[i + 1] = mean + decay * (x[i] - mean) + noise
    hour = x.reshape(hours, steps)
    return hour[:, :15].mean(1), hour[:, 14], np.full(hours, mean), hour.mean(1)


def squared_error(known, **shares):
    venue, premium, average, settled = known
    told = funding.forecast_1h(params(**shares), venue, premium, average, 0.75 * HOUR_S)
    return float(np.mean((np.asarray(told) - settled) ** 2))


def test_a_planted_premium_is_foreseen_better_than_by_the_venue_alone():
    known = planted(0)
    alone = squared_error(known)
    assert squared_error(known, premium_share=0.55) < 0.9 * alone
    assert squared_error(known, average_share=0.5) < 0.8 * alone
    assert squared_error(known, premium_share=0.55, average_share=0.8) < 0.65 * alone


FLOW = {"flow_gain": 0.5}


def flow(left_s, rate=1e-3, **values):
    return funding.flow_log(params(**values), jnp.float64(rate), left_s, jnp.float64(0.5))


def test_payers_sell_more_and_more_before_the_settlement_and_buy_back_after_it():
    left = jnp.array([1800.0, 601.0, 300.0, 1.0, 3599.0, 3540.0, 3479.0])
    told = np.asarray(flow(left, **FLOW))
    assert told[0] == told[1] == told[-1] == 0
    assert 0 < told[2] < told[3] < 0.5
    assert told[4] < told[5] < 0
    np.testing.assert_array_equal(flow(left, -1e-3, **FLOW), -told)
    assert (np.asarray(flow(left)) == 0).all()


def test_the_flow_grows_with_the_payment_up_to_the_gain():
    told = [float(flow(jnp.float64(0.0), rate, **FLOW)) for rate in (1e-5, 1e-4, 1e-3, 4e-2)]
    assert (np.diff(told) > 0).all()
    assert told[-1] == pytest.approx(0.5)


def whole(at, rate, premium, average, left_s, holding_s, sigma):
    told = funding.forecast_1h(at, rate, premium, average, left_s)
    carry = funding.carry_bp(at, told, left_s, holding_s)
    return carry + funding.flow_log(at, told, left_s, sigma)


def test_the_gradient_equals_finite_differences():
    at, given = params(**MIXED, **FLOW), [1e-4, 5e-4, -2e-4, 200.0, 90.0, 0.5]
    leaves, structure = jax.tree.flatten((at, *map(jnp.float64, given)))
    value = lambda xs: float(whole(*jax.tree.unflatten(structure, xs)))
    gradient = jax.grad(lambda t: whole(*t))
    slopes = jax.tree.leaves(gradient(jax.tree.unflatten(structure, leaves)))
    for i, (x, slope) in enumerate(zip(leaves, slopes, strict=True)):
        h = 1e-6 * (abs(float(x)) or 1.0)
        moved = [value([*leaves[:i], x + c * h, *leaves[i + 1 :]]) for c in (1, -1)]
        np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * h), rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize("left_s", [0.0, 1e-3, 1800.0, 3600.0])
@pytest.mark.parametrize("holding_s", [1e-2, 60.0, 1e9])
@pytest.mark.parametrize(("rate", "sigma"), [(0.04, 0.0), (-0.04, 1e4), (0.0, 0.0)])
def test_the_gradient_is_finite_at_extremes_in_single_precision(left_s, holding_s, rate, sigma):
    single = jax.tree.map(np.float32, (params(**MIXED, **FLOW), rate, 0.04, -0.04, left_s))
    single = (*single, np.float32(holding_s), np.float32(sigma))
    with jax.enable_x64(False):
        given = jax.tree.map(jnp.asarray, single)
        assert bool(core.all_finite(jax.grad(lambda t: whole(*t))(given)))
