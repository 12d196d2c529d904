"""The whole belief on events: starts, restarts, evidence and what it must not react to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

import bundles
import events
from diffmm import belief, core, features, market


CONFIG = bundles.CONFIG


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@functools.cache
def compiled():
    """One event of features and belief."""

    def step(p, state, event):
        seen_state, seen = features.update(p.features, state[0], event, config=CONFIG.features)
        held, told = belief.update(p.belief, state[1], (event, seen), config=CONFIG.belief)
        return (seen_state, held), (seen, told)

    return jax.jit(step)


def run(rows, **values):
    p = bundles.params(jnp.float64, **values)
    state = (
        features.init(p.features, config=CONFIG.features),
        belief.init(p.belief, config=CONFIG.belief),
    )
    said = []
    for event in rows:
        state, out = compiled()(p, state, event)
        said.append(out)
    return said


def rows(n=12, **values):
    batch = bundles.stream()
    batch = bundles.replace(batch, fill__usd=0 * batch.fill.usd, **values)
    return [events.row(batch, i) for i in range(n)]


def test_there_is_no_belief_before_a_two_sided_book_and_one_at_once_after_it():
    given = rows(3)
    blind = bundles.replace(given[0], book__is_valid=jnp.zeros_like(given[0].book.is_valid))
    told = [b for _, b in run([blind, blind, *given])]
    assert [bool(b.is_ready) for b in told] == [False, False, True, True, True]
    assert all(bool(core.all_finite(b)) for b in told)


def test_a_restart_forgets_and_starts_from_the_present_book():
    given = rows()
    given[-1] = bundles.replace(given[-1], restart=jnp.array(True))
    seen, told = run(given)[-1]
    p = bundles.params(jnp.float64).belief
    sd = p.prior_v_half_spreads * seen.half_spread_bp
    assert float(told.mean[belief.V]) == pytest.approx(float(seen.fair_bp), abs=float(sd))
    assert float(told.cov[2, 2]) == pytest.approx(float(p.prior_log_sigma_sd) ** 2, rel=0.02)
    np.testing.assert_allclose(jnp.exp(told.log_mode), 0.5, atol=0.02)


def with_fill(given, at, side, away=0.0, usd=500.0, depth_usd=0.0):
    event = given[at]
    price = event.fill.price_bp.at[side].add(away)
    return [
        *given[:at],
        bundles.replace(
            event,
            fill__usd=event.fill.usd.at[side].set(usd),
            fill__price_bp=price,
            fill__depth_usd=event.fill.depth_usd.at[side].set(depth_usd),
        ),
        *given[at + 1 :],
    ]


@pytest.mark.parametrize(("side", "sign"), [(market.BID, -1), (market.ASK, 1)])
def test_our_fill_moves_fair_value_against_us_and_raises_the_informed_logit(side, sign):
    given = rows()
    plain, filled = run(given)[-1][1], run(with_fill(given, 11, side, away=2.0 * sign))[-1][1]
    assert sign * float(filled.mean[belief.V] - plain.mean[belief.V]) > 1e-5
    touch = run(with_fill(given, 11, side))[-1][1]
    assert sign * float(touch.mean[belief.V] - plain.mean[belief.V]) > 1e-5


def test_a_fill_behind_a_long_queue_says_more_than_one_at_the_front():
    given = rows()
    plain = run(given)[-1][1].mean[belief.V]
    front = run(with_fill(given, 11, market.ASK, depth_usd=0.0))[-1][1].mean[belief.V] - plain
    behind = run(with_fill(given, 11, market.ASK, depth_usd=1e5))[-1][1].mean[belief.V] - plain
    assert 0 < float(front) < float(behind)


def test_a_large_fill_says_more_than_a_small_one():
    given = rows()
    plain = run(given)[-1][1].mean[belief.V]
    move = [
        float(run(with_fill(given, 11, market.ASK, usd=u))[-1][1].mean[belief.V] - plain)
        for u in (10.0, 1e3, 1e6)
    ]
    assert 0 < move[0] < move[1] < move[2]


def test_the_modes_weights_are_probabilities_on_every_event():
    for _, told in run(rows()):
        assert float(jnp.exp(told.log_mode).sum()) == pytest.approx(1)
        assert np.linalg.eigvalsh(np.asarray(told.cov)).min() > 0


def test_a_jump_in_price_moves_weight_to_the_mode_of_the_larger_noise():
    calm = rows()
    last = calm[-1]
    away = 30.0
    jumped = bundles.replace(
        last,
        book__price_bp=last.book.price_bp + away,
        trade__price_bp=last.trade.price_bp + away,
    )
    # One jump: what keeps jumping is soon the volatility of every mode.
    wild = [*calm[:-1], jumped]
    # On random books the index jumps by itself; here fair value is the mid.
    terms = dict.fromkeys(("queue", "flow", "thin", "depth"), 0.0)
    given = {f"features__{name}": x for name, x in terms.items()}
    given["belief__dynamics__sigma_scale"] = (0.8, 4.0, 2.5)
    crisis = lambda events: float(jnp.exp(run(events, **given)[-1][1].log_mode)[-1])
    assert crisis(wild) > crisis(calm) + 0.1


def test_the_informed_share_is_the_expectation_over_the_logit():
    p = bundles.params(jnp.float64).belief
    for mean, sd, size in ((-1.0, 0.3, 0.0), (0.5, 0.5, 3.0)):
        tilt = float(p.informed_size) * np.log1p(size)
        exact = integrate.quad(
            lambda x, m=mean, s=sd, t=tilt: special.expit(x + t) * stats.norm.pdf(x, m, s), -8, 8
        )[0]
        found = belief.informed_share(p, jnp.float64(mean), jnp.float64(sd**2), jnp.float64(size))
        assert float(found) == pytest.approx(exact, abs=1e-4)


def test_drift_enters_the_expectation_at_a_horizon_and_only_there():
    told = run(rows())[-1][1]
    horizon, rate = 60.0, float(told.drift_rate)
    expected = told.mean[belief.V] + told.mean[belief.MU] * (1 - np.exp(-rate * horizon)) / rate
    np.testing.assert_allclose(told.expected_v(jnp.float64(horizon)), expected, rtol=1e-12)


def with_print(given, side, *, is_resting, away_bp=0.5):
    """A taker on one side stops at the touch; our only order stands `away_bp` beyond it."""
    event, sign = given[-1], 1 if side == market.ASK else -1
    touch = event.book.price_bp[side, 0]
    none = jnp.zeros_like(event.orders.is_live)
    mine = none.at[side, 0].set(True)
    return [
        *given[:-1],
        bundles.replace(
            event,
            kind=jnp.int32(market.Kind.TRADE),
            trade__sign=jnp.full_like(event.trade.sign, sign),
            trade__usd=jnp.full_like(event.trade.usd, 500.0),
            trade__price_bp=touch,
            orders__price_bp=jnp.full_like(event.orders.price_bp, touch + sign * away_bp),
            orders__ahead_usd=0 * event.orders.ahead_usd,
            orders__is_live=mine,
            orders__is_resting=mine if is_resting else none,
        ),
    ]


@pytest.mark.parametrize(("side", "sign"), [(market.BID, -1), (market.ASK, 1)])
def test_a_taker_who_stops_short_of_us_is_evidence_only_while_our_order_is_known_to_rest(
    side, sign
):
    v = lambda **k: float(run(with_print(rows(), side, **k))[-1][1].mean[belief.V])
    unknown = v(is_resting=False)
    assert sign * (v(is_resting=True) - unknown) < -1e-6
    assert sign * (v(is_resting=True) - unknown) < sign * (
        v(is_resting=True, away_bp=5.0) - unknown
    ), "farther out it says less"
    assert v(is_resting=True, away_bp=-0.5) == unknown, "a print at our price or beyond fills us"
