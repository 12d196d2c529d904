import pytest

from diffmm.venues.local.config import Config
from diffmm.venues.local.events import Close, Connected, Received
from diffmm.venues.local.flow import Flow
from diffmm.venues.local.venue import Venue
from traders import cancelling, conserved, order, placing, Room, START_NS, still_room, Trader


CLOID = "0x0000000000000000000000000000002a"


def pair(**changes):
    room = still_room(**changes)
    return room, Trader(room, "a"), Trader(room, "b")


def test_an_order_rests_is_filled_in_part_and_both_sides_pay_their_fee():
    room, maker, taker = pair()
    maker.subscribe(type="userFills", user=maker.address)
    maker.subscribe(type="orderUpdates", user=maker.address)
    placed = maker.place("B", "99.5", "4", "Alo", cloid=CLOID)
    assert placed == {"resting": {"oid": 1, "cloid": CLOID}}
    taken = taker.place("A", "99", "1.5", "Ioc")
    assert taken["filled"] == {"totalSz": "1.5", "avgPx": "99.5", "oid": 2}
    room.wait(0.2)
    snapshot, told = maker.heard("userFills")
    assert snapshot == {"isSnapshot": True, "user": maker.address, "fills": []}
    assert "isSnapshot" not in told
    (fill,) = told["fills"]
    assert (fill["px"], fill["sz"], fill["side"], fill["dir"]) == ("99.5", "1.5", "B", "Open Long")
    assert (fill["fee"], fill["crossed"], fill["cloid"]) == ("0.022388", False, CLOID)
    truth = maker.truth
    assert truth.positions == {"SIM": 150}
    assert truth.cash == 100_000_000_000 - 149_250_000 - 22_388
    assert truth.open_orders[1]["sz"] == "2.5"
    assert taker.truth.fees == 67_163
    assert conserved(room.venue) == 0


def test_the_same_seed_gives_the_same_frames_and_another_seed_does_not():
    def frames(seed):
        room = Room(Venue(Config(), Flow(seed), START_NS))
        trader = Trader(room, "a")
        for feed in ("bbo", "trades", "l2Book", "activeAssetCtx"):
            trader.subscribe(type=feed, coin="SIM")
        trader.place("B", "109.93", "5", "Alo")
        room.wait(20.0)
        return trader.frames

    assert frames(0) == frames(0)
    assert frames(0) != frames(1)


def test_in_one_block_resting_orders_come_before_cancels_and_cancels_before_crossing_orders():
    room, maker, taker = pair()
    oid = maker.place("B", "99.5", "4", "Alo")["resting"]["oid"]
    # They arrive in the opposite order, all before the next block.
    taking = taker.post(placing(order("A", "99", "2", "Ioc")))
    cancel = maker.post(cancelling(oid))
    resting = maker.post(placing(order("B", "99.4", "1", "Alo")))
    assert maker.answer(resting) is None
    room.wait()
    assert maker.answer(cancel)["response"]["data"]["statuses"] == ["success"]
    filled = taker.answer(taking)["response"]["data"]["statuses"][0]["filled"]
    assert (filled["totalSz"], filled["avgPx"]) == ("1.0", "99.4")
    assert maker.answer(resting)["status"] == "ok"


def test_quotes_at_the_touch_of_the_default_market_are_filled_within_seconds():
    waits = []
    for seed in range(5):
        room = Room(Venue(Config(), Flow(seed), START_NS))
        trader = Trader(room, "a")
        trader.subscribe(type="bbo", coin="SIM")
        bid, ask = trader.heard("bbo")[-1]["bbo"]
        trader.act(placing(order("B", bid["px"], "1", "Alo"), order("A", ask["px"], "1", "Alo")))
        while not trader.truth.fills:
            room.wait(0.5)
        waits.append((room.now_ns - START_NS) / 1e9)
    assert max(waits) < 20.0


def test_a_silent_line_is_closed_and_a_ping_keeps_it():
    room, quiet, pinging = pair()
    for _ in range(3):
        pinging.send({"method": "ping"})
        room.wait(30.0)
    assert pinging.frames.count({"channel": "pong"}) == 3
    assert room.others == [Close(1, 1000, "Inactive")]
    assert quiet.conn not in room.venue.streams.lines


def test_time_that_runs_backwards_is_refused():
    venue = still_room().venue
    venue.on(Connected(1), START_NS + 5)
    with pytest.raises(ValueError, match="backwards"):
        venue.on(Received(1, "{}"), START_NS + 4)
