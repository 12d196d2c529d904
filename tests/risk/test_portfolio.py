"""Several instruments under one budget: laws of the joint covariance, prices and ceilings."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm import pricing, risk
from diffmm.core import defaults
from diffmm.risk import portfolio


K = 3


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def params(**values):
    return bundles.replace(defaults(portfolio.Params, jnp.float64), **values)


CONFIG = portfolio.Config.small()
F = lambda x: jnp.asarray(x, jnp.float64)


@jax.jit
def fold(p, moves, sds, valid):
    """Correlations after a stream of innovations, and the state."""
    dtype = moves.dtype
    p = jax.tree.map(lambda x: x.astype(dtype), p)
    step = lambda s, x: portfolio.update(p, s, portfolio.Innovations(*x), config=CONFIG)
    state, found = jax.lax.scan(step, portfolio.init(p, config=CONFIG), (moves, sds, valid))
    return state, found[-1]


def joint_moves(rho, n=4000, seed=0):
    """Innovations of equal correlation, Student with five degrees of freedom, and their spreads."""
    rng = np.random.default_rng(seed)
    sd = np.array([1.0, 3.0, 0.2])
    z = rng.normal(size=(n, K)) @ np.linalg.cholesky((1 - rho) * np.eye(K) + rho).T
    z = z / np.sqrt(rng.chisquare(5, (n, 1)) / 5)
    return z * sd, np.tile(sd, (n, 1)), np.ones((n, K), bool)


def held(q, variance=(90.0, 200.0, 40.0), crisis=0.0, valid=True, kelly=1e4, gamma0=4e-5):
    every = lambda x, kind=float: jnp.asarray(np.broadcast_to(x, len(q)), kind)
    return portfolio.Held(
        F(q), every(variance), every(kelly), every(crisis), every(valid, bool), F(gamma0)
    )


def known(rho=0.6):
    return fold(params(memory_s=5000.0), *joint_moves(rho))[0]


share = jax.jit(portfolio.share)


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.6, 0.95])
def test_the_correlation_of_the_innovations_is_found(rho):
    """A memory of 2,000 observations: four standard errors are 4 (1 - rho^2) / sqrt(2,000)."""
    found = fold(params(memory_s=5000.0), *joint_moves(rho))[1]
    off = np.asarray(found)[~np.eye(K, dtype=bool)]
    np.testing.assert_allclose(off, rho, atol=4 * (1 - rho**2) / 2000**0.5 + 1e-3)


def test_one_jump_of_one_instrument_does_not_undo_what_was_learnt():
    moves, sds, valid = joint_moves(0.6)
    plain = fold(params(), moves, sds, valid)[1]
    moves[-1] = [1e3 * sds[-1, 0], 0.0, 0.0]
    jumped = fold(params(), moves, sds, valid)[1]
    assert np.abs(np.asarray(jumped - plain)).max() < 0.1


EXTREMES = {
    "constant": lambda n: np.zeros((n, K)),
    "equal": lambda n: np.repeat(np.random.default_rng(0).normal(size=(n, 1)), K, axis=1),
    "opposed": lambda n: np.random.default_rng(0).normal(size=(n, 1)) * np.array([[1, -1, 1]]),
    "huge": lambda n: np.full((n, K), 1e30),
    "tiny": lambda n: np.full((n, K), 1e-30),
    "one wild": lambda n: np.full((n, K), [1e30, 1e-30, 1.0]),
}


@pytest.mark.parametrize("memory_s", [0.01, 600.0, 1e9])
@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("crisis", [0.0, 0.5, 1.0])
def test_the_matrix_is_positive_definite_in_single_precision_whatever_comes(name, memory_s, crisis):
    n = 300
    moves = jnp.asarray(EXTREMES[name](n), jnp.float32)
    p = jax.tree.map(lambda x: x.astype(jnp.float32), params(memory_s=memory_s))
    state, _ = fold(p, moves, jnp.ones_like(moves), jnp.ones((n, K), bool))
    at = jax.tree.map(
        lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x,
        held([1e4, -1e4, 1e4], crisis=crisis),
    )
    out = portfolio.share(state, at)
    rho = np.asarray(out.correlation)
    assert np.linalg.eigvalsh(rho.astype(float)).min() > 0
    np.testing.assert_array_equal(np.diag(rho), 1)
    np.testing.assert_array_equal(rho, rho.T)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(out))


def test_in_a_crisis_all_is_one_bet_and_halfway_there_halfway():
    state, q = known(0.2), [1e3, 2e3, -500.0]
    calm, half, crisis = (share(state, held(q, crisis=x)) for x in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(crisis.correlation, 1, atol=0.01)
    middle = (calm.correlation + crisis.correlation) / 2
    np.testing.assert_allclose(half.correlation, middle, rtol=1e-12)
    as_one = abs(np.sqrt([90.0, 200.0, 40.0]) @ np.array(q)) / 1e4
    assert float(crisis.risk_usd) == pytest.approx(as_one, rel=0.01)
    assert float(calm.risk_usd) != pytest.approx(as_one, rel=0.1)


def test_a_missing_instrument_keeps_its_variance_and_is_correlated_with_none():
    q = [1e3, 2e3, 3e3]
    out = share(known(), held(q, valid=[True, True, False], crisis=[0.1, 0.3, 0.9]))
    two = share(known(), held([1e3, 2e3, 0.0], valid=[True, True, False], crisis=0.2))
    np.testing.assert_array_equal(out.correlation[2], [0, 0, 1])
    assert out.cross_usd[2] == out.price_bp[2] == 0
    assert float(out.cov_bp2[2, 2]) == pytest.approx(40)
    np.testing.assert_allclose(out.cross_usd[:2], two.cross_usd[:2], rtol=1e-12)


def test_what_is_not_seen_fades_and_what_it_would_have_said_does_not_matter():
    moves, sds, valid = joint_moves(0.8)
    gone = valid.copy()
    gone[2000:, 1] = False
    garbage = moves.copy()
    garbage[2000:, 1] = np.nan
    p = params(memory_s=600.0)
    before = fold(p, moves[:2000], sds[:2000], valid[:2000])[1]
    after = fold(p, garbage, sds, gone)[1]
    assert abs(before[0, 1]) > 0.5
    assert abs(after[0, 1]) < 1e-3
    assert abs(after[0, 2]) > 0.5


def test_the_least_spread_or_none_counts_as_not_seen():
    moves, sds, valid = joint_moves(0.8, n=50)
    sds[:, 1] = 0.0
    found = fold(params(), moves, sds, valid)[1]
    assert found[0, 1] == 0
    assert np.isfinite(found).all()


def two(rho, sd=(9.0, 9.0)):
    sd = np.array(sd)
    return F(np.outer(sd, sd) * np.array([[1, rho], [rho, 1]]))


def budget(q, cross, **values):
    base = {
        "position_usd": q,
        "cross_usd": cross,
        "gamma0": 4e-5,
        "convexity": 0.0,
        "room_usd": 2e4,
        "variance_bp2": 81.0,
        "holding_s": 60.0,
        "carry_bp": 0.0,
        "kelly_usd": 1e4,
        "target_usd": 0.0,
        "flow_log": 0.0,
    }
    return risk.RiskBudget(**{k: F(v) for k, v in (base | values).items()})


def test_at_correlation_one_a_position_in_a_costs_b_exactly_what_the_same_one_in_b_would():
    """Equal spreads, no bend: the whole cost of any change of B's position, and its ceiling."""
    for q in (-7e3, 500.0, 1.2e4):
        beside = float(portfolio.cross_usd(two(1.0), F([q, 0.0]))[1])
        assert beside == pytest.approx(q, rel=1e-12)
        apart, inside = budget(0.0, beside), budget(q, 0.0)
        for change in (-300.0, 20.0, 5e3):
            cost = [
                risk.cost_usd(at, at.position_usd + change)
                - risk.cost_usd(at, at.position_usd)
                + risk.cross_bp(at) * change / 1e4
                for at in (apart, inside)
            ]
            assert float(cost[0]) == pytest.approx(float(cost[1]), rel=1e-9)
        assert float(apart.exposure_usd) == pytest.approx(float(inside.exposure_usd), rel=1e-12)


def test_a_long_position_elsewhere_makes_bids_worse_and_asks_better_through_the_surface():
    batch, t = bundles.stream(), bundles.standard(True)
    event, seen, told = (events.row(x, 5) for x in (batch, t.features, t.belief))
    p = bundles.params(jnp.float64, risk__convexity=1e-12)

    def inventory_bp(q, cross):
        at = bundles.replace(event, account__position_usd=q, account__cross_usd=cross)
        known_risk = risk.update(
            p.risk, risk.init(p.risk, config=risk.Config()), (at, seen, told), config=risk.Config()
        )[1]
        given = (at, seen, told, known_risk, p.belief)
        surface = pricing.update(p.pricing, pricing.State(), given, config=pricing.Config.small())
        return np.asarray(surface[1].inventory_bp)[:, 0]

    flat, beside, inside = inventory_bp(0, 0), inventory_bp(0, 2e3), inventory_bp(2e3, 0)
    np.testing.assert_allclose(beside, inside, rtol=1e-6)
    assert beside[0] > flat[0]
    assert beside[1] < flat[1]
    np.testing.assert_allclose(inventory_bp(0, -2e3)[::-1], beside, rtol=1e-9)


def test_the_parts_of_the_cost_are_those_of_the_joint_quadratic():
    """`c_i` is the slope of C(q) less what the own variance gives; C is half the sum of both."""
    state, q = known(), F([3e3, -1e3, 2e3])
    at = lambda q: share(state, held(q))
    slope = jax.grad(lambda x: at(x).cost_usd)(q)
    out = at(q)
    own = 4e-5 * jnp.diagonal(out.cov_bp2) * q / 1e8
    np.testing.assert_allclose(out.price_bp / 1e4 + own, slope, rtol=1e-9)
    np.testing.assert_allclose(jnp.sum(q * slope) / 2, out.cost_usd, rtol=1e-9)
    assert float(out.risk_usd) == pytest.approx(
        float(np.sqrt(q @ out.cov_bp2 @ q)) / 1e4, rel=1e-12
    )
    # What an engine makes of `cross_usd` is that same price.
    for i in range(K):
        mine = budget(q[i], out.cross_usd[i], variance_bp2=out.cov_bp2[i, i])
        assert float(risk.cross_bp(mine)) == pytest.approx(float(out.price_bp[i]), rel=1e-12)


def test_uncorrelated_instruments_are_told_nothing_at_all():
    out = share(portfolio.init(params(), config=CONFIG), held([1e4, -1e4, 5e3]))
    np.testing.assert_array_equal(out.cross_usd, 0)
    np.testing.assert_array_equal(out.price_bp, 0)
    np.testing.assert_array_equal(out.most_usd, 1e4)
    assert float(out.risk_usd) == float(out.apart_usd)


def test_one_instrument_is_told_nothing_at_all():
    config = portfolio.Config(1)
    state = portfolio.init(params(), config=config)
    moved = portfolio.Innovations(F([3.0]), F([1.0]), jnp.array([True]))
    state, _ = portfolio.update(params(), state, moved, config=config)
    out = portfolio.share(state, held([1e4], variance=90.0, crisis=0.7))
    assert out.cross_usd[0] == out.price_bp[0] == 0
    assert float(out.risk_usd) == pytest.approx(1e4 * 90**0.5 / 1e4, rel=1e-12)
    at = budget(1e4, 0.0, variance_bp2=90.0)
    assert float(out.cost_usd) == pytest.approx(float(risk.cost_usd(at, F(1e4))), rel=1e-12)


def test_mirrored_moves_and_positions_give_mirrored_prices():
    moves, sds, valid = joint_moves(0.6, 500)
    q = np.array([3e3, -1e3, 2e3])
    one = share(fold(params(), moves, sds, valid)[0], held(q))
    other = share(fold(params(), -moves, sds, valid)[0], held(-q))
    np.testing.assert_array_equal(one.correlation, other.correlation)
    np.testing.assert_allclose(one.cross_usd, -other.cross_usd, rtol=1e-12)
    np.testing.assert_allclose(one.price_bp, -other.price_bp, rtol=1e-12)
    np.testing.assert_allclose(one.most_usd, other.most_usd[:, ::-1], rtol=1e-12)
    assert float(one.risk_usd) == pytest.approx(float(other.risk_usd), rel=1e-12)


@pytest.mark.parametrize("order", list(itertools.permutations(range(K))))
def test_the_order_of_the_instruments_does_not_matter(order):
    moves, sds, valid = joint_moves(0.6, 500)
    moves[:, 2] *= -1
    valid[::3, 1] = False
    q, order = np.array([3e3, -1e3, 2e3]), list(order)
    variance = np.array([90.0, 200.0, 40.0])
    crisis = np.array([0.1, 0.2, 0.6])
    run = lambda o: share(
        fold(params(), moves[:, o], sds[:, o], valid[:, o])[0],
        held(q[o], variance[o], crisis[o]),
    )
    plain, permuted = run([0, 1, 2]), run(order)
    for name in ("cross_usd", "price_bp", "most_usd"):
        a, b = getattr(plain, name)[np.array(order)], getattr(permuted, name)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    a = plain.correlation[np.ix_(order, order)]
    np.testing.assert_allclose(a, permuted.correlation, rtol=1e-9, atol=1e-12)
    assert float(plain.risk_usd) == pytest.approx(float(permuted.risk_usd), rel=1e-9)


def test_twice_the_wealth_halves_the_price_and_the_cost_and_changes_nothing_else():
    state, q = known(), [3e3, -1e3, 2e3]
    one, two = (share(state, held(q, gamma0=g)) for g in (4e-5, 2e-5))
    for name in ("price_bp", "cost_usd"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name) / 2, rtol=1e-12)
    for name in ("correlation", "cov_bp2", "cross_usd", "most_usd", "risk_usd", "apart_usd"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def at_rest(cov, kelly_usd):
    """Where equal bets come to rest that each fill what is left of their ceiling, in turn."""
    q = np.zeros(len(kelly_usd))
    for _ in range(500):
        for i in range(len(q)):
            q[i] = kelly_usd[i] - float(portfolio.cross_usd(cov, F(q))[i])
    return q


def test_bets_that_fill_their_ceilings_are_the_published_kelly_bets_and_shrink_together(oracles):
    case = oracles["kelly_equicorrelation"]
    given, n = case["inputs"], case["inputs"]["n"]
    cov = lambda rho: given["sigma"] ** 2 * F((1 - rho) * np.eye(n) + rho)
    alone = np.full(n, given["mu"] / given["sigma"] ** 2)
    found = at_rest(cov(given["rho"]), alone)
    np.testing.assert_allclose(found, case["expected"]["f_each"], rtol=1e-8)


def test_at_correlation_one_all_ceilings_together_are_one_bet():
    for first in (0.0, 2e3, 1e4):
        rest = 1e4 - float(portfolio.cross_usd(two(1.0), F([first, 0.0]))[1])
        assert first + rest == pytest.approx(1e4, rel=1e-12)
    out = share(known(), held([8e3, 0.0, 0.0], variance=81.0, crisis=1.0))
    assert float(out.most_usd[1, 1]) == pytest.approx(2e3, rel=0.02)
    assert float(out.most_usd[1, 0]) == pytest.approx(1.8e4, rel=0.02)


def test_the_price_of_the_joint_ceiling_is_what_a_dollar_more_takes_of_the_others_room():
    """By differences: objective = sum of dual x room left of every other instrument."""
    cov = np.asarray(share(known(), held([0.0] * K)).cov_bp2)
    dual = np.array([[0.4, 0.0], [0.0, 0.7], [0.2, 0.1]])
    q = np.array([3e3, -1e3, 2e3])

    def left(x):
        cross = np.asarray(portfolio.cross_usd(F(cov), F(x)))
        return np.sum(dual[:, 0] * (1e4 - x - cross) + dual[:, 1] * (1e4 + x + cross))

    found = portfolio.budget_price(F(cov), F(dual))
    for j in range(K):
        step = np.eye(K)[j]
        loss = left(q) - left(q + step)
        own = dual[j, 0] - dual[j, 1]
        assert float(found[j]) == pytest.approx(loss - own, abs=1e-9)


def test_gradients_are_finite_at_the_ends_and_equal_to_differences_between():
    moves, sds, valid = (x[:40] for x in joint_moves(0.5))

    def joint(p, q, moves, variance, crisis):
        out = share(fold(p, moves, F(sds), jnp.asarray(valid))[0], held(q, variance, crisis))
        return out.risk_usd + out.cost_usd + jnp.sum(out.price_bp * jnp.arange(1.0, K + 1))

    every = jax.grad(joint, argnums=(0, 1, 2))
    variance = F([90.0, 200.0, 40.0])
    for q, m, c in (([0.0] * K, 0 * moves, 0.0), ([1e4, 0, 0], 1e20 * moves, 1.0)):
        for leaf in jax.tree.leaves(every(params(), F(q), F(m), variance, c)):
            assert np.isfinite(leaf).all()
    q = F([3e3, -1e3, 2e3])
    given = (params(), q, F(moves), variance, 0.2)
    slopes = every(*given)
    for name in ("memory_s", "clock_s", "tail"):
        x = float(getattr(params(), name))
        up, down = (joint(params(**{name: x * (1 + e)}), *given[1:]) for e in (1e-5, -1e-5))
        assert float(getattr(slopes[0], name)) == pytest.approx(
            float(up - down) / (2e-5 * x), rel=1e-5, abs=1e-12
        )
    up, down = (joint(params(), q.at[1].add(e), *given[2:]) for e in (1e-2, -1e-2))
    assert float(slopes[1][1]) == pytest.approx(float(up - down) / 2e-2, rel=1e-6)
    at = lambda e: joint(params(), q, F(moves).at[7, 2].add(e), *given[3:])
    assert float(slopes[2][7, 2]) == pytest.approx(float(at(1e-5) - at(-1e-5)) / 2e-5, rel=1e-5)
