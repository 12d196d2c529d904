"""Our own orders in the rows: slots, queues, fills, and a book without our size."""

import numpy as np
import pytest

from diffmm.market import AccountInputs, ASK, BID, Encoder, EncoderConfig, Instrument, Kind, Layout
from diffmm.market.messages import Print, TouchMessage, TradesMessage
from diffmm.market.own import Filled, Gone, Held, Placed, Pulled, Rested


MS, NS = 1_000_000, 1_000_000_000
START = 1_700_000_000 * NS
MID = 1_000_000
CONFIG = EncoderConfig(Layout(levels=4, slots=2))
BEST = MID - 100


def coder():
    one = Encoder(Instrument.hyperliquid("SIM", 2), AccountInputs(), CONFIG)
    touch(one, 0)
    return one


def at(ms):
    return START + ms * MS


def stamp(ms):
    return at(ms) // MS - 10


def touch(one, ms, bid=1_000, ask=1_000):
    message = TouchMessage("SIM", stamp(ms), bid and (BEST, bid), ask and (MID + 100, ask))
    return rows(one, one.on(message, at(ms)))


def print_(one, ms, size, tid, sign=-1, price=BEST):
    message = TradesMessage("SIM", (Print(sign, price, size, stamp(ms), tid),))
    return rows(one, one.on(message, at(ms)))


def rows(one, vectors):
    return [CONFIG.layout.unpack(x) for x in vectors]


def own(one, ms, *changes):
    return rows(one, one.own(changes, at(ms)))


def resting(size=300):
    """An encoder with our order at the best bid, shown by the book."""
    one = coder()
    one.note([Placed("a", BID, 1, BEST, size)])
    own(one, 20, Rested("a", stamp(20)))
    touch(one, 30, bid=1_000 + size)
    return one


def test_what_was_sent_stands_in_the_next_row_and_wakes_nobody():
    one = coder()
    one.note([Placed("a", BID, 1, BEST, 300)])
    (event,) = touch(one, 10, bid=1_001)
    lot = float(event.rules.lot_usd)
    assert event.orders.is_live.tolist() == [[False, True], [False, False]]
    assert event.orders.ticks[BID, 1] == (BEST - one.anchor) // one.tick
    assert float(event.orders.usd[BID, 1]) == pytest.approx(300 * lot)
    assert float(event.orders.ahead_usd[BID, 1]) == pytest.approx(1_001 * lot)


@pytest.mark.parametrize("change", [Rested("a", stamp(20)), Gone("a", stamp(20))])
def test_an_ack_and_an_end_wake(change):
    one = coder()
    one.note([Placed("a", BID, 0, BEST, 300)])
    (event,) = own(one, 20, change)
    assert (int(event.kind), bool(event.wake)) == (Kind.OWN, True)


def test_our_size_is_not_in_the_book_while_it_rests():
    one = resting()
    lot = float(one.row.rules.lot_usd)
    assert float(one.row.book.usd[BID, 0]) == pytest.approx(1_000 * lot)
    # Cancelled, but the venue has not said when it went: it may still be there.
    one.note([Pulled("a")])
    (event,) = touch(one, 40, bid=1_301)
    assert float(event.book.usd[BID, 0]) == pytest.approx(1_001 * lot)
    assert not event.orders.is_live.any()
    own(one, 45, Gone("a", stamp(50)))
    (event,) = touch(one, 60, bid=1_002)
    assert float(event.book.usd[BID, 0]) == pytest.approx(1_002 * lot)


def test_a_level_that_is_all_ours_is_no_level():
    one = resting()
    (event,) = touch(one, 40, bid=300)
    assert not event.book.is_valid[BID].any()
    assert event.book.is_valid[ASK, 0]


def test_prints_take_the_queue_in_front_and_cancels_their_share():
    one = resting()
    lot = float(one.row.rules.lot_usd)
    ahead = lambda: float(one.row.orders.ahead_usd[BID, 1]) / lot
    assert ahead() == pytest.approx(1_000)
    print_(one, 35, 1, tid=0)
    print_(one, 40, 400, tid=1)
    touch(one, 50, bid=900)
    assert ahead() == pytest.approx(600)
    # Nobody traded: half of what left was in front of us.
    touch(one, 60, bid=700)
    assert ahead() == pytest.approx(400)


def test_a_fill_is_told_with_its_price_size_and_what_stood_in_front():
    one = resting()
    (event,) = own(one, 40, Filled("a", BID, BEST, 100), Held(100, 9 * 10**8))
    lot = float(event.rules.lot_usd)
    assert float(event.fill.usd[BID]) == pytest.approx(100 * lot)
    assert float(event.fill.depth_usd[BID]) == pytest.approx(1_000 * lot)
    assert float(event.fill.price_bp[BID]) == pytest.approx(
        1e4 * np.log(BEST / one.anchor), rel=1e-4
    )
    assert float(event.account.position_usd) == pytest.approx(100 * lot)
    assert float(event.account.wealth_usd) == 9.0
    assert float(event.orders.usd[BID, 1]) == pytest.approx(200 * lot)
    (event,) = touch(one, 50, bid=1_200)
    assert float(event.fill.usd[BID]) == 0


def test_an_order_ages_in_its_slot_and_a_new_one_begins_at_zero():
    one = resting()
    (event,) = touch(one, 130, bid=1_301)
    assert float(event.orders.age_s[BID, 1]) == pytest.approx(0.13, abs=0.001)
    one.note([Pulled("a"), Placed("b", BID, 1, BEST - 100, 50)])
    (event,) = touch(one, 140, bid=1_302)
    assert float(event.orders.age_s[BID, 1]) <= 0.01


def test_changes_before_the_first_book_are_kept_for_it():
    one = Encoder(Instrument.hyperliquid("SIM", 2), AccountInputs(), CONFIG)
    assert one.own([Held(-50, 10**8), Placed("a", ASK, 0, MID + 100, 10)], at(0)) == []
    (event,) = touch(one, 10)
    assert float(event.account.position_usd) == pytest.approx(-50 * float(event.rules.lot_usd))
    assert event.orders.is_live[ASK, 0]
