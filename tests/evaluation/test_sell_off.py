"""Scores of a scripted sell-off, on positions written by hand."""

import numpy as np
import pytest

from diffmm.evaluation import sell_off


TIME_S = np.array([0.0, 1.0, 3.0, 4.0, 5.0])
BOUGHT, SOLD = np.array([1.0, 0, 0, 2, 0]), np.array([0.0, 0.5, 0, 0, 1])


def run(bought=BOUGHT, sold=SOLD, price=100.0):
    return sell_off.Run(TIME_S, bought, sold, np.full(5, price))


def test_a_position_is_averaged_by_how_long_it_was_held_and_notional_counts_both_sides():
    told = sell_off.scores(run(), 0.0, 4.0)
    assert told["mean"] == pytest.approx((1 * 1 + 0.5 * 3) / 4)
    assert (told["most"], told["least"], told["end"]) == (1.0, 0.5, 0.5)
    assert told["filled_usd"] == pytest.approx(150)
    assert told["fills"] == 2


def test_the_peak_is_counted_from_the_flat_mean_and_the_rally_the_other_way():
    told = sell_off.told(run(), run(SOLD, BOUGHT), 4.0, 6.0)
    assert told["above_flat"] == pytest.approx(2.5 - 0.625)
    assert told["below_flat_in_rally"] == pytest.approx(0.625 + 2.5)
    assert told["rally"]["filled_usd"] == pytest.approx(300)


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="no row between"):
        sell_off.scores(run(), 6.0, 7.0)
