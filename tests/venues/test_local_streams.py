import json

import pytest

from diffmm.market.instrument import Instrument
from diffmm.market.messages import BookMessage, ContextMessage, Notice, TouchMessage, TradesMessage
from diffmm.venues.hyperliquid.codec import Codec, subscriptions
from traders import order, placing, still_room, Trader


def pair(**changes):
    room = still_room(**changes)
    return room, Trader(room, "a"), Trader(room, "b")


def test_every_feed_the_engine_reads_is_read_by_its_own_codec():
    room, maker, taker = pair()
    maker.act(placing(order("B", "99", "10"), order("A", "101", "10")))
    for frame in subscriptions("SIM"):
        maker.send(frame)
    taker.place("B", "101", "1", "Ioc")
    room.wait(5.0)
    codec = Codec({"SIM": Instrument.hyperliquid("SIM", 2)})
    read = [x for frame in maker.frames for x in codec.decode(json.dumps(frame))]
    kinds = {type(x) for x in read}
    assert kinds == {BookMessage, TouchMessage, TradesMessage, ContextMessage, Notice}
    touches = [x for x in read if isinstance(x, TouchMessage)]
    assert [x.ask for x in touches] == [(1_010_000, 1000), (1_010_000, 900)]
    assert {x.depth for x in read if isinstance(x, BookMessage)} == {5, 20}
    (prints,) = [x.prints for x in read if isinstance(x, TradesMessage) and x.prints]
    assert (prints[0].sign, prints[0].price, prints[0].size) == (1, 1_010_000, 100)


def test_the_fast_book_comes_twice_a_second_and_the_slow_one_every_five():
    room, maker, _ = pair()
    maker.subscribe(type="l2Book", coin="SIM", fast=True)
    maker.subscribe(type="l2Book", coin="SIM")
    room.wait(20.0)
    books = maker.heard("l2Book")
    assert sum("fast" in x for x in books) == 1 + 40
    assert sum("fast" not in x for x in books) == 1 + 4


def test_everything_a_block_publishes_carries_the_blocks_time():
    _, maker, taker = pair()
    maker.place("A", "101", "10")
    for feed in ("bbo", "trades"):
        taker.subscribe(type=feed, coin="SIM")
    for feed in ("userFills", "orderUpdates"):
        taker.subscribe(type=feed, user=taker.address)
    taker.place("B", "101", "1", "Gtc")
    times = {
        taker.heard("bbo")[-1]["time"],
        taker.heard("trades")[-1][0]["time"],
        taker.heard("userFills")[-1]["fills"][0]["time"],
        taker.heard("orderUpdates")[-1][0]["statusTimestamp"],
    }
    assert len(times) == 1
    assert taker.heard("trades")[-1][0]["users"] == [taker.address, maker.address]


def test_the_touch_is_sent_only_when_it_changes_and_an_empty_side_is_null():
    room, maker, _ = pair()
    maker.subscribe(type="bbo", coin="SIM")
    maker.act(placing(order("B", "99", "10"), order("B", "98", "10")))
    maker.place("B", "97", "10")
    room.wait(1.0)
    told = [x["bbo"] for x in maker.heard("bbo")]
    assert told == [[None, None], [{"px": "99.0", "sz": "10.0", "n": 1}, None]]


@pytest.mark.parametrize(
    "subscription",
    [
        {"type": "bbo", "coin": "NONE"},
        {"type": "bbo"},
        {"type": "bbo", "coin": ["SIM"]},
        {"type": "userFills", "user": "0x12"},
        {"type": "webData2", "user": "0x" + "1" * 40},
        {"type": "l2Book", "coin": "SIM", "nSigFigs": 3},
        {},
    ],
)
def test_what_is_no_subscription_is_refused_by_name(subscription):
    _, maker, _ = pair()
    maker.subscribe(**subscription)
    assert maker.frames[-1]["channel"] == "error"
    assert maker.frames[-1]["data"] == f"Invalid subscription {json.dumps(subscription)}"


def test_a_second_subscription_and_a_second_unsubscription_are_errors():
    room, maker, _ = pair()
    bbo = {"type": "bbo", "coin": "SIM"}
    maker.subscribe(**bbo)
    maker.subscribe(**bbo)
    assert maker.frames[-1]["data"] == f"Already subscribed: {json.dumps(bbo)}"
    for _ in range(2):
        maker.send({"method": "unsubscribe", "subscription": bbo})
    assert maker.frames[-1]["data"] == f"Already unsubscribed: {json.dumps(bbo)}"
    before = len(maker.frames)
    maker.place("B", "99", "10")
    room.wait(1.0)
    assert [x["channel"] for x in maker.frames[before:]] == ["post"]


def test_users_messages_and_pending_posts_are_limited():
    room, maker, _ = pair()
    for i in range(11):
        maker.subscribe(type="userFills", user=f"0x{i:040x}")
    assert maker.frames[-1]["data"] == "Cannot track more than 10 total users."
    for _ in range(101):
        maker.post({"type": "noop"})
    assert maker.frames[-1]["data"] == "too many pending post requests id=101"
    room.wait()
    assert len(maker.heard("post")) == 100
    for _ in range(2000 - 11 - 101):
        maker.send({"method": "ping"})
    assert maker.frames[-1] == {"channel": "pong"}
    maker.send({"method": "ping"})
    assert maker.frames[-1]["data"] == "Cannot send more than 2000 messages per minute."
    room.wait(60.1)
    again = Trader(room, "c")
    again.send({"method": "ping"})
    assert again.frames[-1] == {"channel": "pong"}


def test_requests_beyond_their_weight_are_answered_with_429_and_null():
    _, maker, _ = pair()
    for _ in range((1200 - 2 * 20) // 20):
        assert maker.info(type="meta")
    refused = maker.info(type="meta")
    assert (refused.status, refused.body) == (429, "null")


def test_a_reply_to_a_line_that_is_gone_is_dropped_and_the_order_stands():
    room, maker, _ = pair()
    maker.post(placing(order("B", "99", "1")))
    room.venue.streams.close(maker.conn)
    room.wait()
    assert len(maker.truth.open_orders) == 1
    assert room.venue.streams.posts == 0


def test_http_and_post_give_the_same_answers():
    _, maker, _ = pair()
    maker.place("B", "99", "1")
    for kind in ("openOrders", "frontendOpenOrders", "userFills", "clearinghouseState", "meta"):
        body = {"type": kind, "user": maker.address}
        maker.send({"method": "post", "id": 99, "request": {"type": "info", "payload": body}})
        told = maker.frames[-1]["data"]["response"]
        assert told == {"type": "info", "payload": {"type": kind, "data": maker.info(**body)}}
