"""What placed quotes earned, on a path and fills made by hand."""

import numpy as np
import pytest

from diffmm.evaluation import placed
from diffmm.evaluation.forecast import Path


N = 901
TIME = np.arange(N) * 1.0


def path(mid_bp):
    flat = np.ones(N)
    return Path(TIME, np.asarray(mid_bp, float), flat, flat, 0 * flat, flat > 0)


def fills(*some):
    """`(row, sign, price_bp, usd)` each."""
    row, sign, price, usd = (np.array(x) for x in zip(*some, strict=True))
    return placed.Fills(row, TIME[row], sign.astype(float), price.astype(float), usd.astype(float))


WINDOW = placed.Window(60.0, 840.0)
RAMP = path(0.01 * TIME)


def test_fills_come_from_lots_and_their_ticks_about_the_anchor_of_their_row():
    lots, ticks = np.zeros((N, 2)), np.zeros((N, 2))
    lots[5, 0], ticks[5, 0] = 2, -6
    lots[7, 1], ticks[7, 1] = 1, 4
    anchor = np.where(TIME < 6, 0.0, 10.0)
    f = placed.fills(RAMP, anchor, np.full(N, 3.0), lots, ticks)
    assert f.row.tolist() == [5, 7]
    assert f.sign.tolist() == [-1, 1]
    assert f.price_bp == pytest.approx([-3, 14], abs=1e-2)
    assert f.usd.tolist() == [6, 3]


def test_a_markout_is_net_by_notional_and_only_of_fills_in_the_window_that_are_old_enough():
    f = fills((10, 1, 50, 100), (100, 1, 5, 100), (200, -1, 1, 300), (835, 1, 90, 100))
    found = placed.scores(RAMP, f, WINDOW, 0.5, 0)
    assert found["fills"] == 3
    assert found["filled_usd"] == 500
    # Ask at 5 against 1.1 ten seconds on; bid at 1 against 2.1.
    gains = np.array([5 - 1.1, 2.1 - 1.0]) - 0.5
    weights = np.array([100, 300])
    assert found["markout_10s_bp"]["value"] == pytest.approx(np.average(gains, weights=weights))
    usd = (gains * weights).sum() / 1e4
    hours = 780 / 3600
    assert found["markout_10s_usd_per_hour"]["value"] == pytest.approx(usd / hours)
    time_s, each = placed.net_usd(RAMP, f, WINDOW, 0.5, 10)
    assert time_s.tolist() == [100, 200]
    assert each.sum() == pytest.approx(usd)


def test_policies_with_the_same_fills_differ_by_exactly_nothing():
    f = fills(*((k, 1, 0.01 * k + 2, 100 + k) for k in range(70, 700, 11)))
    ours = placed.net_usd(RAMP, f, WINDOW, 0.5, 10)
    same = placed.paired_per_hour(ours, ours, WINDOW, 0)
    assert same.value == pytest.approx(0, abs=1e-12)
    assert same.high == pytest.approx(0, abs=1e-12)
    better = (ours[0], ours[1] + 0.01)
    apart = placed.paired_per_hour(better, ours, WINDOW, 0)
    assert 0 < apart.low < apart.value < apart.high


def test_a_minute_without_a_fill_counts_in_a_figure_per_hour():
    early = np.full(20, 70.0)
    found = placed.per_hour(early, np.ones(20), WINDOW, 0)
    assert found.value == pytest.approx(20 * 3600 / 780)
    # One block of fourteen holds all: many draws have none of it.
    assert found.low == 0
    assert found.high > found.value


def test_permanent_impact_is_what_stays_after_the_transient_is_gone():
    # Each fill of an ask is followed by a jump of 3 + 2 exp(-t / 4) that starts at its own row.
    rows = np.arange(100, 700, 100)
    mid = np.zeros(N)
    for k in rows:
        mid += np.where(k <= TIME, 3.0, 0.0)
        after = (k <= TIME) & (k + 100 > TIME)
        mid += np.where(after, 2 * np.exp(-(TIME - k) / 4), 0.0)
    many = [(k, 1, mid[k - 1], 100) for k in rows for _ in range(2)]
    found = placed.permanent_impact(path(mid), fills(*many), WINDOW, 0)
    assert found.value == pytest.approx(3.0, abs=0.05)
    assert placed.permanent_impact(path(mid), fills(*many[:4]), WINDOW, 0).value is None


def test_inventory_that_halves_every_twenty_seconds_says_so():
    q = 100 * 0.5 ** (TIME / 20)
    assert placed.half_life_s(q) == pytest.approx(20)
    assert placed.half_life_s(np.zeros(5)) is None
    assert placed.half_life_s(np.ones(5)) is None


def test_pnl_is_marked_at_the_mid_with_what_was_held_before_and_the_fee():
    f = fills((10, -1, 0.1, 1000), (400, 1, 6, 1000))
    found = placed.scores(RAMP, f, WINDOW, 1.0, 0)
    # Held 1000 USD from .6 to the sale at 6 bp, one bp of fee.
    assert found["pnl_usd"] == pytest.approx((6 - 0.6 - 1.0) * 1000 / 1e4)
    assert found["largest_inventory_usd"] == 1000
    assert found["drawdown_usd"] == pytest.approx(0, abs=1e-9)


def test_the_drawdown_is_the_largest_fall_from_a_high():
    assert placed.drawdown(np.array([1.0, 4.0, 2.0, 5.0, 1.5, 3.0])) == 3.5
    assert placed.drawdown(np.array([-2.0, -1.0])) == 2.0
