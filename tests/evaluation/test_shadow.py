"""Orders that stand, priced by the surface of their decision; expected and realised edge."""

import numpy as np
import pytest

from diffmm.evaluation import forecast, ladder, placed, shadow


@pytest.fixture(scope="module")
def decided(run):
    tape, record = run
    wakes = tape.frame_index()[0][:, -1]
    return tape, record, wakes, np.asarray(tape.events().rules.lot_usd, float)[wakes]


def test_an_order_at_a_candidate_has_its_own_terms(decided):
    _, record, _, lot_usd = decided
    surface = record.quotes.surface
    ticks = surface.ticks[:, :, :3]
    column = ladder.nearest(surface, ticks)
    at = np.take_along_axis(surface.ticks, column, axis=2)
    valid = surface.is_valid[:, :, :3]
    assert (at[valid] == ticks[valid]).all()
    lots = np.where(valid & (np.arange(3) == 0), 5, 0)
    found = ladder.priced(surface, ticks, lots, lot_usd)
    first = lambda x: np.take_along_axis(np.asarray(x, float), column, axis=2)[:, :, 0]
    usd = 5 * lot_usd[:, None] * valid[:, :, 0] * surface.has_book[:, None]
    gamma = (usd * first(surface.gamma_bp)).sum(axis=1) / 1e4
    np.testing.assert_allclose(found.gamma_usd, gamma, rtol=1e-6)
    kept = first(surface.edge_bp) - first(surface.gm_bp) - first(surface.carry_bp)
    kept = kept - surface.fee_bp[:, None] - surface.exit_bp[:, None]
    theta = (usd * first(surface.fill) * kept).sum(axis=1) / 1e4
    np.testing.assert_allclose(found.theta_usd, theta, rtol=1e-5, atol=1e-12)


def test_the_share_below_gamma_is_of_the_time_with_orders():
    one = ladder.Ladder(
        np.array([1, 0.1, 0, 5.0]), np.array([0.5, 0.5, 1, 1]), np.array([9, 9, 0, 9])
    )
    assert ladder.below_gamma_share(one, np.array([1.0, 2.0, 50.0, 5.0])) == pytest.approx(2 / 8)
    nothing = ladder.Ladder(np.zeros(1), np.ones(1), np.zeros(1))
    assert ladder.below_gamma_share(nothing, np.ones(1)) is None


def test_a_fill_is_expected_what_the_decision_before_it_said(decided):
    _, record, wakes, _ = decided
    surface = record.quotes.surface
    k = 60
    column = int(np.flatnonzero(surface.is_valid[k, 1])[1])
    tick = surface.ticks[k, 1, column]
    rows = np.array([wakes[0], wakes[k], wakes[k] + 1])
    f = placed.Fills(rows, rows * 1.0, np.ones(3), np.zeros(3), np.ones(3))
    found = shadow.at_fills_bp(surface, wakes, np.array([0, tick, tick]), f)
    u, o = surface.fill[k, 1, column], surface.sniped[k, 1, column]
    income = u * (surface.edge_bp[k, 1, column] - surface.gm_bp[k, 1, column])
    said = (income - surface.option_bp[k, 1, column]) / (u + o)
    assert np.isnan(found[0])
    assert found[2] == pytest.approx(said, rel=1e-4)
    # The row that woke decision k was folded before it.
    assert found[1] != pytest.approx(said, rel=1e-4)


def test_edges_are_by_notional_over_fills_that_are_old_enough():
    time = np.arange(301.0)
    flat = np.ones(301)
    known = forecast.Path(time, 0.1 * time, flat, flat, flat, flat > 0)
    row = np.array([10, 100, 290])
    f = placed.Fills(row, time[row], np.array([1.0, -1.0, 1.0]), np.zeros(3), np.array([1, 3, 9.0]))
    found = shadow.edges(known, np.array([2.0, 4.0, 100.0]), f, 60, 0)
    assert found["edge_fills"] == 2
    assert found["expected_edge_bp"]["value"] == pytest.approx((2 + 12) / 4)
    assert found["realised_edge_bp"]["value"] == pytest.approx((-7 + 3 * 16) / 4)
    assert found["realised_less_expected_bp"]["value"] == pytest.approx((-9 + 3 * 12) / 4)


def test_quoted_time_is_that_between_decisions():
    lots = np.array([[[1, 0], [0, 0]], [[0, 2], [1, 0]], [[0, 0], [0, 0]]])
    found = shadow.quoted_s(lots, np.array([1.0, 3.0, 4.0]), 10.0)
    assert found == {"quote_seconds": 3.0, "two_sided_seconds": 1.0, "seconds": 9.0}


def test_only_one_surface_is_taken_for_each_fill(decided):
    surface = decided[1].quotes.surface
    some = ladder.some(surface, np.array([3, 3, 1]))
    assert some.ticks.shape[0] == 3
    assert (some.ticks[0] == surface.ticks[3]).all()
