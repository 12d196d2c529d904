"""Signs of a drift: nothing as declared, the move and no more, the same mirrored."""

import argparse
import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm import belief, core, features, market
from diffmm.belief import gaussian
from diffmm.cli import markets
from diffmm.core import defaults
from diffmm.engine import graph, run
from diffmm.features import trend
from diffmm.training import apply, restore, save, target, with_trend


MU = [of for _, of in features.OBSERVATIONS].index(features.Target.MU)
ROOT = pathlib.Path(__file__).parents[2]
SIGMA = 1.5
SAMPLE_S = 1.0


def params(**given):
    with jax.enable_x64(True):
        declared = defaults(trend.Params, jnp.float64)
        return dataclasses.replace(declared, **{k: jnp.float64(x) for k, x in given.items()})


def told(given, mid_bp, dt_s, *, shift_bp=0.0, arrived=(0.0, 0.0), ratio=0.0, flowing=True):
    """Observations of mu over rows; the numbers are the same on every row or one a row."""
    with jax.enable_x64(True):
        rows = len(mid_bp)
        every = lambda x: jnp.asarray(np.broadcast_to(x, (rows,)).copy())
        event = argparse.Namespace

        def step(state, row):
            mid, dt, shift, ratio, flows = row
            at = features.touch.Touch(mid - 1, mid + 1, mid, mid, jnp.array(True))
            here = event(dt_s=dt, shift_bp=shift)
            return trend.update(
                given,
                state,
                here,
                at,
                jnp.asarray(arrived, dt.dtype),
                flows,
                ratio,
                jnp.float64(SIGMA**2),
                jnp.float64(SAMPLE_S),
            )

        rows_of = (every(mid_bp), every(dt_s), every(shift_bp), every(ratio), every(flowing))
        z, precision = jax.lax.scan(step, trend.init(given), rows_of)[1]
        return np.asarray(z), np.asarray(precision)


def test_as_declared_it_changes_nothing():
    with jax.enable_x64(True):
        stream = events.stream(200, dtype=np.float64)
        plain = defaults(features.Params, jnp.float64)
        stage = features.build(bundles.CONFIG.features)
        fold = lambda p: jax.lax.scan(lambda s, e: stage.update(p, s, e), stage.init(p), stream)[1]
        off, on = fold(plain), fold(features.with_trend(plain))
        np.testing.assert_array_equal(on.precision, off.precision)
        spoken = np.asarray(off.precision) > 0
        np.testing.assert_allclose(np.asarray(on.z)[spoken], np.asarray(off.z)[spoken], rtol=1e-12)
        speaks = params(lean=0.1, flow=0.1, signs=10.0, moves=0.5)
        moved = fold(features.with_trend(plain, speaks))
        assert np.all(np.asarray(moved.precision)[:, MU] >= np.asarray(off.precision)[:, MU])
        assert np.any(np.asarray(moved.precision)[:, MU] > np.asarray(off.precision)[:, MU])


@pytest.mark.parametrize("dt_s", [0.05, 0.4, 3.0])
def test_what_moves_say_adds_up_to_the_whole_move_however_often_rows_come(dt_s):
    rows = int(60 / dt_s) + 1
    mid = np.random.default_rng(0).normal(0, 1, rows).cumsum()
    z, precision = told(params(moves=1.0), mid, dt_s)
    at = np.flatnonzero(precision)
    assert SIGMA**2 * precision.sum() == pytest.approx(dt_s * at[-1])
    assert SIGMA**2 * (z * precision).sum() == pytest.approx(mid[at[-1]] - mid[0])


def test_a_drift_is_known_as_a_regression_on_time_knows_it():
    given, prior = params(moves=1.0), 0.2
    mid = 0.1 * np.arange(121) * 0.5 + np.random.default_rng(1).normal(0, 0.5, 121).cumsum()
    z, precision = told(given, mid, 0.5)
    with jax.enable_x64(True):
        g = gaussian.Gaussian(jnp.zeros(4), jnp.diag(jnp.array([1.0, prior, 1, 1])))
        for one, sure in zip(z, precision, strict=True):
            g, *_ = gaussian.measure(g, belief.MU, one, sure, jnp.float64(1e12))
    information = 1 / prior**2 + 60 / SIGMA**2
    assert float(g.var(belief.MU)) == pytest.approx(1 / information)
    assert float(g.mean[belief.MU]) == pytest.approx((mid[-1] - mid[0]) / SIGMA**2 / information)


def test_new_anchors_do_not_matter_and_what_an_outage_hid_is_not_counted():
    mid = np.random.default_rng(2).normal(0, 1, 60).cumsum()
    shift = np.where(np.arange(60) % 7 == 3, 25.0, 0.0)
    there = told(params(moves=1.0), mid + shift.cumsum(), 0.5, shift_bp=shift)
    np.testing.assert_allclose(there, told(params(moves=1.0), mid, 0.5), atol=1e-9)
    flowing = np.arange(60) != 30
    mid[30:] += 500.0
    z, precision = told(params(moves=1.0), mid, np.where(flowing, 0.5, 90.0), flowing=flowing)
    assert np.abs(z[precision > 0]).max() < 10
    assert SIGMA**2 * precision.sum() == pytest.approx(28.0)


def test_buyers_and_a_bid_heavy_book_say_up_and_their_mirror_says_down():
    given = params(lean=0.1, flow=0.05, signs=100.0)
    flat = np.zeros(40)
    up, sure = told(given, flat, 0.5, arrived=(0.0, 1.0), ratio=0.3)
    down, as_sure = told(given, flat, 0.5, arrived=(1.0, 0.0), ratio=-0.3)
    np.testing.assert_allclose(down, -up)
    np.testing.assert_allclose(as_sure, sure)
    # The first row tells how the book stands; how the price came there is not known.
    np.testing.assert_allclose(sure, 100 * 0.5 / SIGMA**2)
    assert np.all(np.diff(up) > 0)
    assert up[-1] < SIGMA * (0.1 * 0.3 + 0.05)
    assert up[0] > SIGMA * 0.1 * 0.3


def test_a_price_that_v_has_taken_in_does_not_drift_a_second_time():
    with jax.enable_x64(True):
        declared = defaults(belief.dynamics.Params, jnp.float64)
        g = gaussian.Gaussian(jnp.array([1.0, 0.5, 0, 0]), jnp.eye(4))
        numbers = [jnp.float64(x) for x in (2.0, 0.1, 1.0, 0.05, -0.3)]
        told = lambda share: belief.dynamics.predict(declared, g, *numbers, of_drift=share)
        still, moved = told(0.0), told(1.0)
        assert float(still.mean[belief.V]) == pytest.approx(1.0)
        assert float(still.cov[belief.V, belief.MU]) == pytest.approx(0.0, abs=1e-12)
        reach = float(belief.dynamics.drift_horizon_s(declared.drift_rate, jnp.float64(2.0)))
        assert float(moved.mean[belief.V]) == pytest.approx(1 + 0.5 * reach)
        np.testing.assert_allclose(told(0.5).mean, (still.mean + moved.mean) / 2)


def test_a_checkpoint_keeps_it(tmp_path):
    given = apply(with_trend(defaults(graph.Params)), ["features.trend.signs=7"])
    save(tmp_path / "it", given, {})
    again, _ = restore(tmp_path / "it", target(tmp_path / "it"))
    assert float(again.features.trend.signs) == 7.0
    assert not core.violations(again)
    assert not core.violations(with_trend(defaults(graph.Params)))


@pytest.mark.slow
def test_a_planted_drift_is_believed_while_it_lasts():
    asked = argparse.Namespace(path="trending", seed=7, seeds=1, for_s=3600.0)
    found = markets.find(asked, market.AccountInputs())[0]
    folder = ROOT / "checkpoints" / "worlds"
    given, _ = restore(folder, target(folder))
    tape = found.tape
    see, think = features.build(features.Config()), belief.build(belief.Config(fills=False))
    seen = run.watch(see, given.features, tape.rows, unpack=tape.layout.unpack)
    event = tape.layout.unpack(tape.rows)
    said = run.watch(think, given.belief, (event, seen), unpack=lambda x: x)
    mu, drift = np.asarray(said.mean)[:, belief.MU], found.drift_bp_s
    on = drift != 0
    assert 0.1 < on.mean() < 0.9
    # Half of the drift is explained, half a minute's blindness after each change included.
    assert np.mean((mu - drift) ** 2) < 0.5 * np.mean(drift**2)
    assert np.corrcoef(mu[on], drift[on])[0, 1] > 0.8
    assert np.abs(mu[~on]).mean() < 0.25 * np.abs(drift[on]).mean()
