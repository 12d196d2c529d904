"""Markouts by hand, and the interval of their mean."""

import numpy as np
import pytest

from diffmm.evaluation import Markouts, weighted_mean
from diffmm.market import ASK, BID


S = 1_000_000_000


def test_a_markout_is_the_makers_profit_in_bp_of_the_mid_at_the_fill():
    for side, price, sign in ((BID, 9_995, 1), (ASK, 10_005, -1)):
        m = Markouts((1, 5))
        m.on_mid(0, 9_995, 10_005)
        m.on_fills(0, side, price * 4, 4)
        m.on_mid(S, 10_001, 10_011)
        m.on_mid(3 * S, 9_985, 9_995)
        m.advance(5 * S + 1)
        assert m.estimate(1).value == pytest.approx(5 + sign * 6)
        assert m.estimate(5).value == pytest.approx(5 - sign * 10)


def test_a_mid_exactly_as_late_as_the_horizon_counts_and_a_later_one_does_not():
    for late, want in ((0, 10.0), (1, 0.0)):
        m = Markouts((1,))
        m.on_mid(0, 10_000, 10_000)
        m.on_fills(0, BID, 10_000, 1)
        m.on_mid(S + late, 10_010, 10_010)
        m.advance(3 * S)
        assert m.estimate(1).value == pytest.approx(want)


def test_the_mean_is_weighted_by_notional():
    m = Markouts((1,))
    m.on_mid(0, 10_000, 10_000)
    m.on_fills(0, BID, 10_000 * 3, 3)
    m.on_mid(10, 10_000, 10_000)
    m.on_fills(10, ASK, 10_002, 1)
    m.on_mid(11, 10_010, 10_010)
    m.advance(2 * S)
    assert m.estimate(1).value == pytest.approx((3 * 10 - 8) / 4)
    assert m.estimate(1).n == 2


def test_a_fill_too_young_for_a_horizon_is_not_counted_at_it():
    m = Markouts((1, 60))
    m.on_mid(0, 10, 12)
    m.on_fills(0, BID, 10, 1)
    m.advance(2 * S)
    assert m.estimate(1).n == 1
    assert (m.estimate(60).n, m.estimate(60).value) == (0, None)


def test_no_fill_before_the_first_mid():
    with pytest.raises(ValueError, match="before the first mid"):
        Markouts().on_fills(0, BID, 1, 1)


def clustered(seed, blocks=120, each=10):
    """Observations that share a shock within each block of 60 s."""
    rng = np.random.default_rng(seed)
    shock = np.repeat(rng.normal(0, 1, blocks), each)
    time = np.repeat(np.arange(blocks) * 60.0, each) + np.tile(np.arange(each), blocks)
    return time, shock + rng.normal(0, 0.1, blocks * each), np.ones(blocks * each)


def test_the_interval_is_of_the_blocks_and_not_of_the_fills():
    time, value, weight = clustered(0)
    x = weighted_mean(time, value, weight, seed=0)
    half = (x.high - x.low) / 2
    assert half == pytest.approx(1.645 / np.sqrt(120), rel=0.25)
    assert x.low < x.value < x.high


def test_the_interval_covers_the_truth_about_nine_times_in_ten():
    hits = 0
    for seed in range(60):
        x = weighted_mean(*clustered(seed), seed=seed)
        hits += x.low <= 0 <= x.high
    assert 45 <= hits <= 59


def test_the_same_seed_gives_the_same_interval_and_one_block_gives_none():
    data = clustered(1)
    assert weighted_mean(*data, seed=3) == weighted_mean(*data, seed=3)
    assert weighted_mean(*data, seed=3) != weighted_mean(*data, seed=4)
    one = weighted_mean(np.arange(5.0), np.ones(5), np.ones(5), seed=0)
    assert (one.value, one.low, one.high) == (1.0, None, None)
