"""Counts of a run and the problem made of them, on a record made by hand."""

import types

import numpy as np
import pytest

import small_tape
from diffmm import core
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.evaluation import placed
from diffmm.learning import unwind
from diffmm.market import AccountInputs, ASK, BID
from diffmm.risk.unwind import Action, rates, Stance


ACCOUNT = AccountInputs(wealth_usd=1e5, room_usd=2e4, gamma_limit_usd=0.2, maker_fee_bp=1.5)
CONFIG = unwind.Config()
WHOLE = placed.Window(0.0, 1e9)


def hand(position=8.0, away=0, lots=5, mode=0):
    """A tape, and a record in which every frame holds, stands and fills alike."""
    tape = small_tape.tape()
    index, valid = tape.frame_index()
    n, rows = valid.shape
    event = tape.events()
    side = ASK if position > 0 else BID
    touch = np.asarray(event.book.ticks)[index[:, -1], side, 0].astype(np.int64)
    ticks, stands = np.zeros((n, 2, 4), np.int64), np.zeros((n, 2, 4), np.int64)
    ticks[:, side, 0] = touch + (1 if side == ASK else -1) * away
    stands[:, side, 0] = 10
    filled = np.zeros((n, rows, 2), np.int64)
    filled[:, 0, side] = lots * valid[:, 0]
    modes = np.full((n, 2), 1e-9)
    modes[:, mode] = 1.0
    space = types.SimpleNamespace
    seen = space(
        belief=space(
            log_mode=np.log(modes),
            mean=np.zeros((n, 4)),
            mode_sigma_bp=np.tile([1.0, 3.0], (n, 1)),
        ),
        features=space(half_spread_bp=np.full(n, 4.0)),
    )
    quotes = space(risk=space(position_usd=np.full(n, position)))
    record = space(
        lots=filled,
        lots_ticks=filled * touch[:, None, None],
        standing_ticks=ticks,
        standing_lots=stands,
        seen=seen,
        quotes=quotes,
    )
    return tape, record


def gather(*args, window=WHOLE, **kwargs):
    tape, record = hand(*args, **kwargs)
    return unwind.gather(tape, record, defaults(graph.Params), window, 1.5, CONFIG)


@pytest.mark.parametrize("position", [8.0, -8.0])
@pytest.mark.parametrize(
    ("away", "action"), [(-1, Action.IMPROVE), (0, Action.JOIN), (3, Action.LADDER)]
)
def test_what_stood_where_is_counted_as_that_action(position, away, action):
    found = gather(position, away)
    quoted = found.reduced.quoted_s.sum(1)
    assert quoted[action] == pytest.approx(found.seconds)
    assert quoted.sum() == pytest.approx(found.seconds)
    assert found.held_s.sum() == pytest.approx(found.seconds)
    tick_bp = float(np.asarray(small_tape.tape().events().rules.tick_bp)[0])
    assert found.outside_bp[action] == pytest.approx(away * tick_bp * found.seconds)


def test_a_fill_beyond_what_is_held_is_no_reduction():
    tape, record = hand()
    lot_usd = float(np.asarray(tape.events().rules.lot_usd)[0])
    frames = len(record.lots)
    some, most = gather(8.0, 0, 5), gather(1.0, 0, 5)
    assert some.reduced.usd.sum() == pytest.approx((frames - 1) * 5 * lot_usd)
    assert most.reduced.usd.sum() == pytest.approx(frames - 1)
    assert gather(-8.0, 0, 5).added_usd.sum() == 0


def test_it_is_told_by_mode_and_flat_is_not_holding():
    found = gather(mode=1)
    assert found.held_s[1] == pytest.approx(found.seconds)
    assert found.held_s[0] == pytest.approx(0, abs=1e-6)
    flat = gather(position=0.0)
    assert flat.held_s.sum() == 0
    assert flat.reduced.quoted_s.sum() == 0


def test_stretches_of_one_run_add_up():
    tape, _ = hand()
    end = float(np.sum(tape.events().dt_s, dtype=np.float64))
    whole = gather()
    parts = [gather(window=placed.Window(a * end, b * end + 1e-6)) for a, b in ((0, 0.5), (0.5, 1))]
    both = parts[0] + parts[1]
    # One step between the two windows belongs to neither.
    assert both.seconds == pytest.approx(whole.seconds, rel=0.05)
    np.testing.assert_allclose(both.reduced.usd, whole.reduced.usd, rtol=0.05)


def test_the_problem_is_inside_its_domains_whatever_was_seen():
    params = defaults(graph.Params)
    for found in (gather(), gather(position=0.0), gather(lots=0), gather(-8.0, -1)):
        p = unwind.problem(found, params, ACCOUNT, CONFIG)
        assert core.violations(p) == []
        assert np.isfinite(np.asarray(rates(p).running)).all()
        fill, extra = np.asarray(p.fill_usd_s), np.asarray(p.extra_bp)
        assert (np.diff(fill, axis=0) >= 0).all()
        assert (np.diff(extra) >= 0).all()
        assert extra[Action.LADDER] == 0
        np.testing.assert_allclose(p.funding_rate, np.asarray(p.funding_rate)[::-1, ::-1])
        assert float(p.payment_bp[Stance.ADVERSE]) == -float(p.payment_bp[Stance.FAVOURABLE])


def test_more_fills_seen_are_a_faster_market():
    params = defaults(graph.Params)
    few, many = (unwind.problem(gather(lots=k), params, ACCOUNT, CONFIG) for k in (1, 8))
    assert (np.asarray(many.add_usd_s) > np.asarray(few.add_usd_s)).all()
    rates_of = lambda p: np.asarray(p.fill_usd_s)[Action.LADDER]
    assert (rates_of(many) > rates_of(few)).all()
    np.testing.assert_array_equal(rates_of(few), few.add_usd_s)


def test_a_taker_pays_both_fees_apart_and_twice_the_half_spread():
    p = unwind.problem(gather(), defaults(graph.Params), ACCOUNT, CONFIG)
    taken = 2 * 4.0 + ACCOUNT.taker_fee_bp - ACCOUNT.maker_fee_bp
    assert float(p.extra_bp[Action.TAKE]) == pytest.approx(taken)


def test_the_shape_chain_keeps_the_share_of_a_normal_drift():
    p = unwind.problem(gather(), defaults(graph.Params), ACCOUNT, CONFIG)
    chain = np.asarray(p.shape_rate, float) * (1 - np.eye(3))
    generator = chain - np.diag(chain.sum(1))
    share = np.linalg.lstsq(np.vstack([generator.T, np.ones(3)]), [0, 0, 0, 1], rcond=None)[0]
    drawn = np.abs(np.random.default_rng(0).normal(size=200_000)) / unwind.WIDE
    assert share[Stance.ADVERSE] == pytest.approx(np.minimum(drawn, 1).mean() / 2, abs=5e-3)
    assert share[Stance.ADVERSE] == pytest.approx(share[Stance.FAVOURABLE], rel=1e-4)
