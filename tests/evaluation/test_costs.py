"""E[PnL] by side and depth, and who is to blame where it is not positive."""

import dataclasses

import numpy as np

from diffmm.evaluation import costs
from diffmm.pricing import TERMS


def names(income, rows):
    return [costs.BLAMES[i] for i in costs.blame(np.array(income), np.array(rows, float))]


def row(**terms):
    return [terms.get(name, 0.0) for name in TERMS]


def test_the_smallest_cost_that_alone_would_make_it_pay_is_to_blame():
    rows = [
        row(gm=3.0, option=1.2, exit=0.5),
        row(gm=3.0, option=0.9, exit=0.5),
        row(gm=3.0, option=3.0, exit=1.0),
    ]
    assert names([3.6, 3.4, 3.0], rows) == ["option", "gm", "gm"]


def test_where_no_cost_alone_suffices_the_largest_is_to_blame_or_the_edge_itself():
    rows = [row(gm=3.0, option=3.5), row(gm=3.0, option=3.5)]
    assert names([1.0, -1.0], rows) == ["option", "edge"]


def test_a_negative_cost_is_never_to_blame():
    assert names([1.0], [row(fee=-1.0, gm=2.5)]) == ["gm"]


def test_the_costs_of_a_surface_add_up_to_its_expected_pnl(run):
    _, record = run
    s = record.quotes.surface
    total = s.fill * s.edge_bp - costs.costs_bp(s).sum(axis=-1)
    want = 1e4 * s.epnl_usd / s.size_usd[:, None, None]
    valid = s.is_valid
    np.testing.assert_allclose(total[valid], want[valid], rtol=1e-4, atol=1e-5)


def wakes(tape):
    index, _ = tape.frame_index()
    return tape.layout.unpack(tape.rows[index[:, -1]])


def test_shares_count_every_valid_candidate_once(run):
    tape, record = run
    s, mid = record.quotes.surface, record.seen.features.mid_bp
    got = costs.positive_share(s, wakes(tape), mid)
    columns = s.ticks.shape[2] - 2
    for i, side in enumerate(costs.SIDES):
        valid, pays = s.is_valid[:, i, :columns], s.epnl_usd[:, i, :columns] > 0
        assert sum(x.n for x in got[side].values()) == valid.sum()
        blamed = sum(sum(x.blamed.values()) for x in got[side].values())
        assert blamed == (valid & ~pays).sum() > 0
        positive = sum(x.share * x.n for x in got[side].values() if x.n)
        np.testing.assert_allclose(positive, (valid & pays).sum())


def test_a_fee_that_eats_everything_is_named(run):
    tape, record = run
    s = record.quotes.surface
    costly = dataclasses.replace(s, fee_bp=s.fee_bp + 1e3, epnl_usd=s.epnl_usd - 1e6)
    got = costs.positive_share(costly, wakes(tape), record.seen.features.mid_bp)
    for side in got.values():
        assert side["near_touch"].share == 0
        assert side["near_touch"].negative_term == "fee"


def test_near_touch_is_half_a_spread_and_a_tick_from_the_own_touch_and_the_rest_goes_by_the_mid(
    run,
):
    tape, _ = run
    event = costs.take(wakes(tape), slice(0, 1))
    touch = np.array([[[-2] + [-3] * 3, [4] + [5] * 3]])
    event = dataclasses.replace(event, book=dataclasses.replace(event.book, ticks=touch))
    mid = np.array([2.0])
    # The half spread is 3 ticks: 4 ticks to either side of the own touch are near it.
    ticks = np.array([[[-6, -7, 2, 3], [8, 9, 0, -1]]])
    got = costs.bucket(event, ticks, np.full(ticks.shape, 5.0), mid)
    assert (got == 0).tolist() == [[[True, False, True, False], [True, False, True, False]]]
    away = np.array([[[-1.9, -2.0, -5.0, -10.0], [1.9, 4.9, 9.9, 10.0]]])
    far = costs.bucket(event, np.full(away.shape, 90), mid[0] + away, mid)
    assert [[costs.BUCKETS[i] for i in side] for side in far[0]] == [
        ["0-2", "2-5", "5-10", "10+"],
        ["0-2", "2-5", "5-10", "10+"],
    ]
