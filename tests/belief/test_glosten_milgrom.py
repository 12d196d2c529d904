"""What a fill says about fair value: published numbers, quadrature, and the invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from diffmm.belief.glosten_milgrom import passed, posterior


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def fill(mean, var, price, sign, informed, reach, noise):
    numbers = [jnp.float64(x) for x in (mean, var, price, sign, informed, reach, noise)]
    out = posterior(*numbers)
    return float(out.likelihood), float(out.mean_bp), float(out.var_bp2)


@pytest.mark.parametrize("name", ["gm_gaussian_own_fill_sn0.0", "gm_gaussian_own_fill_sn0.2"])
def test_a_lifted_ask_gives_the_published_posterior(oracles, name):
    case = oracles[name]
    given, expected = case["inputs"], case["expected"]
    # No noise is a limit of ours: the noise must be above zero.
    noise = given["noise_sd"] or 1e-9
    found = fill(
        given["m"],
        given["P"],
        given["ask"],
        given["side"],
        given["alpha"],
        given["uninformed_buy_prob"],
        noise,
    )
    np.testing.assert_allclose(found, [expected[k] for k in ("Z", "mean", "var")], rtol=1e-9)
    assert found[2] > given["P"], "a fill may raise the variance, and does here"


def by_quadrature(mean, var, price, sign, informed, reach, noise):
    sd = var**0.5
    weight = lambda v: (
        (1 - informed) * reach + informed * stats.norm.cdf(sign * (v - price) / noise)
    )
    prior = lambda v: stats.norm.pdf(v, mean, sd)
    span = (mean - 12 * sd, mean + 12 * sd)
    over = lambda f: integrate.quad(
        lambda v: f(v) * prior(v) * weight(v), *span, points=[price], epsabs=1e-13, limit=400
    )[0]
    total = over(lambda v: 1.0)
    m = over(lambda v: v) / total
    return total, m, over(lambda v: (v - m) ** 2) / total


@pytest.mark.parametrize("seed", range(8))
def test_the_posterior_is_the_quadrature_s(seed):
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1.0, 1.0])
    case = (
        rng.normal(),
        rng.uniform(0.05, 2),
        rng.normal(),
        sign,
        rng.uniform(0.02, 0.98),
        rng.uniform(0.01, 0.5),
        rng.uniform(0.05, 1),
    )
    np.testing.assert_allclose(fill(*case), by_quadrature(*case), rtol=1e-7)


def test_the_regret_free_ask_is_the_published_one(oracles):
    case = oracles["gm_gaussian_regret_free_ask"]
    given = case["inputs"]
    regret = lambda a: (
        fill(given["m"], given["P"], a, 1, given["alpha"], given["uninf"], 1e-9)[1] - a
    )
    ask = optimize.brentq(regret, given["m"], given["m"] + 1, xtol=1e-12)
    np.testing.assert_allclose(ask, case["expected"]["ask"], rtol=1e-10)


def test_the_likelihood_prices_a_binary_value_as_glosten_and_milgrom_do(oracles):
    """Ours is Gaussian; its likelihood at a certain V is that of the published binary game."""
    case = oracles["glosten_milgrom_binary"]
    given, expected = case["inputs"], case["expected"]
    high, low = given["VH"], given["VL"]

    def after(p, sign):
        at = lambda v: fill(v, 1e-24, (high + low) / 2, sign, given["mu"], 0.5, 1e-9)[0]
        return p * at(high) / (p * at(high) + (1 - p) * at(low))

    value = lambda p: p * high + (1 - p) * low
    np.testing.assert_allclose(value(after(given["prior"], 1)), expected["ask"], rtol=1e-9)
    np.testing.assert_allclose(value(after(given["prior"], -1)), expected["bid"], rtol=1e-9)
    np.testing.assert_allclose(value(after(given["prior2"], 1)), expected["ask_p06"], rtol=1e-9)
    np.testing.assert_allclose(value(after(given["prior2"], -1)), expected["bid_p06"], rtol=1e-9)
    p, path = given["prior"], []
    for side in given["seq"]:
        p = after(p, 1 if side == "buy" else -1)
        path.append(p)
    np.testing.assert_allclose(path, expected["path"], rtol=1e-9)


CASE = (0.2, 0.5, 0.6, 1.0, 0.4, 0.3, 0.2)


def test_an_uninformed_fill_says_nothing():
    _, mean, var = fill(*CASE[:4], 0.0, *CASE[5:])
    assert (mean, var) == pytest.approx(CASE[:2], rel=1e-12)


def test_a_certain_value_is_not_moved():
    _, mean, var = fill(CASE[0], 1e-18, *CASE[2:])
    assert mean == pytest.approx(CASE[0], abs=1e-9)
    assert var == pytest.approx(1e-18, rel=1e-6)


def test_a_buy_raises_and_a_sale_lowers_and_more_so_the_more_takers_are_informed():
    shifts = [fill(*CASE[:4], pi, *CASE[5:])[1] - CASE[0] for pi in (0.1, 0.3, 0.6, 0.9)]
    assert shifts[0] > 0
    assert np.all(np.diff(shifts) > 0)
    mirrored = fill(-CASE[0], CASE[1], -CASE[2], -1.0, *CASE[4:])
    direct = fill(*CASE)
    np.testing.assert_allclose(mirrored, [direct[0], -direct[1], direct[2]], rtol=1e-12)


def test_a_sure_probit_fill_never_raises_the_variance():
    for price in np.linspace(-2, 2, 9):
        assert fill(0.0, 0.25, price, 1.0, 1 - 1e-12, 0.5, 0.3)[2] <= 0.25


def test_a_fill_that_nobody_could_have_made_says_nothing_and_has_a_gradient():
    with jax.enable_x64(False):

        def moment(price):
            one = jnp.float32
            out = posterior(one(0), one(0.2), price, one(1), one(0.3), one(0), one(0.3))
            return out.mean_bp + out.var_bp2

        value, slope = jax.value_and_grad(moment)(jnp.float32(5e3))
    assert float(value) == pytest.approx(0.2)
    assert np.isfinite(slope)


@pytest.mark.parametrize("seed", range(4))
def test_a_taker_who_stops_short_gives_the_other_outcome_of_the_same_draw(seed):
    """Mean and variance by the law of total probability: prior = filled or not filled."""
    rng = np.random.default_rng(seed)
    mean, sd, noise = rng.normal(), rng.uniform(0.3, 2), rng.uniform(0.2, 1.5)
    price, sign = mean + rng.normal(), rng.choice([-1.0, 1.0])
    informed, reach = rng.uniform(0.05, 0.9), rng.uniform(0.05, 0.9)
    given = [jnp.float64(x) for x in (mean, sd**2, price, sign, informed, reach)]
    hit = posterior(*given, jnp.float64(noise))
    miss = passed(*given, jnp.float64(1.0), jnp.float64(noise))
    assert float(hit.likelihood + miss.likelihood) == pytest.approx(1, abs=1e-9)
    both = [(float(x.likelihood), float(x.mean_bp), float(x.var_bp2)) for x in (hit, miss)]
    assert sum(p * m for p, m, _ in both) == pytest.approx(mean, abs=1e-9)
    square = sum(p * (v + m**2) for p, m, v in both)
    assert square == pytest.approx(sd**2 + mean**2, rel=1e-9)


CASES = {"absent": None, "at the front": (0.4, 1.0), "behind a queue": (0.1, 0.5)}


@pytest.mark.parametrize("case", CASES)
def test_after_one_informed_taker_v_is_where_the_posterior_says(case):
    """`model.md`, section 2: with our quote absent, resting, and resting behind a queue.

    A taker comes, informed or not, and fills us or stops short; V drawn from what we then believe
    and the true V must be alike. Nearly half of those that get to us know more.
    """
    n, pi, noise = 200_000, 0.3, 0.4
    rng = np.random.default_rng(7)
    price = 0.8
    v = rng.normal(size=n)
    means, variances = np.zeros(n), np.ones(n)
    if CASES[case] is not None:
        u, g = CASES[case]
        knows = rng.uniform(size=n) < pi
        wants = v + noise * rng.normal(size=n) > price
        gets = np.where(knows, wants & (rng.uniform(size=n) < g), rng.uniform(size=n) < u)
        one = [jnp.float64(x) for x in (0, 1, price, 1)]
        # An informed taker gets through the queue with chance g: the mixture that fills us.
        share = pi * g / (pi * g + 1 - pi)
        hit = posterior(*one, *[jnp.float64(x) for x in (share, u, noise)])
        miss = passed(*one, *[jnp.float64(x) for x in (pi, u, g, noise)])
        means = np.where(gets, hit.mean_bp, miss.mean_bp)
        variances = np.where(gets, hit.var_bp2, miss.var_bp2)
        blind = stats.kstest(v[gets], "norm").statistic
        assert blind > 0.1, "a fill that is not evidence must show"
        assert stats.kstest(v[~gets], "norm").statistic > 0.02, "nor one that did not come"
    places = stats.norm.cdf((v - means) / np.sqrt(variances))
    assert ((v - means) ** 2 / variances).mean() == pytest.approx(1, abs=0.015)
    # Two moments of a mixture are kept, so the law is not exactly uniform.
    assert stats.kstest(places, "uniform").statistic < 0.015
