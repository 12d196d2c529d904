"""Rows of a tape as exact prices and times, and fills on them."""

import dataclasses

import jax
import numpy as np

from diffmm import evaluation, market
from diffmm.evaluation import Ledger, Markouts
from diffmm.market import ASK, BID, Kind


COIN = market.Instrument("TOY", 2, 4)
LAYOUT = market.Layout(2, 1)
S = 1_000_000_000


def tape(rows, anchors):
    """Rows `(dt_s, bid ticks, ask ticks, changes)`."""
    vectors = []
    for dt, bid, ask, changes in rows:
        vector = np.zeros(LAYOUT.width, np.float32)
        view = LAYOUT.views(vector)
        view.dt_s[...], view.is_valid[...], view.wake[...] = dt, 1, 1
        view.kind[...] = int(Kind.BBO)
        view.book.ticks[:, 0], view.book.is_valid[:, 0] = (bid, ask), 1
        view.rules.lot_usd[...] = 0.4
        for path, value in changes.items():
            *parents, leaf = path.split(".")
            at = view
            for name in parents:
                at = getattr(at, name)
            getattr(at, leaf)[...] = value
        vectors.append(vector)
    return market.Tape(np.stack(vectors), LAYOUT, 1, COIN, anchors)


def test_prices_follow_the_anchor_in_force_at_each_row():
    rows = [(0, -1, 1, {}), (0.5, 2, 4, {}), (0.25, -3, -1, {}), (1, 0, 1, {})]
    s = evaluation.series(tape(rows, ((0, 1000, 10), (2, 1100, 100))))
    assert s.bid.tolist() == [990, 1020, 800, 1100]
    assert s.ask.tolist() == [1010, 1040, 1000, 1200]
    assert s.time_ns.tolist() == [0, S // 2, 3 * S // 4, 7 * S // 4]
    for row, (_, anchor, _) in enumerate([(0, 1000, 10)] * 2 + [(2, 1100, 100)] * 2):
        assert s.anchor[row] == anchor


def test_fills_get_absolute_prices_by_row():
    rows = [(0, -1, 1, {})] * 4
    s = evaluation.series(tape(rows, ((0, 1000, 10), (3, 1100, 100))))
    lots, lots_ticks = np.zeros((2, 2, 2), np.int32), np.zeros((2, 2, 2), np.int32)
    lots[0, 1, BID], lots_ticks[0, 1, BID] = 3, 3 * -1
    lots[1, 1, ASK], lots_ticks[1, 1, ASK] = 5, 2 * 1 + 3 * 2
    index = np.array([[0, 1], [2, 3]])
    got = evaluation.fills(s, index, lots, lots_ticks)
    assert got == [(1, BID, 3 * 990, 3), (3, ASK, 2 * 1200 + 3 * 1300, 5)]


def score(s, fills, rows, fee="0"):
    ledger, markouts = Ledger(COIN, fee), Markouts((1,))
    evaluation.score(s, fills, rows, ledger, markouts)
    return ledger, markouts


def test_a_fill_comes_before_the_mid_of_its_own_row():
    rows = [(0, 0, 2, {}), (1, 10, 12, {}), (1, 10, 12, {})]
    s = evaluation.series(tape(rows, ((0, 1000, 1),)))
    ledger, markouts = score(s, [evaluation.Fill(1, ASK, 1002 * 4, 4)], 3)
    assert ledger.pnl_parts_1e8["spread"] == 4 * 100
    assert ledger.pnl_parts_1e8["adverse"] == -10 * 4 * 100
    assert markouts.estimate(1).n == 1


def test_rows_beyond_the_run_are_not_scored():
    rows = [(0, 0, 2, {}), (1, 10, 12, {}), (1, 50, 52, {})]
    s = evaluation.series(tape(rows, ((0, 1000, 1),)))
    ledger, markouts = score(s, [evaluation.Fill(1, BID, 1000, 1)], 2)
    assert ledger.mid2 == 2022
    assert markouts.estimate(1).n == 0


def test_a_row_without_a_two_sided_book_leaves_the_mid():
    gone = {"book.is_valid": 0}
    rows = [(0, 0, 2, {}), (1, 900, 902, gone), (1, 4, 2, {}), (1, 0, 2, {}), (1, 0, 4, {})]
    s = evaluation.series(tape(rows, ((0, 1000, 1),)))
    assert s.has_book.tolist() == [True, False, False, True, True]
    for rows, mid2 in ((3, 2002), (4, 2002), (5, 2004)):
        assert score(s, [], rows)[0].mid2 == mid2


def context(rate, left_s):
    return {
        "kind": int(Kind.CONTEXT),
        "context.funding_rate_1h": rate,
        "context.settlement_s": left_s,
    }


def test_funding_is_settled_once_an_hour_at_the_newest_rate_before_it():
    rows = [
        (0, 0, 2, {}),
        (1, 0, 2, context(0.5, 10)),
        (1, 0, 2, context(0.25, 9)),
        (5, 0, 2, {}),
        (20, 0, 2, context(0.125, 3600)),
        (20, 0, 2, {}),
    ]
    s = evaluation.series(tape(rows, ((0, 1000, 1),)))
    assert s.settlements == ((11 * S, "0.25"),)
    ledger, _ = score(s, [evaluation.Fill(3, BID, 1001 * 4, 4)], 6)
    assert ledger.pnl_parts_1e8["funding"] == -1001 * 100
    late, _ = score(s, [evaluation.Fill(4, BID, 1001 * 4, 4)], 6)
    assert late.pnl_parts_1e8["funding"] == 0


def test_the_parts_of_a_whole_run_sum_exactly(run):
    recorded, record = run
    s = evaluation.series(recorded)
    index, _ = recorded.frame_index()
    ours = evaluation.fills(s, index, record.lots, record.lots_ticks)
    ledger, _ = score(s, ours, len(recorded.rows), "1.5")
    assert len(ours) > 5
    assert sum(ledger.pnl_parts_1e8.values()) == ledger.pnl_1e8
    assert ledger.inventory_direct_1e8 == ledger.pnl_parts_1e8["inventory"]
    assert all(jax.tree.leaves(jax.tree.map(np.all, dataclasses.asdict(s)["has_book"])))
