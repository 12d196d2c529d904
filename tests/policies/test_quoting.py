"""Depths to orders: on the grid, never across the book, within the room, kept where right."""

import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm.market import ASK, BID
from diffmm.policies import Depths, quoting


BP = 1e4


@pytest.fixture
def event():
    found = events.row(bundles.stream(), 6)
    none = jnp.zeros_like(found.orders.is_live)
    return bundles.replace(found, orders__is_live=none, account__position_usd=0.0)


def mid(event):
    return jnp.mean(event.book.price_bp[:, 0])


def placed(event, bid=1.0, ask=1.0, size=500.0):
    f = lambda x: jnp.asarray(x, mid(event).dtype)
    return quoting.place(event, mid(event), f(bid), f(ask), f(size))


def price_bp(event, ticks):
    return BP * np.log1p(ticks * np.expm1(float(event.rules.tick_bp) / BP))


def test_orders_stand_on_the_grid_at_or_beyond_the_depth_that_was_asked_for(event):
    tick = float(event.rules.tick_bp)
    for depth in (0.7 * tick, 3.3 * tick, 12.9 * tick):
        found = placed(event, depth, depth)
        away = [
            float(mid(event)) - price_bp(event, int(found.ticks[BID, 0])),
            price_bp(event, int(found.ticks[ASK, 0])) - float(mid(event)),
        ]
        assert all(depth - 1e-3 * tick <= x < depth + 1.01 * tick for x in away)
    assert (np.asarray(found.lots)[:, 1:] == 0).all()
    assert np.asarray(found.lots)[:, 0].tolist() == [500, 500]


def test_a_price_that_would_cross_stands_a_tick_short_of_the_other_side(event):
    found = placed(event, -1e3, -1e3)
    assert int(found.ticks[BID, 0]) == int(event.book.ticks[ASK, 0]) - 1
    assert int(found.ticks[ASK, 0]) == int(event.book.ticks[BID, 0]) + 1


def test_a_side_is_empty_where_it_is_withdrawn_has_no_room_or_is_too_small(event):
    lots = lambda found: np.asarray(found.lots)[:, 0].tolist()
    assert lots(placed(event, np.inf, 1.0)) == [0, 500]
    full = bundles.replace(event, account__position_usd=float(event.account.room_usd) - 100)
    assert lots(placed(full)) == [0, 500]
    short = bundles.replace(event, account__position_usd=100 - float(event.account.room_usd))
    assert lots(placed(short)) == [500, 0]
    assert lots(placed(event, size=9.0)) == [0, 0]
    blind = bundles.replace(event, book__is_valid=jnp.zeros_like(event.book.is_valid))
    assert lots(placed(blind)) == [0, 0]
    assert not bool(placed(blind).is_valid)


def test_what_is_right_already_is_kept_and_nothing_else(event):
    found = placed(event)
    live = jnp.zeros_like(event.orders.is_live).at[:, 0].set(True)
    usd = found.lots.astype(event.orders.usd.dtype) * event.rules.lot_usd
    standing = bundles.replace(
        event, orders__ticks=found.ticks, orders__usd=usd, orders__is_live=live
    )
    assert np.asarray(placed(standing).keep)[:, 0].tolist() == [True, True]
    tick = float(event.rules.tick_bp)
    assert np.asarray(placed(standing, 1.0 + tick).keep)[:, 0].tolist() == [False, True]
    assert not np.asarray(placed(standing, size=400.0).keep).any()


def test_an_inventory_is_looked_up_in_whole_fills_and_stays_on_the_grid():
    grid = Depths(jnp.array([1.0, 2.0, jnp.inf]), jnp.array([jnp.inf, 4.0, 5.0]))
    at = lambda q: tuple(map(float, quoting.at_inventory(grid, jnp.float32(q), jnp.float32(100.0))))
    assert at(0) == at(49) == (2.0, 4.0)
    assert at(51) == at(1e6) == (np.inf, 5.0)
    assert at(-1e6) == (1.0, np.inf)
