"""Several instruments in the closed loop: alone as before, together by their prices."""

import dataclasses
import functools as ft

import jax
import numpy as np
import pytest

import small_run
import small_tape
from diffmm.core import defaults
from diffmm.engine import portfolio, stepper
from diffmm.risk import portfolio as joint


FRAMES = 100
NS = 1_000_000_000


@ft.cache
def step():
    return stepper.step_of(*small_run.params(), small_run.config()).compile()


def tape(seed, wealth_usd=10.0):
    """A small market in which inventory is dear, so that a price of it moves quotes."""
    found = small_tape.tape(4 * FRAMES, seed)
    rows = found.rows.copy()
    at = found.layout.views(np.arange(found.layout.width, dtype=np.float32))
    rows[:, int(at.account.wealth_usd)] = wealth_usd
    return dataclasses.replace(found, rows=rows)


def run(seeds, *, is_shared=True, starts=(0, 0, 0), **reads):
    legs = [portfolio.Leg(tape(seed), start) for seed, start in zip(seeds, starts, strict=False)]
    values = {name: np.float32(x) for name, x in ({"clock_s": 1.0} | reads).items()}
    reads = dataclasses.replace(defaults(joint.Params), **values)
    params, rule = small_run.params()
    return portfolio.replay(
        legs, params, rule, small_run.config(), reads, is_shared=is_shared, step=step()
    )


@ft.cache
def twins():
    """The same market twice, told of each other."""
    return run((3, 3))


@ft.cache
def apart():
    return run((3, 3), is_shared=False)


@ft.cache
def alone(seed):
    params, rule = small_run.params()
    steps = stepper.Stepper(params, rule, small_run.config(), step())
    return steps.replay(tape(seed).frames())


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_one_instrument_under_the_budget_is_the_engine_alone_bit_for_bit():
    records, path = run((3,))
    assert_same(records[0], alone(3))
    assert np.all(path.shared.cross_usd == 0)


def test_instruments_that_are_only_measured_together_are_engines_alone_bit_for_bit():
    records, path = run((3, 4), is_shared=False)
    for seed, record in zip((3, 4), records, strict=True):
        assert_same(record, alone(seed))
    assert path.ticks > 10
    assert path.shared.risk_usd.max() > 0


def test_without_correlation_sharing_the_budget_changes_no_bit():
    """Before its first tick the clock knows of no correlation; the small belief has no crisis."""
    records, path = run((3, 4), clock_s=1e6)
    assert path.ticks == 0
    np.testing.assert_array_equal(path.shared.cross_usd, 0)
    for seed, record in zip((3, 4), records, strict=True):
        assert_same(record, alone(seed))


def test_the_same_market_twice_is_found_to_be_one():
    assert twins()[1].shared.correlation[-1, 0, 1] > 0.9


@pytest.mark.parametrize("k", [0, 1])
def test_where_the_quotes_first_differ_they_lean_against_what_the_other_holds(k):
    """Up to there both runs are in the same state, so nothing but the price of it can differ."""
    one, other = (x[0][k].quotes for x in (twins(), apart()))
    sizes = [np.asarray(x.allocation.size_usd).sum(axis=2) for x in (one, other)]
    first = np.flatnonzero(np.any(sizes[0] != sizes[1], axis=1))[0]
    lean = np.sign(one.risk.cross_usd[first]) * (sizes[0] - sizes[1])[first]
    assert one.risk.cross_usd[first] != 0
    assert lean[0] <= 0 <= lean[1]
    assert lean[0] < lean[1]


def test_what_each_is_told_is_the_price_of_what_the_others_hold_at_that_moment():
    records, path = twins()
    for k, record in enumerate(records):
        told = np.asarray(record.quotes.risk.cross_usd)
        np.testing.assert_array_equal(told, path.shared.cross_usd[path.leg == k, k])
        other = path.position_usd[path.leg == k, 1 - k]
        moved = np.abs(other) > 0
        late = moved & (np.arange(len(told)) > FRAMES // 2)
        assert late.any()
        assert np.all(np.sign(told[late]) == np.sign(other[late]))
        # A position is that of the newest decision, never of a later one.
        own = np.asarray(record.quotes.risk.position_usd)
        mine = path.position_usd[path.leg == k, k]
        np.testing.assert_array_equal(mine[1:], own[:-1])


def test_the_order_in_which_the_instruments_are_named_does_not_matter():
    """Markets that start apart, so that no two wake at the same time."""
    one, path = run((3, 4), starts=(0, 7 * NS // 100), clock_s=0.5)
    two, back = run((4, 3), starts=(7 * NS // 100, 0), clock_s=0.5)
    np.testing.assert_array_equal(path.leg, 1 - back.leg)
    np.testing.assert_allclose(
        path.shared.correlation[:, 0, 1], back.shared.correlation[:, 1, 0], rtol=1e-3, atol=1e-4
    )
    for a, b in zip(one, two[::-1], strict=True):
        np.testing.assert_array_equal(a.quotes.targets.lots, b.quotes.targets.lots)


def test_decisions_come_in_receive_time_and_every_one_is_counted():
    _, path = run((3, 4), starts=(0, 5 * NS))
    assert np.all(np.diff(path.times_s) >= 0)
    assert np.bincount(path.leg).tolist() == [FRAMES, FRAMES]
    assert path.times_s[path.leg == 1][0] >= 5


@pytest.mark.parametrize("shift", [40_000, -40_000])
def test_moving_an_anchor_is_no_move_of_the_market(shift):
    """The level of the anchor and V about it change together."""
    budget = portfolio.Joint(2, defaults(joint.Params))
    record = alone(3)
    seen, quotes = (
        jax.tree.map(lambda x: np.asarray(x)[50], t) for t in (record.seen, record.quotes)
    )
    level = 1e4 * np.log((small_tape.ANCHOR + shift) / small_tape.ANCHOR)
    mean = seen.belief.mean.copy()
    mean[0] -= level
    moved = dataclasses.replace(seen, belief=dataclasses.replace(seen.belief, mean=mean))
    budget.look(0, seen, quotes, 0.0)
    budget.look(1, moved, quotes, level)
    a, b = budget.views
    assert a.v_bp == pytest.approx(b.v_bp, abs=1e-3)
    assert a.expected_bp == pytest.approx(b.expected_bp, abs=1e-3)
