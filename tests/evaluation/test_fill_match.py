"""Which fills of two accounts agree, and what the others come to."""

import numpy as np
import pytest

from diffmm.evaluation import fill_match


def fills(*rows):
    """From `(order, time_ms, side, price, size)`."""
    return fill_match.Fills(*np.array(rows, np.int64).reshape(-1, 5).T)


def test_a_fill_has_a_partner_of_the_same_side_price_and_size_within_the_quantum():
    ours = fills((0, 100, 0, 50, 1), (1, 200, 1, 51, 1), (2, 300, 0, 50, 1), (3, 400, 0, 49, 1))
    theirs = fills((0, 150, 0, 50, 1), (1, 251, 1, 51, 1), (2, 300, 1, 50, 1), (3, 400, 0, 49, 2))
    mine, other = fill_match.match(ours, theirs, 50)
    assert mine.tolist() == [0, -1, -1, -1]
    assert other.tolist() == [0, -1, -1, -1]


def test_a_partner_is_used_once():
    mine, other = fill_match.match(
        fills((0, 100, 0, 50, 1), (1, 101, 0, 50, 1)), fills((0, 100, 0, 50, 1)), 50
    )
    assert mine.tolist() == [0, -1]
    assert other.tolist() == [0]


def test_the_share_is_of_the_larger_account_and_money_that_differs_is_told():
    ours = fills((0, 100, 0, 1000, 2))
    theirs = fills((0, 100, 0, 1000, 2), (1, 200, 1, 1004, 2))
    told = fill_match.compare(ours, theirs, 50, mark=1002.0)
    assert told["matched"] == told["same_millisecond"] == 1
    assert told["matched_share"] == 0.5
    # Theirs earned 2 lots x 2 more, of 2 x 1000 + 2 x 1004 traded.
    assert told["pnl_difference_bp"] == pytest.approx(-1e4 * 4 / 4008)


def test_without_fills_there_is_nothing_to_share():
    told = fill_match.compare(fills(), fills(), 50, mark=1.0)
    assert told["matched_share"] is None
    assert told["pnl_difference_bp"] is None
