"""Parameter rows on one market: their trades, their round PnL, and what is learned."""

import equinox as eqx
import jax
import numpy as np
import pytest

import small_run
import small_tape
from diffmm import evaluation, learning
from diffmm.engine import loop


OFFSETS = (-0.5, 0.0, 4.0)
CONFIG = learning.Config(offsets_bp=OFFSETS, round_s=8, markout_s=3)


@pytest.fixture(scope="module")
def trades():
    params, rule = small_run.params()
    batch = learning.rows(params, OFFSETS)
    frames = small_tape.tape().frames()
    return jax.tree.map(
        np.asarray, loop.counterfactual(batch, rule, frames, config=small_run.config())
    )


def test_rows_differ_by_the_offset_and_by_nothing_else():
    params, _ = small_run.params()
    batch = learning.rows(params, OFFSETS)
    np.testing.assert_allclose(batch.pricing.offset_bp, OFFSETS)
    rest = lambda p: jax.tree.leaves(eqx.tree_at(lambda q: q.pricing.offset_bp, p, None))
    for row, one in zip(rest(batch), rest(params), strict=True):
        assert row.shape == (3, *one.shape)
        np.testing.assert_array_equal(row, np.broadcast_to(one, row.shape))


def test_the_row_without_offset_trades_as_the_replay_does_but_for_rounding(trades):
    _, record = small_run.run()
    # A batch is compiled otherwise: rounding may move a size by a lot, and then a fill.
    same = np.asarray(trades.lots[1]) == np.asarray(record.lots)
    assert same.mean() > 0.99


def test_asking_for_more_trades_less(trades):
    traded = trades.lots.sum(axis=(1, 2, 3))
    assert traded[0] > 0
    assert traded[2] < traded[1]


def test_round_pnl_adds_up_to_cash_and_inventory_marked_at_v(trades):
    tape = small_tape.tape()
    pnl = learning.round_pnl_usd(tape, trades, small_tape.FEE_BP, CONFIG)
    prices = evaluation.series(tape)
    wake = tape.frame_index()[0][:, -1]
    at = prices.time_ns[wake]
    end = at[0] + len(pnl) * CONFIG.round_s * 10**9
    used = np.flatnonzero(at <= end)[-1]
    marked = np.flatnonzero(at <= end + CONFIG.markout_s * 10**9)[-1]
    assert len(pnl) >= 3
    fair = small_tape.ANCHOR * np.exp(float(trades.fair_bp[1, marked]) / 1e4) / 1e6
    start = np.flatnonzero(at <= at[0])[-1]
    for row in range(3):
        cash = position = 0.0
        for frame in range(start + 1, used + 1):
            lots = trades.lots[row, frame].sum(axis=0).astype(float)
            ticks = trades.lots_ticks[row, frame].sum(axis=0)
            value = (small_tape.ANCHOR * lots + small_tape.TICK * ticks) / 1e6
            cash += value[1] - value[0] - small_tape.FEE_BP / 1e4 * value.sum()
            position += lots[0] - lots[1]
        assert pnl[:, row].sum() == pytest.approx(cash + position * fair, abs=1e-3)


def test_losses_fall_as_pnl_rises_and_stay_between_zero_and_one():
    pnl = np.array([[0.0, 0.0], [-1.0, 1.0], [-50.0, 2.0]])
    got = learning.learn(pnl, learning.Config(offsets_bp=(0.0, 1.0))).losses
    np.testing.assert_array_equal(got[0], 0.5)
    assert got.min() >= 0
    assert got.max() <= 1
    assert got[1, 0] > 0.5 > got[1, 1]
    assert got[2, 0] > 0.5 > got[2, 1]


def test_the_better_row_gains_weight_and_regret_stays_under_the_bound():
    rng = np.random.default_rng(0)
    pnl = rng.normal([0.0, 0.3, -0.3], 1.0, (300, 3))
    got = learning.learn(pnl, learning.Config(offsets_bp=OFFSETS))
    assert got.best == 1
    assert got.weights[-1].argmax() == 1
    assert got.weights[-1, 1] > 0.7
    assert got.regret <= got.bound
    np.testing.assert_allclose(got.weights.sum(axis=1), 1, rtol=1e-5)
    share = np.bincount(got.played, minlength=3) / 300
    np.testing.assert_allclose(share, got.weights.mean(axis=0), atol=0.1)


def test_the_seed_changes_the_draws_and_not_the_weights():
    pnl = np.random.default_rng(0).normal(size=(50, 3))
    one, same, other = (
        learning.learn(pnl, learning.Config(offsets_bp=OFFSETS, seed=s)) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.played, same.played)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert (one.played != other.played).any()


def test_a_mark_that_comes_one_horizon_late_costs_whole_rounds_of_delay():
    delays = [learning.Config(markout_s=m).delay for m in (0, 1, 60, 61)]
    assert delays == [0, 1, 1, 2]


def test_a_tape_shorter_than_a_round_learns_nothing():
    got = learning.learn(np.zeros((0, 3)), learning.Config(offsets_bp=OFFSETS))
    assert (got.regret, got.bound, len(got.weights)) == (0.0, 0.0, 0)
