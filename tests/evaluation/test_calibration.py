"""Scores of what was said beforehand, on arrays whose answers are known."""

import numpy as np
import pytest

from diffmm.evaluation import calibration
from diffmm.evaluation.calibration import Interval


N = 40_000
RNG = np.random.default_rng(7)
TIME = np.arange(N) * 0.1
P = RNG.beta(1.0, 3.0, N) / 2
CAME = (RNG.random(N) < P).astype(float)


def test_calibrated_draws_have_slope_and_level_one_inside_their_intervals():
    for found in (calibration.slope(TIME, P, CAME), calibration.level(TIME, P, CAME)):
        assert found.low < 1 < found.high
        assert found.high - found.low < 0.2


def test_a_doubled_probability_has_slope_and_level_one_half():
    slope, level = calibration.slope(TIME, 2 * P, CAME), calibration.level(TIME, 2 * P, CAME)
    assert slope.value == pytest.approx(calibration.slope(TIME, P, CAME).value / 2)
    assert level.value == pytest.approx(0.5, abs=0.02)
    assert slope.high < 0.6


def test_the_slope_is_that_of_least_squares():
    x, y = RNG.normal(size=300), RNG.normal(size=300)
    expected = np.polyfit(x, y, 1)[0]
    assert calibration.slope(np.arange(300.0), x + 1e4, y).value == pytest.approx(expected)


def test_a_constant_added_to_what_came_moves_neither_the_slope_nor_its_interval():
    a, b = calibration.slope(TIME, P, CAME), calibration.slope(TIME, P, CAME + 50)
    assert (b.value, b.low, b.high) == pytest.approx((a.value, a.low, a.high), rel=1e-6)


def test_outcomes_that_share_a_block_widen_the_interval():
    block = np.floor(TIME / 60).astype(int)
    together = (RNG.random(block.max() + 1) < 0.3).astype(float)[block]
    apart = (RNG.random(N) < 0.3).astype(float)
    wide = calibration.mean(TIME, together)
    narrow = calibration.mean(TIME, apart)
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_the_calibration_error_of_a_shift_is_the_shift():
    found = calibration.calibration_error(TIME, P + 0.1, CAME)
    assert found.value == pytest.approx(0.1, abs=0.01)
    assert calibration.calibration_error(TIME, P, CAME).value < 0.01


def test_skill_is_one_when_everything_is_known_and_zero_for_the_base_itself():
    base = np.full(N, CAME.mean())
    assert calibration.brier_skill(TIME, CAME, base, CAME).value == 1
    assert calibration.brier_skill(TIME, base, base, CAME).value == 0
    assert calibration.brier_skill(TIME, P, base, CAME).low > 0


def test_the_top_tenth_less_the_bottom_tenth():
    said = np.arange(100.0)
    found = calibration.top_minus_bottom(np.arange(100.0) * 7 % 600, said, 2 * said + 5)
    assert found.value == pytest.approx(2 * 90)


def test_equal_values_still_fall_into_equal_parts():
    assert np.bincount(calibration.parts(np.zeros(40), 10)).tolist() == [4] * 10


def test_nothing_is_said_of_nothing_and_no_interval_of_one_block():
    none = np.zeros(0)
    assert calibration.slope(none, none, none) == Interval(None)
    x = np.arange(5.0)
    one_block = calibration.slope(x, x, 2 * x)
    assert (one_block.value, one_block.low) == (pytest.approx(2.0), None)
    assert calibration.slope(x, np.ones(5), x) == Interval(None)


@pytest.mark.parametrize(
    ("ends", "contains", "verdict"),
    [
        ((0.9, 1.1), 1.0, "passes"),
        ((0.7, 1.1), 1.0, "undecided"),
        ((0.9, 0.99), 1.0, "fails"),
        ((0.9, 0.99), None, "passes"),
        ((0.5, 0.8), None, "fails"),
        ((1.2, 1.4), None, "fails"),
        ((None, None), 1.0, "undecided"),
    ],
)
def test_a_verdict_is_about_the_ends_of_an_interval(ends, contains, verdict):
    assert calibration.within(Interval(1.0, *ends), 0.85, 1.15, contains=contains) == verdict
