import dataclasses

import numpy as np
import pytest

import small_run
from diffmm.live.orders import Orders, terms
from diffmm.market import ASK, BID


SLOTS = 2


@pytest.fixture(scope="module")
def quotes():
    _, record = small_run.run()
    frame = int(np.argmax(np.asarray(record.quotes.targets.lots).sum(axis=(1, 2))))
    import jax

    return jax.tree.map(lambda x: np.asarray(x[frame]), record.quotes)


def wanted(quotes, ticks, lots, keep=((0, 0), (0, 0)), is_valid=True):
    as_int = lambda x: np.array(x, np.int32)
    return dataclasses.replace(
        quotes.targets,
        ticks=as_int(ticks),
        lots=as_int(lots),
        keep=np.array(keep, bool),
        is_valid=np.array(is_valid),
    )


def test_a_place_is_told_with_the_terms_of_its_price(quotes):
    side, slot = np.argwhere(quotes.targets.lots > 0)[0]
    ticks = int(quotes.targets.ticks[side, slot])
    told = terms(quotes.surface, int(side), ticks)
    column = int(np.flatnonzero(quotes.surface.ticks[side] == ticks)[0])
    assert told["gm_bp"] == float(quotes.surface.gm_bp[side, column])
    assert told["exit_bp"] == float(quotes.surface.exit_bp)
    assert {"edge_bp", "option_bp", "epnl_usd", "fill"} <= set(told)


def test_ids_count_places_and_cancels_name_them(quotes):
    orders = Orders()
    first = orders.decide(wanted(quotes, [[-3, -5], [4, 0]], [[2, 3], [4, 0]]), quotes.surface)
    assert [x["place"] for x in first] == [1, 2, 3]
    second = orders.decide(
        wanted(quotes, [[-3, -6], [4, 0]], [[2, 3], [4, 0]], [[1, 0], [1, 0]]), quotes.surface
    )
    assert second[0] == {"cancel": 2}
    assert [x.get("place") for x in second] == [None, 4]
    assert orders.intents == 5


def test_targets_that_are_not_valid_cancel_everything(quotes):
    orders = Orders()
    both = [[-3, -5], [4, 6]], [[2, 3], [4, 1]]
    orders.decide(wanted(quotes, *both), quotes.surface)
    pulled = orders.decide(wanted(quotes, *both, is_valid=False), quotes.surface)
    assert sorted(x["cancel"] for x in pulled) == [1, 2, 3, 4]
    assert not orders.live


@pytest.mark.parametrize(("side", "best"), [(BID, -3), (ASK, 4)])
def test_fills_take_the_best_price_first(quotes, side, best):
    orders = Orders()
    orders.decide(wanted(quotes, [[-5, -3], [6, 4]], [[2, 3], [2, 3]]), quotes.surface)
    assert orders.best(side).ticks == best
    told = orders.filled(side, 4)
    assert [(x["ticks"], x["lots"]) for x in told] == [(best, 3), (-5 if side == BID else 6, 1)]
    assert orders.best(side).lots == 1


def test_orders_move_with_the_anchor_and_end_with_the_tick(quotes):
    orders = Orders()
    orders.decide(wanted(quotes, [[-5, 0], [6, 0]], [[2, 0], [2, 0]]), quotes.surface)
    orders.shift(10)
    assert (orders.best(BID).ticks, orders.best(ASK).ticks) == (5, 16)
    orders.shift(None)
    assert not orders.live
