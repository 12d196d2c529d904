"""Who filled us: probabilities by Bayes' rule, a mixture of shares, and nothing where it is off."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import bundles
import events
from diffmm import belief, core, features, market
from diffmm.belief import flow_type
from diffmm.core import defaults
from diffmm.training import restore, save, target, with_flow_type


CONFIG = bundles.CONFIG
N, K = len(flow_type.TYPES), len(flow_type.FEATURES)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def types(seed=0, **values):
    """Types that differ in everything; `values` in place of some of it."""
    rng = np.random.default_rng(seed)
    given = {
        "log_share": rng.normal(size=N),
        "informed_bias": 2 * rng.normal(size=N),
        "typical": rng.normal(size=(N, K)),
        "centre": rng.normal(size=K) / 5,
        "spread": 0.5 + rng.random(K),
    } | values
    declared = defaults(flow_type.Params, jnp.float64)
    return dataclasses.replace(declared, **{k: jnp.asarray(x) for k, x in given.items()})


def posteriors(p, z, is_known):
    return jax.vmap(lambda a, b: flow_type.log_posterior(p, a, b))(
        z, jnp.broadcast_to(is_known, z.shape)
    )


EVERY = np.ones(K, bool)


def points(seed=1, n=50, scale=1.0):
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=(n, K)))


def known(*names):
    return jnp.asarray([name in names for name in flow_type.FEATURES])


@functools.cache
def compiled():
    """One event of features and belief."""

    def step(p, state, event):
        seen_state, seen = features.update(p.features, state[0], event, config=CONFIG.features)
        held, told = belief.update(p.belief, state[1], (event, seen), config=CONFIG.belief)
        return (seen_state, held), (seen, told)

    return jax.jit(lambda p, state, batch: jax.lax.scan(lambda s, e: step(p, s, e), state, batch))


def fold(batch, given=None):
    """Features and belief of a stream, without types where none are given."""
    p = bundles.params(jnp.float64)
    if given is not None:
        p = with_flow_type(p, given)
    state = (
        features.init(p.features, config=CONFIG.features),
        belief.init(p.belief, config=CONFIG.belief),
    )
    return compiled()(p, state, batch)[1]


def filled(side=None, at=-1, usd=500.0):
    """The standard stream; one fill of ours, where a side is named."""
    batch = bundles.stream()
    fill = np.zeros(np.shape(batch.fill.usd))
    if side is not None:
        fill[at, side] = usd
    return bundles.replace(batch, fill__usd=fill)


def test_the_posterior_is_bayes_rule_with_normal_features_of_unit_variance():
    p, z = types(), points()
    found = posteriors(p, z, EVERY)
    each = stats.norm.logpdf(np.asarray(z)[:, None, :], np.asarray(p.typical)[None]).sum(-1)
    joint = each + np.asarray(p.log_share)
    np.testing.assert_allclose(found, joint - special.logsumexp(joint, 1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e8])
def test_probabilities_sum_to_one_however_extreme_the_features(scale):
    log_type = posteriors(types(), points(scale=scale), EVERY)
    np.testing.assert_allclose(np.exp(log_type).sum(-1), 1, rtol=1e-9)


def test_a_feature_without_a_feed_adds_nothing_whatever_stands_in_its_place():
    p, z = types(), points()
    some = known("size", "sweep")
    found = posteriors(p, z, some)
    other = jnp.where(some[None, :], z, jnp.nan)
    np.testing.assert_array_equal(found, posteriors(p, other, some))
    # As if it had never been declared: its typical values at zero say nothing either.
    bare = dataclasses.replace(p, typical=jnp.where(some[None, :], p.typical, 0.0))
    np.testing.assert_allclose(found, posteriors(bare, z, EVERY), atol=1e-12)
    none = posteriors(p, z, ~EVERY)
    np.testing.assert_allclose(none, np.tile(flow_type.log_prior(p), (50, 1)), atol=1e-12)


def test_types_in_another_order_are_the_same_types():
    p, z, every = types(), points(), EVERY
    order = np.array([3, 0, 4, 1, 2])
    moved = types(
        log_share=p.log_share[order],
        informed_bias=p.informed_bias[order],
        typical=p.typical[order],
    )
    before, after = (posteriors(x, z, every) for x in (p, moved))
    np.testing.assert_allclose(after, before[:, order], atol=1e-12)
    logit = jnp.linspace(-5, 5, 7)
    np.testing.assert_allclose(
        flow_type.informed(moved, None, logit), flow_type.informed(p, None, logit), atol=1e-14
    )


def test_the_informed_share_is_a_mean_over_types_and_not_the_share_of_the_mean_type():
    p = types()
    share = np.exp(flow_type.log_prior(p))
    for logit in (-3.0, 0.0, 2.0):
        exact = share @ special.expit(logit + np.asarray(p.informed_bias))
        found = flow_type.informed(p, None, jnp.float64(logit))
        assert float(found) == pytest.approx(exact, rel=1e-12)
        point = special.expit(logit + share @ np.asarray(p.informed_bias))
        assert abs(float(found) - point) > 1e-3


def test_before_a_fill_the_surface_reads_the_share_of_the_types_by_the_same_function():
    p = belief.with_flow_type(bundles.params(jnp.float64).belief, types())
    mean, var, size = jnp.float64(-1.0), jnp.float64(1e-16), jnp.float64(3.0)
    tilt = float(p.informed_size) * np.log1p(3.0)
    exact = float(flow_type.informed(p.flow_type, None, mean + tilt))
    assert float(belief.informed_share(p, mean, var, size)) == pytest.approx(exact, abs=1e-9)
    told = fold(filled(market.ASK), types())[1]
    prior = flow_type.log_prior(types())
    np.testing.assert_allclose(told.flow_type.log_type[-2], np.stack([prior] * 2), atol=1e-12)
    assert np.abs(told.flow_type.log_type[-1, market.ASK] - prior).max() > 0.1
    np.testing.assert_allclose(told.flow_type.log_type[-1, market.BID], prior, atol=1e-12)


def test_where_no_type_is_more_informed_the_share_is_exactly_what_it_is_without_types():
    alike, logit = types(informed_bias=np.zeros(N)), jnp.linspace(-40, 40, 999)
    for given in (None, flow_type.log_prior(types(seed=4))):
        found = flow_type.informed(alike, given, logit)
        np.testing.assert_array_equal(found, flow_type.informed(None, None, logit))


def test_where_no_type_is_more_informed_the_belief_is_the_same():
    plain = fold(filled(market.ASK))[1]
    alike = fold(filled(market.ASK), types(informed_bias=np.zeros(N)))[1]
    assert plain.flow_type is None
    assert alike.flow_type is not None
    assert np.abs(alike.flow_type.log_type[-1, market.ASK]).max() > 0.1
    bare = dataclasses.replace(alike, flow_type=None)
    # The program is another one, and rounds its logistic functions otherwise.
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(bare), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_switched_off_there_is_no_leaf_of_it_and_on_it_is_declared_and_comes_back(tmp_path):
    p = bundles.params()
    assert not any("flow_type" in name for name in bundles.names(p))
    assert belief.init(p.belief, config=CONFIG.belief).flow_type is None
    given = jax.tree.map(lambda x: x.astype(jnp.float32), types())
    on = with_flow_type(p, given)
    assert core.violations(on) == []
    assert "belief.flow_type.informed_bias" in bundles.names(on)
    save(tmp_path / "with", on, {})
    again, _ = restore(tmp_path / "with", target(tmp_path / "with"))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(on), strict=True):
        np.testing.assert_array_equal(a, b)
    save(tmp_path / "without", p, {})
    assert target(tmp_path / "without").belief.flow_type is None


def test_a_mirrored_fill_has_the_mirrored_posterior_and_moves_v_by_as_much():
    batch = filled(market.ASK)
    there, back = (fold(x, types())[1] for x in (batch, events.mirror(batch)))
    for a, b in zip(jax.tree.leaves(there.flow_type), jax.tree.leaves(back.flow_type), strict=True):
        np.testing.assert_allclose(a, np.asarray(b)[:, ::-1], atol=1e-7)
    assert bool(np.any(np.asarray(there.flow_type.z)[:, :, 4] != 0)), "flow is one-sided somewhere"
    np.testing.assert_allclose(there.mean[-1, 0], -back.mean[-1, 0], atol=1e-6)


def test_a_fill_that_looks_like_an_informed_types_moves_v_more():
    move = {}
    plain = float(fold(filled(), types())[1].mean[-1, belief.V])
    for name, sign in (("informed", 1.0), ("harmless", -1.0)):
        typical = np.zeros((N, K))
        typical[4, flow_type.FEATURES.index("size")] = 2 * sign
        bias = np.where(np.arange(N) == 4, 3.0, -3.0)
        given = types(typical=typical, informed_bias=bias, centre=np.zeros(K), spread=np.ones(K))
        told = fold(filled(market.ASK, usd=5e4), given)[1]
        move[name] = float(told.mean[-1, belief.V]) - plain
    assert move["informed"] > 1.5 * move["harmless"] > 0


def test_features_say_what_their_names_say():
    raw = types(typical=np.zeros((N, K)), centre=np.zeros(K), spread=np.ones(K))
    p = dataclasses.replace(raw, memory_s=jnp.float64(10.0), match_s=jnp.float64(2.0))
    blank = events.row(bundles.stream(), 3)
    none = jnp.zeros(2)
    quiet = bundles.replace(
        blank,
        dt_s=1.0,
        shift_bp=0.0,
        trade__usd=0.0,
        fill__usd=none,
        book__usd=jnp.full_like(blank.book.usd, 200.0),
        context__is_valid=jnp.array(False),
        reference__is_valid=jnp.array(False),
    )
    seen = jax.tree.map(lambda x: x[3], fold(bundles.stream())[0])
    buy = {"trade__usd": 100.0, "trade__sign": 1.0}
    rows = [
        quiet,
        bundles.replace(quiet, **buy),
        bundles.replace(quiet, dt_s=0.0, **buy),
        bundles.replace(quiet, fill__usd=jnp.asarray([0.0, 50.0])),
        quiet,
        bundles.replace(quiet, dt_s=5.0),
        bundles.replace(quiet, context__is_valid=jnp.array(True), context__open_interest_usd=1e6),
        bundles.replace(quiet, context__is_valid=jnp.array(True), context__open_interest_usd=9e5),
    ]
    state, said = flow_type.init(p), []
    for event in rows:
        state, told = flow_type.update(
            p, state, (event, seen, jnp.float64(2.0), jnp.float64(100.0))
        )
        said.append(told)
    at = lambda row, name, side=market.ASK: (
        float(said[row].z[side, flow_type.FEATURES.index(name)]),
        bool(said[row].is_known[side, flow_type.FEATURES.index(name)]),
    )
    assert at(0, "size") == at(0, "sweep") == at(0, "dispersion") == (0.0, False)
    assert at(0, "reference") == at(0, "interest") == (0.0, False)
    assert at(3, "size") == (pytest.approx(np.log(0.5)), True)
    assert at(3, "size", market.BID) == (0.0, False)
    # Both prints are one taker's: he took 200 USD where the touch displayed 200.
    assert at(1, "sweep") == (pytest.approx(np.log(1.5)), True)
    assert at(2, "sweep") == (pytest.approx(np.log(2.0)), True)
    assert at(4, "sweep") == (0.0, False), "two seconds later it is nobody's"
    assert at(2, "one_sided") == (pytest.approx(200 / 300), True)
    assert at(2, "one_sided", market.BID) == (pytest.approx(-200 / 300), True)
    assert at(2, "dispersion") == (0.0, True), "two prints of one size"
    # At the first fill there was none before it.
    assert at(3, "recency") == (0.0, True)
    assert at(4, "recency") == (pytest.approx(np.exp(-0.1)), True)
    assert at(5, "recency") == (pytest.approx(np.exp(-0.6)), True)
    assert at(5, "recency", market.BID) == (0.0, True)
    assert at(6, "interest") == (0.0, True)
    assert at(7, "interest") == (pytest.approx(np.log(0.9)), True)


def objective(p, logit, z):
    log_type = posteriors(p, z, EVERY)
    share = jax.vmap(lambda x: flow_type.informed(p, x, logit))(log_type)
    return jnp.sum(share)


@pytest.mark.parametrize("logit", [-1e4, -30.0, 0.0, 30.0, 1e4])
@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_gradients_are_finite_at_extremes(logit, scale):
    found = jax.grad(objective, argnums=(0, 1, 2))(types(), jnp.float64(logit), points(scale=scale))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_gradients_are_those_of_finite_differences():
    z, logit, step = points(n=4), jnp.float64(-0.7), 1e-6
    p = types()
    found = jax.grad(objective)(p, logit, z)
    for name, at in (("informed_bias", 2), ("log_share", 0), ("typical", (1, 3))):
        leaf = getattr(p, name)
        value = lambda d, name=name, leaf=leaf, at=at: objective(
            dataclasses.replace(p, **{name: leaf.at[at].add(d)}), logit, z
        )
        slope = (value(step) - value(-step)) / (2 * step)
        assert float(getattr(found, name)[at]) == pytest.approx(float(slope), rel=1e-5)
        assert abs(float(slope)) > 1e-4


@pytest.mark.parametrize("usd", [0.0, 1e-30, 500.0, 1e30])
def test_gradients_are_finite_where_sizes_are_extreme_and_books_empty(usd):
    batch = filled(market.ASK, usd=usd)
    batch = bundles.replace(
        batch, trade__usd=np.full(np.shape(batch.trade.usd), usd), book__usd=0 * batch.book.usd
    )
    seen, _ = fold(bundles.stream())

    def value(p, unit_bp, trade_usd):
        state = flow_type.init(p)
        total = 0.0
        for i in (0, 1, bundles.ROWS - 1):
            given = (events.row(batch, i), events.row(seen, i), unit_bp, trade_usd)
            state, told = flow_type.update(p, state, given)
            total = total + jnp.sum(told.log_type[:, 1]) + jnp.sum(jnp.tanh(told.z))
        return total

    found = jax.grad(value, argnums=(0, 1, 2))(types(), jnp.float64(2.0), jnp.float64(10.0))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
