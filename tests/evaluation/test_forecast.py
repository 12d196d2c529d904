"""The mid's path on a grid, gains over it, and scores of a distribution."""

import numpy as np
import pytest

from diffmm.evaluation import forecast


def path(mid, time_s=None, has_book=None):
    n = len(mid)
    time_s = np.arange(n, dtype=float) if time_s is None else np.asarray(time_s, float)
    one = np.ones(n)
    known = np.ones(n, bool) if has_book is None else np.asarray(has_book)
    return forecast.Path(time_s, np.asarray(mid, float), one, one * 0.2, 0 * one, known)


def test_a_moment_is_answered_by_the_mid_in_force_at_its_horizon():
    mid = np.arange(40.0)
    at = forecast.moments(path(mid), 0.0, 39.0, 1.0)
    assert at.time_s[0] == 0
    assert at.time_s[-1] == 29
    np.testing.assert_array_equal(at.change_bp, np.tile([1.0, 5.0, 10.0], (30, 1)))
    assert at.moved.all()


def test_nothing_after_the_end_is_looked_at():
    mid = np.concatenate([np.zeros(30), np.full(30, 99.0)])
    at = forecast.moments(path(mid), 0.0, 29.5, 1.0)
    assert (at.change_bp == 0).all()
    assert not at.moved.any()


def test_moments_without_a_book_are_left_out():
    known = np.ones(40, bool)
    known[10:15] = False
    at = forecast.moments(path(np.arange(40.0), has_book=known), 0.0, 39.0, 1.0)
    assert set(range(10, 15)).isdisjoint(at.time_s.astype(int))
    assert len(at.time_s) == 25


def test_later_mids_come_from_the_true_path_where_another_is_given():
    seen, true = path(np.zeros(40)), path(np.full(40, 2.0))
    at = forecast.moments(seen, 0.0, 39.0, 1.0, true)
    assert (at.change_bp == 2).all()


def test_a_perfect_forecast_gains_all_the_mid_itself_nothing_and_its_mirror_loses_three_times():
    rng = np.random.default_rng(0)
    at = forecast.moments(path(rng.normal(size=400).cumsum()), 0.0, 399.0, 1.0)
    y = at.change_bp[:, 0]
    perfect, nothing, wrong = (forecast.gain(at, 0, k * y) for k in (1, 0, -1))
    assert perfect["value"] == perfect["low"] == perfect["high"] == 1
    assert nothing["value"] == 0
    assert wrong["value"] == pytest.approx(-3)
    half = forecast.gain(at, 0, y / 2)
    assert half["value"] == pytest.approx(0.75)
    assert half["n"] == len(y)


def test_a_still_mid_has_no_gain_to_speak_of():
    at = forecast.moments(path(np.zeros(40)), 0.0, 39.0, 1.0)
    assert forecast.gain(at, 0, np.zeros(len(at.row)))["value"] is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=1201)
        at = forecast.moments(path(x.cumsum()), 0.0, 1200.0, 1.0)
        half = np.concatenate([x[1:], [0.0]])[: len(at.row)] * 0.5
        found = forecast.gain(at, 0, half + rng.normal(size=len(half)) * 0.5)
        covered += found["low"] < 0.5 < found["high"]
    assert 44 <= covered <= 60


def test_the_distance_from_the_uniform_law_is_the_published_one():
    from scipy import stats

    share = np.random.default_rng(1).beta(1.2, 0.9, 300)
    expected = stats.kstest(share, "uniform").statistic
    assert forecast.uniform_distance(share) == pytest.approx(expected, rel=1e-12)
