"""Observations: what a feed's absence, time and an outage do to their precision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm import features, market


CONFIG = bundles.CONFIG.features
NAMES = [name for name, _ in features.OBSERVATIONS]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@functools.cache
def compiled():
    def fold(params, batch):
        step = lambda state, event: features.update(params, state, event, config=CONFIG)
        return jax.lax.scan(step, features.init(params, config=CONFIG), batch)

    return jax.jit(fold)


def run(batch, **values):
    params = bundles.params(jnp.float64, **{f"features__{k}": v for k, v in values.items()})
    return compiled()(params.features, batch)[1]


def quiet(batch, dt_s, kind=market.Kind.BOOK):
    """The first row for ever: nothing happens but time."""
    same = jax.tree.map(lambda x: jnp.repeat(x[:1], len(batch.kind), axis=0), batch)
    zero = 0 * same.dt_s
    return bundles.replace(same, dt_s=zero + dt_s, trade__usd=zero, kind=zero + int(kind))


def test_an_absent_reference_has_no_information_and_moves_nothing_else():
    batch = bundles.stream()
    off = bundles.replace(batch, reference__is_valid=jnp.zeros_like(batch.is_valid))
    other = bundles.replace(off, reference__mid_bp=off.reference.mid_bp + 99.0)
    seen, blind, wrong = run(batch), run(off), run(other)
    lead = NAMES.index("lead")
    assert (np.asarray(blind.precision)[:, lead] == 0).all()
    rest = [i for i in range(len(NAMES)) if i != lead]
    np.testing.assert_array_equal(seen.precision[:, rest], blind.precision[:, rest])
    np.testing.assert_array_equal(seen.z[:, rest], blind.z[:, rest])
    np.testing.assert_array_equal(blind.z, wrong.z)


def test_price_information_is_counted_per_second_not_per_event():
    batch = bundles.stream()
    still = {"prior_variance_s": 1e13}
    coarse, fine = run(quiet(batch, 0.25), **still), run(quiet(batch, 0.125), **still)
    for name in ("fair", "mid", "lead"):
        i = NAMES.index(name)
        slow, fast = coarse.precision[:12, i].sum(), fine.precision[:24, i].sum()
        assert slow > 0
        np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_an_event_without_time_brings_no_information():
    assert (np.asarray(run(quiet(bundles.stream(), 0.0)).precision) == 0).all()


def test_the_variance_clock_and_the_price_observations_stand_still_in_an_outage():
    out = run(quiet(bundles.stream(), 1.0, market.Kind.TIMER))
    freeze = 5
    assert (np.asarray(out.precision)[freeze:, :3] == 0).all()
    np.testing.assert_array_equal(out.sigma_bp[freeze:], out.sigma_bp[freeze])


def test_the_volatility_of_a_random_walk_is_found_within_its_sampling_error():
    n, sigma, dt = 4000, 2.0, 0.5
    rng = np.random.default_rng(1)
    batch = events.stream(n, dtype=np.float64)
    mid = np.cumsum(rng.normal(0, sigma * dt**0.5, n))
    steps = np.array([-0.5, 0.5])[None, :, None] * (1 + np.arange(events.LEVELS))
    price = steps + mid[:, None, None]
    batch = bundles.replace(
        batch,
        dt_s=np.full(n, dt),
        kind=np.full(n, int(market.Kind.BOOK)),
        book__price_bp=price,
        book__ticks=np.round(price / 0.25).astype(np.int32),
    )
    found = np.asarray(run(batch).sigma_bp)[600:]
    # A memory of 120 s stands beside 5 s of a prior near zero.
    assert found.mean() == pytest.approx(sigma * (120 / 125) ** 0.5, rel=0.03)
    assert found.std() < 0.15 * sigma


def test_arrivals_are_counted_on_the_side_that_the_taker_reaches():
    batch = quiet(bundles.stream(), 0.1)
    zero = 0 * batch.dt_s
    buys = bundles.replace(batch, trade__usd=zero + 100.0, trade__sign=zero + 1.0)
    rate = np.asarray(run(buys).arrival_rate)
    assert rate[-1, market.ASK] > 3
    assert rate[-1, market.BID] < rate[0, market.BID] < 1
    assert float(run(buys).trade_usd[-1]) == pytest.approx(100.0, rel=0.9)


def prints(dt_s, sign):
    """Trades of 100 USD each in an otherwise quiet market."""
    batch = jax.tree.map(lambda x: x[: len(dt_s)], bundles.stream())
    batch = quiet(batch, 0.0, market.Kind.TRADE)
    usd = 0 * batch.trade.usd + 100.0
    put = {"trade__usd": usd, "trade__sign": jnp.array(sign, usd.dtype)}
    put["dt_s"] = jnp.array(dt_s, usd.dtype)
    return run(bundles.replace(batch, **put), prior_trades=1e-6)


def test_a_taker_who_meets_several_orders_is_one_taker_of_all_their_size():
    # A second apart: a buyer of three prints, a seller of two in one message with a buyer of one.
    told = prints([1, 0, 0, 1, 0, 0], [1, 1, 1, -1, -1, 1])
    apart = prints([1, 1e-9, 1e-9, 1, 1e-9, 1e-9], [1, 1, 1, -1, -1, 1])
    np.testing.assert_allclose(told.trade_usd[-1], 200.0, rtol=0.01)
    np.testing.assert_allclose(apart.trade_usd[-1], 100.0, rtol=0.01)
    assert (np.asarray(told.arrival_rate[-1]) < np.asarray(apart.arrival_rate[-1])).all()
    np.testing.assert_allclose(told.volume_usd_s[-1], apart.volume_usd_s[-1], rtol=1e-4)


def test_more_size_on_the_bid_raises_fair_value_and_never_past_reason():
    batch = quiet(bundles.stream(), 0.1)
    fair = []
    for ratio in (0.1, 0.5, 1.0, 2.0, 10.0):
        usd = batch.book.usd.at[:, :, 0].set(1000.0).at[:, 0, 0].multiply(ratio)
        out = run(bundles.replace(batch, book__usd=usd))
        fair.append(float(out.fair_bp[0] - out.mid_bp[0]))
    assert np.all(np.diff(fair) > 0)
    assert fair[2] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(fair, -np.array(fair)[::-1], atol=1e-12)


def test_an_index_that_never_comes_true_soon_moves_fair_value_no_more():
    n = 3000
    rng = np.random.default_rng(2)
    batch = events.stream(n, dtype=np.float64)
    mid = np.cumsum(rng.normal(0, 0.3, n))
    steps = np.array([-0.5, 0.5])[None, :, None] * (1 + np.arange(events.LEVELS))
    usd = np.asarray(batch.book.usd).copy()
    usd[:, 0, 0] = 1000 * np.exp(rng.normal(0, 2, n))
    batch = bundles.replace(
        batch,
        dt_s=np.full(n, 0.2),
        kind=np.full(n, int(market.Kind.BOOK)),
        book__price_bp=steps + mid[:, None, None],
        book__ticks=np.round((steps + mid[:, None, None]) / 0.25).astype(np.int32),
        book__usd=usd,
    )
    out = run(batch)
    away = np.abs(np.asarray(out.fair_bp - out.mid_bp)) / np.abs(np.asarray(out.index_bp))
    relaxation = 2.25
    assert away[:50].mean() > 0.7 * relaxation
    assert away[-500:].mean() < 0.35 * relaxation
