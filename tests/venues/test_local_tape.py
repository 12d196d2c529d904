"""A recorded market: what stands in front of an order of ours, and which prints fill it."""

import json

import pytest

from diffmm.venues.lines import TapeError
from diffmm.venues.local.config import Config
from diffmm.venues.local.tape import find_listings, TapeMarket
from diffmm.venues.local.venue import Venue
from traders import conserved, Room, START_NS, Trader


def book(bids, asks):
    side = lambda rows: [{"px": p, "sz": s, "n": 1} for p, s in rows]
    data = {"coin": "SIM", "time": 1, "levels": [side(bids), side(asks)]}
    return {"channel": "l2Book", "data": data}


def touch(bid, ask):
    level = lambda x: x and {"px": x[0], "sz": x[1], "n": 1}
    return {"channel": "bbo", "data": {"coin": "SIM", "time": 1, "bbo": [level(bid), level(ask)]}}


def prints(*rows):
    tid = lambda i: {"time": 1, "tid": i, "coin": "SIM"}
    data = [{"side": side, "px": p, "sz": s, **tid(i)} for i, (side, p, s) in enumerate(rows)]
    return {"channel": "trades", "data": data}


FIRST = [
    prints(("A", "1", "1")),
    book([("99", "10.25"), ("98", "7")], [("101", "10"), ("102", "5")]),
]


def room_of(tmp_path, *frames, speed=1.0):
    """A venue on a tape: the opening, then a frame a second from the second second on."""
    told = [*((0, x) for x in FIRST), *((2 + i, x) for i, x in enumerate(frames))]
    path = tmp_path / "tape.jsonl"
    lines = [f"{10**18 + at * 10**9} {json.dumps(x, separators=(',', ':'))}" for at, x in told]
    path.write_text("\n".join(lines) + "\n")
    listings = find_listings(path, ["SIM"])
    room = Room(Venue(Config(listings=listings), TapeMarket(path, speed), START_NS))
    return room, Trader(room, "a")


def filled(room, trader, seconds):
    room.wait(seconds)
    assert conserved(room.venue) == 0
    return [(x["px"], x["sz"]) for x in trader.truth.fills]


def test_a_print_at_our_price_fills_us_only_after_what_stood_in_front(tmp_path):
    room, trader = room_of(tmp_path, prints(("A", "99", "8")), prints(("A", "99", "4")))
    trader.place("B", "99", "3", "Alo")
    assert filled(room, trader, 2.2) == []
    assert filled(room, trader, 1.0) == [("99.0", "1.75")]


def test_a_print_through_our_price_fills_us_whole_at_ours(tmp_path):
    room, trader = room_of(tmp_path, prints(("A", "98", "20")))
    trader.place("B", "99.5", "3", "Alo")
    assert filled(room, trader, 3.0) == [("99.5", "3.0")]


def test_a_touch_that_moves_beyond_our_order_does_not_fill_it(tmp_path):
    room, trader = room_of(tmp_path, touch(("97", "5"), ("98.5", "5")))
    trader.place("B", "99", "3", "Alo")
    assert filled(room, trader, 3.0) == []
    trader.subscribe(type="bbo", coin="SIM")
    bid, ask = trader.heard("bbo")[-1]["bbo"]
    # Ours is the bid; the recorded offer below it is not on the book.
    assert (bid["px"], bid["sz"], ask["px"]) == ("99.0", "3.0", "101.0")


def test_size_added_later_stands_behind_us_and_size_that_leaves_goes_from_the_back(tmp_path):
    more = touch(("99", "30"), ("101", "10"))
    less = touch(("99", "10.25"), ("101", "10"))
    room, trader = room_of(tmp_path, more, less, prints(("A", "99", "11.25")))
    trader.place("B", "99", "3", "Alo")
    assert filled(room, trader, 5.0) == [("99.0", "1.0")]


def test_what_we_take_comes_back_with_the_next_display(tmp_path):
    room, trader = room_of(tmp_path, touch(("99", "10"), ("101", "10")))
    assert trader.place("B", "101", "6", "Ioc")["filled"]["totalSz"] == "6.0"
    trader.subscribe(type="bbo", coin="SIM")
    room.wait(3.0)
    asks = [x["bbo"][1]["sz"] for x in trader.heard("bbo")]
    assert asks == ["4.0", "10.0"]


def test_the_tape_runs_at_its_speed_and_then_stands_still(tmp_path):
    room, trader = room_of(tmp_path, prints(("A", "98", "20")), speed=10.0)
    trader.place("B", "99.5", "3", "Alo")
    assert filled(room, trader, 0.5) == [("99.5", "3.0")]
    assert room.venue.market.next_ns() is None
    assert "resting" in trader.place("B", "97", "1", "Alo")


def test_a_tape_without_the_coin_or_without_a_book_is_said_to_be_one(tmp_path):
    path = tmp_path / "tape.jsonl"
    path.write_text(f"{10**18} {json.dumps(prints(('A', '99', '1')))}\n")
    with pytest.raises(TapeError, match="no coin 'BTC'"):
        find_listings(path, ["BTC"])
    listings = find_listings(path, ["SIM"])
    with pytest.raises(TapeError, match="no two-sided book"):
        Venue(Config(listings=listings), TapeMarket(path), START_NS)


def test_a_recording_nobody_trades_on_is_shown_as_it_was_recorded(tmp_path):
    moves = [touch((f"{99 + i % 3}", f"{5 + i}"), (f"{102 + i % 2}", "4")) for i in range(8)]
    room, trader = room_of(tmp_path, *moves)
    trader.subscribe(type="bbo", coin="SIM")
    room.wait(20.0)
    pair = lambda side: tuple(float(x) for x in (side["px"], side["sz"]))
    shown = [tuple(pair(x) for x in told["bbo"]) for told in trader.heard("bbo")[1:]]
    assert shown == [tuple(pair(x) for x in move["data"]["bbo"]) for move in moves]
