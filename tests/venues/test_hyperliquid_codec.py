"""Frames to messages: exact integers, and a notice for everything that cannot be trusted."""

import json

import pytest

import conftest
from diffmm.market import Instrument, units
from diffmm.market.messages import (
    BookMessage,
    ContextMessage,
    Notice,
    NoticeKind,
    Print,
    TouchMessage,
    TradesMessage,
)
from diffmm.venues.hyperliquid.codec import Codec, hourly_rate, subscriptions
from diffmm.venues.local import house
from diffmm.venues.tape_io import read_lines, split, universe


BTC = Instrument.hyperliquid("BTC", 5)


@pytest.fixture(scope="module")
def codec():
    return Codec({"BTC": BTC})


def frame(channel, data):
    return json.dumps({"channel": channel, "data": data})


def level(px="109741.0", sz="0.5"):
    return {"px": px, "sz": sz, "n": 1}


def test_a_touch_is_two_levels_in_exact_integers(codec):
    text = frame("bbo", {"coin": "BTC", "time": 7, "bbo": [level(), level("109742.0", "1.00001")]})
    assert codec.decode(text) == [TouchMessage("BTC", 7, (1097410, 50000), (1097420, 100001))]
    assert codec.decode(text.encode()) == codec.decode(text)


def test_an_empty_side_of_the_touch_is_none(codec):
    text = frame("bbo", {"coin": "BTC", "time": 7, "bbo": [None, level()]})
    assert codec.decode(text) == [TouchMessage("BTC", 7, None, (1097410, 50000))]


def test_a_book_says_how_deep_its_feed_looks(codec):
    data = {"coin": "BTC", "time": 7, "levels": [[level()], [level("109743.0")]]}
    slow, fast = (
        codec.decode(frame("l2Book", data)),
        codec.decode(frame("l2Book", data | {"fast": True})),
    )
    assert slow == [BookMessage("BTC", 7, ((1097410, 50000),), ((1097430, 50000),), 20)]
    assert fast[0].depth == 5
    empty = codec.decode(frame("l2Book", data | {"levels": [[], []]}))
    assert empty == [BookMessage("BTC", 7, (), (), 20)]


def test_trades_are_grouped_by_coin_with_the_taker_s_side(codec):
    one = {"coin": "BTC", "side": "B", "px": "109741.0", "sz": "0.1", "time": 7, "tid": 5}
    told = codec.decode(
        frame("trades", [one, one | {"side": "A", "tid": 6}, one | {"coin": "ETH"}])
    )
    assert told == [
        TradesMessage("BTC", (Print(1, 1097410, 10000, 7, 5), Print(-1, 1097410, 10000, 7, 6)))
    ]


def test_context_keeps_rates_as_the_venue_says_them(codec):
    ctx = {"funding": "0.0000125", "openInterest": "36854.06454", "markPx": "84143.55"}
    told = codec.decode(frame("activeAssetCtx", {"coin": "BTC", "ctx": ctx}))
    assert told == [ContextMessage("BTC", 1.25e-5, 36854.06454, 841436)]
    absent = codec.decode(frame("activeAssetCtx", {"coin": "BTC", "ctx": {"markPx": None}}))
    assert absent == [ContextMessage("BTC", 0.0, 0.0, None)]


def test_a_premium_is_told_as_the_hourly_rate_that_it_would_give(codec):
    """1 % less the clamp over 8 is the venue's own example; near the interest it is flat."""
    cases = {"0.01": 0.0011875, "0": 1.25e-5, "0.0006": 1.25e-5, "-0.0004": 1.25e-5, "9": 0.04}
    for premium, expected in cases.items():
        data = {"coin": "BTC", "ctx": {"funding": "0.0003", "premium": premium}}
        (told,) = codec.decode(frame("activeAssetCtx", data))
        assert told.premium_rate_1h == pytest.approx(expected, rel=1e-12)
        assert told.funding_rate_1h == 3e-4
    (none,) = codec.decode(frame("activeAssetCtx", {"coin": "BTC", "ctx": {"premium": None}}))
    assert none.premium_rate_1h is None


@pytest.mark.parametrize("premium", [-0.02, -5e-4, 0.0, 1e-4, 7e-4, 0.03, 1.0])
def test_the_rule_is_the_embedded_venue_s_own_in_exact_integers(premium):
    exact = house.hourly_rate(round(premium * house.RATE), 1) / house.RATE
    assert hourly_rate(premium) == pytest.approx(exact, abs=1.01 / house.RATE)


def bbo(*levels):
    return frame("bbo", {"coin": "BTC", "time": 7, "bbo": levels})


BAD = {
    "a NaN size": bbo(level(sz="NaN"), level()),
    "an infinite size": bbo(level(sz="inf"), level()),
    "a negative price": bbo(level("-1"), level()),
    "a zero size": bbo(level(sz="0"), level()),
    "an exponent": bbo(level("1e5"), level()),
    "too many digits": bbo(level(sz="0.1234567"), level()),
    "a number for a string": bbo({"px": 1, "sz": 2}, None),
    "a missing time": frame("bbo", {"coin": "BTC", "bbo": [level(), level()]}),
    "three sides": bbo(level(), level(), level()),
    "levels out of order": frame(
        "l2Book", {"coin": "BTC", "time": 7, "levels": [[level(), level("109743.0")], [level()]]}
    ),
    "an unknown taker's side": frame(
        "trades",
        [{"coin": "BTC", "side": "X", "px": "1", "sz": "1", "time": 7, "tid": 5}],
    ),
    "a funding rate of 200 %": frame("activeAssetCtx", {"coin": "BTC", "ctx": {"funding": "2"}}),
    "a NaN open interest": frame("activeAssetCtx", {"coin": "BTC", "ctx": {"openInterest": "NaN"}}),
    "a mark that is no number": frame("activeAssetCtx", {"coin": "BTC", "ctx": {"markPx": "x"}}),
    "an infinite mark": frame("activeAssetCtx", {"coin": "BTC", "ctx": {"markPx": "inf"}}),
    "a NaN premium": frame("activeAssetCtx", {"coin": "BTC", "ctx": {"premium": "NaN"}}),
    "text": "hello",
    "half a frame": '{"channel":"bbo","data":{"coin":"BT',
    "no channel": '{"data":1}',
    "bytes that are no text": b"\xff\xfe",
    "nothing": "",
    "a list": "[]",
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_trusted_is_a_notice_that_says_what_was_found(codec, name):
    (told,) = codec.decode(BAD[name])
    assert isinstance(told, Notice)
    assert told.kind is NoticeKind.BAD
    assert told.text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"channel":"pong"}', NoticeKind.PONG),
        (frame("subscriptionResponse", {"method": "subscribe"}), NoticeKind.ACK),
        (frame("error", "Already subscribed"), NoticeKind.ERROR),
        (frame("candle", {"s": "BTC"}), NoticeKind.OTHER),
        (frame("bbo", {"coin": "ETH", "time": 7, "bbo": [level(), level()]}), NoticeKind.OTHER),
        ("Websocket connection established.", NoticeKind.GREETING),
    ],
    ids=["pong", "ack", "error", "candle", "another coin", "greeting"],
)
def test_a_frame_without_market_data_is_a_notice_of_its_kind(codec, text, kind):
    (told,) = codec.decode(text)
    assert isinstance(told, Notice)
    assert told.kind is kind


def test_every_feed_of_a_coin_is_asked_for_at_both_cadences():
    wanted = [json.loads(x)["subscription"] for x in subscriptions("BTC")]
    assert {x["type"] for x in wanted} == {"bbo", "l2Book", "trades", "activeAssetCtx"}
    assert [x.get("fast", False) for x in wanted if x["type"] == "l2Book"] == [False, True]


def recording(name):
    path = conftest.SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"{name} is absent beside the checkout")
    return list(read_lines(path))


WHAT = {
    "l2Book": BookMessage,
    "bbo": TouchMessage,
    "trades": TradesMessage,
    "activeAssetCtx": ContextMessage,
}
NOTICES = {
    "subscriptionResponse": NoticeKind.ACK,
    "pong": NoticeKind.PONG,
    "error": NoticeKind.ERROR,
}


def check(told, raw):
    kind = WHAT.get(raw.get("channel"))
    if kind is None:
        assert isinstance(told, Notice)
        expected = NoticeKind.BAD if "channel" not in raw else NoticeKind.OTHER
        assert told.kind is NOTICES.get(raw.get("channel"), expected)
        return None
    assert type(told) is kind, told
    return kind


def test_every_recorded_frame_of_2026_decodes_to_what_it_is():
    lines = recording("hyperliquid_frames_2026.jsonl")
    found = universe(lines)
    contexts = (json.loads(x)["data"]["coin"] for x in lines if '"activeAssetCtx"' in x)
    empty = (json.loads(x)["data"]["coin"] for x in lines if '"levels":[[],[]]' in x)
    known = {c: Instrument.hyperliquid(c, 2) for c in [*contexts, *empty]} | found
    codec, seen = Codec(known), set()
    for line in lines:
        raw = json.loads(line)
        told = codec.decode(line)
        assert len(told) == 1
        seen.add(check(told[0], raw))
        if isinstance(told[0], TouchMessage):
            at = known[told[0].coin]
            bid, ask = raw["data"]["bbo"]
            assert told[0].bid[0] == units(bid["px"], at.price_decimals)
            assert told[0].ask[1] == units(ask["sz"], at.size_decimals)
    assert seen == {*WHAT.values(), None}


def test_every_raw_frame_of_2025_decodes_to_what_it_is():
    lines = recording("hyperliquid_raw_20250126.gz")
    codec, seen = Codec(universe(lines)), set()
    for line in lines:
        _, text = split(line)
        for told in codec.decode(text):
            seen.add(check(told, json.loads(text)))
    assert {BookMessage, TradesMessage} <= seen
    assert len(lines) >= 55
