"""The predecessor's quoter: what its gate, zones, clamp and cycle do, each alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm.core import defaults
from diffmm.market import ASK, BID
from diffmm.policies import gate_and_zone, quoting


P = dataclasses.replace(defaults(gate_and_zone.Params), size_usd=jnp.float32(300.0))
STAGE = gate_and_zone.build(gate_and_zone.Config(levels=2))


def depths(held, drift_bp=0.0, params=P):
    found = gate_and_zone.depths(params, jnp.float32(drift_bp), jnp.float32(held))
    return np.array([float(x) for x in found])


def test_the_gate_pulls_the_side_that_adds_above_half_of_the_room_and_no_signal_moves_it():
    for drift_bp in (0.0, -50.0):
        assert np.isfinite(depths(0.5, drift_bp)).all()
        assert np.isinf(depths(0.51, drift_bp)).tolist() == [True, False, False]
        assert np.isinf(depths(-0.51, drift_bp)).tolist() == [False, True, False]


def test_zones_cut_all_sizes_and_send_the_side_that_adds_out_until_red_pulls_it():
    open_gate = dataclasses.replace(P, gate=jnp.float32(1.0))
    at = lambda held: depths(held, params=open_gate)
    base = float(P.half_spread_bp)
    assert at(0.59) == pytest.approx([base, base, 300.0])
    assert at(0.61) == pytest.approx([base + 3, base, 150.0])
    assert at(-0.61) == pytest.approx([base, base + 3, 150.0])
    assert at(0.81) == pytest.approx([np.inf, base, 90.0])


def test_a_drift_leans_both_quotes_its_way_and_never_by_more_than_half_the_clamp():
    base = float(P.half_spread_bp)
    assert depths(0.0, -1.0)[:2] == pytest.approx([base + 0.5, base - 0.5])
    assert depths(0.0, -3.0) == pytest.approx(depths(0.0, -60.0))
    assert depths(0.0, 60.0)[:2] == pytest.approx([base - 1.5, base + 1.5])


def row(**changes):
    found = events.row(bundles.stream(), 6)
    none = jnp.zeros_like(found.orders.is_live)
    plain = {"orders__is_live": none, "account__position_usd": 0.0, "wake": jnp.array(True)}
    return bundles.replace(found, **{**plain, **changes})


def test_a_ladder_is_of_whole_quotes_and_its_first_rung_is_that_of_any_reference():
    event = row()
    _, targets = STAGE.update(P, STAGE.init(P), event)
    mid = jnp.mean(event.book.price_bp[:, 0])
    base = P.half_spread_bp.astype(mid.dtype)
    first = quoting.place(event, mid, base, base, P.size_usd.astype(mid.dtype))
    np.testing.assert_array_equal(targets.ticks[:, 0], first.ticks[:, 0])
    lots = np.asarray(targets.lots)
    assert (lots[:, :2] == lots[0, 0]).all()
    assert lots[0, 0] > 0
    assert (lots[:, 2:] == 0).all()
    assert int(targets.ticks[BID, 1]) <= int(targets.ticks[BID, 0])
    assert int(targets.ticks[ASK, 1]) >= int(targets.ticks[ASK, 0])


def test_between_cycles_orders_stand_as_they_are_whatever_the_book_does():
    state, targets = STAGE.update(P, STAGE.init(P), row(dt_s=jnp.float32(1.0)))
    assert float(state.since_s) == 0
    later = row(dt_s=jnp.float32(4.0))
    later = bundles.replace(later, book__price_bp=later.book.price_bp - 20)
    state, stays = STAGE.update(P, state, later)
    assert np.asarray(stays.keep).all()
    assert float(state.drift_bp) == pytest.approx(-20, abs=0.1)
    _, renewed = STAGE.update(P, state, later)
    assert not np.asarray(renewed.keep)[:, 0].any()
    assert int(renewed.lots[BID, 0]) == int(targets.lots[BID, 0])


def test_a_row_that_is_not_valid_changes_nothing():
    state, _ = STAGE.update(P, STAGE.init(P), row())
    after, targets = STAGE.update(P, state, row(is_valid=jnp.array(False), dt_s=jnp.float32(99.0)))
    jax.tree.map(np.testing.assert_array_equal, after, state)
    assert np.asarray(targets.keep).all()


def test_more_levels_than_slots_are_refused():
    with pytest.raises(ValueError, match="slots of an event"):
        gate_and_zone.build(gate_and_zone.Config(99)).update(P, STAGE.init(P), row())
