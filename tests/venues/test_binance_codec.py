"""Reference frames: touches and prints of the other venue, in exact integers."""

import gzip
import itertools
import json

import pytest

import conftest
from diffmm.market import Instrument
from diffmm.market.messages import Notice, NoticeKind, Print, TouchMessage, TradesMessage
from diffmm.venues.binance.codec import Codec
from diffmm.venues.tape_io import split


@pytest.fixture(scope="module")
def codec():
    return Codec({"BTCUSDT": Instrument("BTCUSDT", 5, 2, fixed_tick=1)})


def frame(stream, data):
    return json.dumps({"stream": f"btcusdt@{stream}", "data": data})


TICKER = {"s": "BTCUSDT", "u": 9, "b": "100.10", "B": "2.5", "a": "100.11", "A": "0.00001"}
TRADE = {"s": "BTCUSDT", "p": "100.10", "q": "0.25", "t": 3, "T": 77, "m": True}


def test_a_ticker_is_a_touch_stamped_by_time_or_in_its_absence_by_its_number(codec):
    spot = codec.decode(frame("bookTicker", TICKER))
    assert spot == [TouchMessage("BTCUSDT", 9, (10010, 250000), (10011, 1))]
    assert codec.decode(frame("bookTicker", TICKER | {"T": 55}))[0].exchange_ms == 55


def test_a_side_without_size_is_an_empty_side(codec):
    (told,) = codec.decode(frame("bookTicker", TICKER | {"B": "0.00000"}))
    assert told.bid is None
    assert told.ask == (10011, 1)


def test_a_maker_that_bought_means_a_taker_that_sold(codec):
    expected = lambda sign: [TradesMessage("BTCUSDT", (Print(sign, 10010, 25000, 77, 3),))]
    assert codec.decode(frame("trade", TRADE)) == expected(-1)
    assert codec.decode(frame("trade", TRADE | {"m": False})) == expected(1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (frame("trade", TRADE | {"X": "INSURANCE_FUND"}), NoticeKind.OTHER),
        (frame("trade", TRADE | {"s": "ETHUSDT"}), NoticeKind.OTHER),
        (frame("markPrice@1s", {}), NoticeKind.OTHER),
        (frame("depth@0ms", {}), NoticeKind.BAD),
        (frame("bookTicker", TICKER | {"b": "NaN"}), NoticeKind.BAD),
        (frame("trade", TRADE | {"p": "1e9"}), NoticeKind.BAD),
        ("{", NoticeKind.BAD),
        (b"\xff", NoticeKind.BAD),
    ],
)
def test_anything_else_is_a_notice(codec, text, kind):
    (told,) = codec.decode(text)
    assert isinstance(told, Notice)
    assert told.kind is kind


def test_the_recorded_reference_decodes_without_an_odd_frame():
    path = conftest.SHARED / "data" / "binance_usdm_btcusdt_20240808.gz"
    if not path.exists():
        pytest.skip("the Binance recording is absent beside the checkout")
    codec = Codec({"BTCUSDT": Instrument("BTCUSDT", 3, 2, fixed_tick=10)})
    seen = {}
    with gzip.open(path, "rt") as file:
        for line in itertools.islice(file, 4000):
            for told in codec.decode(split(line)[1]):
                name = told.kind.value if isinstance(told, Notice) else type(told).__name__
                seen[name] = seen.get(name, 0) + 1
    assert "bad" not in seen
    assert seen["TouchMessage"] > 100
    assert seen["TradesMessage"] > 10
