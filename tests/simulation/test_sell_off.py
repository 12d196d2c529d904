"""The scripted sell-off: exact in its move, agreeing in its signals, mirrored in its rally."""

import functools as ft

import numpy as np
import pytest

from diffmm.simulation import sell_off


SCRIPT = sell_off.Script(flat_s=1500.0, trend_s=300.0)


@ft.cache
def run(*, is_rally):
    return sell_off.simulate(SCRIPT, 3, is_rally=is_rally)


def test_the_flat_part_ends_where_it_began_and_the_fall_is_exactly_as_long_as_written():
    fall = run(is_rally=False)
    at = lambda s: np.interp(s, fall.times_s, fall.public_bp)
    assert at(0.0) == pytest.approx(0, abs=1e-9)
    assert at(SCRIPT.flat_s) == pytest.approx(0, abs=0.5)
    assert fall.public_bp[-1] == pytest.approx(SCRIPT.move_bp)
    halves = at(SCRIPT.flat_s + SCRIPT.trend_s / 2)
    assert halves == pytest.approx(SCRIPT.move_bp / 2, abs=15)


def test_flow_and_book_say_what_the_price_says():
    fall = run(is_rally=False)
    late = fall.times_s[fall.at_takers] >= SCRIPT.flat_s
    assert 0.4 < (fall.sign[~late] > 0).mean() < 0.6
    assert (fall.sign[late] > 0).mean() < 0.15
    depth = fall.depth_noise[fall.times_s[fall.at_blocks] >= SCRIPT.flat_s].mean(axis=(0, 2))
    assert depth[1] - depth[0] == pytest.approx(SCRIPT.tilt, abs=0.05)
    # Whoever turned seller goes as far below the price as he would have gone above it.
    reach = fall.sign * (fall.limit_bp - fall.public_bp[fall.at_takers])
    assert (reach >= 0).all()


def test_the_rally_has_the_same_flat_minutes_and_the_mirror_of_the_fall():
    fall, rally = run(is_rally=False), run(is_rally=True)
    np.testing.assert_array_equal(fall.times_s, rally.times_s)
    late = fall.times_s >= SCRIPT.flat_s
    np.testing.assert_allclose(fall.public_bp[~late], rally.public_bp[~late])
    np.testing.assert_allclose(fall.public_bp[late], -rally.public_bp[late])
    taken, blocks = late[fall.at_takers], late[fall.at_blocks]
    np.testing.assert_array_equal(fall.sign[~taken], rally.sign[~taken])
    np.testing.assert_array_equal(fall.sign[taken], -rally.sign[taken])
    np.testing.assert_allclose(fall.limit_bp[taken], -rally.limit_bp[taken])
    np.testing.assert_array_equal(fall.depth_noise[~blocks], rally.depth_noise[~blocks])
    np.testing.assert_array_equal(fall.depth_noise[blocks], rally.depth_noise[blocks, ::-1])
