"""Our decisions with at most so much a side: what gives way, and what a bound far off changes."""

import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
import small_run
from diffmm import execution
from diffmm.engine import loop


@pytest.fixture
def event():
    return events.row(bundles.stream(), 6)


def targets(ticks, lots):
    both = lambda x: jnp.array([x, x], jnp.int32)
    keep = jnp.ones((2, len(ticks)), bool)
    none = jnp.zeros((), jnp.uint32)
    return execution.Targets(both(ticks), both(lots), keep, jnp.zeros(()), jnp.array(True), none)


def test_the_best_price_keeps_its_size_and_what_is_beyond_the_bound_goes(event):
    lot_usd = float(event.rules.lot_usd)
    n = round(4 * float(event.rules.min_notional_usd) / lot_usd)
    given = targets([-7, -5, -6], [n, n, n])
    found = loop.at_most(given, jnp.float32(1.5 * n * lot_usd * (1 + 1e-6)), event)
    # Bids at -5 then -6 then -7; asks the other way round.
    assert np.asarray(found.lots)[0].tolist() == [0, n, n // 2]
    assert np.asarray(found.lots)[1].tolist() == [n, 0, n // 2]
    assert np.asarray(found.keep).tolist() == [[False, True, False], [True, False, False]]


def test_what_is_left_below_the_least_notional_is_not_sent(event):
    lot_usd = float(event.rules.lot_usd)
    n = round(4 * float(event.rules.min_notional_usd) / lot_usd)
    given = targets([-7, -5], [n, n])
    found = loop.at_most(given, jnp.float32(1.1 * n * lot_usd), event)
    assert np.asarray(found.lots)[0].tolist() == [0, n]


def test_a_bound_far_off_changes_nothing_and_a_near_one_bounds_what_trades():
    tape, record = small_run.run()
    params, rule = small_run.params()
    go = lambda most: loop.capped(
        params, rule, tape.frames(), jnp.float32(most), config=small_run.config()
    )
    np.testing.assert_array_equal(go(1e9).lots, record.lots)
    small = go(30.0)
    assert 0 < np.asarray(small.lots).sum() < np.asarray(record.lots).sum()
