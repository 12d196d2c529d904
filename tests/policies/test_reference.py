"""Reference policies: their market from probes, their tables, and their loops on one tape."""

import functools as ft

import jax
import numpy as np
import pytest

import small_tape
from diffmm.core import defaults
from diffmm.engine import run
from diffmm.policies import on_tape, reference
from diffmm.simulation import hard_fills


MARKET = reference.Market(rate=0.4, decay=0.6, sigma_bp=2.0, move_bp=0.3)
TASTE = reference.Taste(size_usd=300.0, most_lots=8, gamma0=4e-3, convexity=3.0)


def test_the_fill_rate_of_probes_that_follow_the_law_is_found():
    rng = np.random.default_rng(4)
    depth = rng.uniform(0, 6, 400_000)
    p = -np.expm1(-0.3 * np.exp(-0.7 * depth) * 5.0)
    rate, decay = reference.fill_rate(depth, (rng.random(400_000) < p).astype(float), 5.0)
    assert rate == pytest.approx(0.3, rel=0.03)
    assert decay == pytest.approx(0.7, rel=0.03)


@pytest.mark.parametrize("filled", [np.zeros(6), np.ones(6), np.array([0, 0, 0, 1, 1, 1.0])])
def test_probes_that_tell_no_rate_are_refused_with_a_reason(filled):
    with pytest.raises(ValueError, match=r"probes were filled|expected above 0"):
        reference.fill_rate(np.arange(6.0), filled, 5.0)


@ft.cache
def tables():
    return reference.tables(MARKET, TASTE)


def test_every_policy_withdraws_the_side_that_would_pass_the_room():
    for name, table in tables().items():
        assert np.isinf(table.depths.bid[-1]), name
        assert np.isinf(table.depths.ask[0]), name
        assert np.isfinite(table.depths.bid[:-1]).all(), name
        assert len(table.depths.bid) == 2 * TASTE.most_lots + 1
    assert [t.is_from_touch for t in tables().values()] == [False] * 4 + [True]


def test_holding_more_moves_the_skewed_quotes_down_and_leaves_the_fixed_ones():
    for name in ("glft", "avellaneda_stoikov", "cartea_jaimungal"):
        assert (np.diff(tables()[name].depths.bid[:-1]) > 0).all(), name
        assert (np.diff(tables()[name].depths.ask[1:]) < 0).all(), name
    assert np.ptp(tables()["fixed_spread"].depths.bid[:-1]) == 0


def test_cartea_jaimungal_asks_for_the_move_that_a_taker_brings():
    still = reference.tables(reference.Market(0.4, 0.6, 2.0, 0.0), TASTE)["cartea_jaimungal"]
    moved = tables()["cartea_jaimungal"].depths
    middle = TASTE.most_lots
    assert moved.ask[middle] - still.depths.ask[middle] == pytest.approx(0.3, abs=0.02)


@ft.cache
def told():
    tape = small_tape.tape(800)
    each = tables().values()
    f = lambda x: np.asarray(x, np.float32)
    params = on_tape.Params(
        defaults(hard_fills.Params),
        f([t.depths.bid for t in each]),
        f([t.depths.ask for t in each]),
        np.array([t.is_from_touch for t in each]),
        f(TASTE.size_usd),
    )
    stage = on_tape.build(hard_fills.Config(1), tape.layout)
    out = run.watch(stage, params, tape.rows, unpack=lambda row: row)
    return tape, jax.tree.map(np.asarray, out)


def test_joining_the_touch_stands_at_the_touch_whenever_it_quotes():
    tape, out = told()
    event = tape.events()
    wake = np.flatnonzero(event.wake)
    touch = np.asarray(event.book.ticks)[wake][:, :, 0]
    stands = out.standing_lots[wake][:, -1] > 0
    assert stands.mean() > 0.5
    assert (out.standing_ticks[wake][:, -1] == touch)[stands].all()


def test_positions_are_the_sum_of_fills_and_stay_within_the_room_and_what_flies():
    tape, out = told()
    lot_usd = small_tape.ANCHOR / 10**6
    signed = np.cumsum(out.lots[:, :, 0] - out.lots[:, :, 1], axis=0) * lot_usd
    assert (np.abs(signed).max(axis=0) > 0).all()
    room = float(tape.events().account.room_usd[0])
    assert np.abs(signed).max() <= room + 3 * TASTE.size_usd


def test_the_nearer_policy_trades_more():
    _, out = told()
    traded = dict(zip(tables(), out.lots.sum(axis=(0, 2)), strict=True))
    assert traded["join_touch"] > traded["glft"] > 0
