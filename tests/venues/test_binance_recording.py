"""Binance recordings as tapes: units, clocks, resynchronisation, and what the real files hold."""

import functools
import gzip
import itertools
import json

import numpy as np
import pytest

import conftest
from diffmm.market import AccountInputs, EncoderConfig, Instrument
from diffmm.market.messages import BookMessage, Notice, NoticeKind, TouchMessage
from diffmm.venues import tape_io
from diffmm.venues.binance import Codec
from diffmm.venues.lines import split, TapeError


MS = 1_721_749_182_000
NAME = "NEXOUSDT"
AT = Instrument(NAME, 2, 3, fixed_tick=1)


def depth(u, bids=(), asks=(), after_ms=0, first=None):
    data = {"e": "depthUpdate", "E": MS + after_ms, "s": NAME, "U": first or u, "u": u}
    return {"stream": "nexousdt@depth@100ms", "data": {**data, "b": list(bids), "a": list(asks)}}


def ticker(u, bid="1.214", ask="1.216", size="2.50"):
    data = {"u": u, "s": NAME, "b": bid, "B": size, "a": ask, "A": size}
    return {"stream": "nexousdt@bookTicker", "data": data}


def trade(after_ms, m=True):
    data = {"e": "trade", "E": MS, "s": NAME, "t": 7, "p": "1.215", "q": "1.25", "m": m}
    return {"stream": "nexousdt@trade", "data": {**data, "T": MS + after_ms, "M": True}}


def snapshot(last=100):
    bids, asks = [["1.214", "10.00"], ["1.213", "5.00"]], [["1.216", "4.00"], ["1.218", "6.00"]]
    return {"lastUpdateId": last, "bids": bids, "asks": asks}


def write(tmp_path, *timed):
    """Frames `(seconds, frame)` in the NEXO files' microseconds."""
    path = tmp_path / "nexo.jsonl"
    stamp = lambda s: MS * 1000 + round(s * 1e6)
    path.write_text("".join(f"{stamp(s)} {json.dumps(f)}\n" for s, f in timed))
    return path


def spelt(frame):
    return json.dumps(frame, separators=(",", ":"))


def frames(path):
    return [json.loads(split(line)[1]) for line in tape_io.read_lines(path)]


def ordinary(tmp_path, *more):
    first = depth(101, asks=[["1.2180", "7.25"]], after_ms=500)
    return write(tmp_path, (0.0, snapshot()), (0.5, first), (0.6, ticker(102)), *more)


def test_the_units_and_the_tick_are_those_that_the_recording_shows(tmp_path):
    known = tape_io.universe(tape_io.read_lines(ordinary(tmp_path)))
    assert known == {NAME: AT}
    assert tape_io.named(known, "NEXO") == NAME
    assert tape_io.named(known, "BTC") == "BTC"


def test_microseconds_are_read_as_such_and_a_stamp_of_neither_unit_is_refused(tmp_path):
    first = next(iter(tape_io.read_lines(ordinary(tmp_path))))
    assert split(first)[0] == MS * 1_000_000
    path = tmp_path / "odd.jsonl"
    path.write_text(f"{MS * 1000 * 4} {spelt(depth(1))}\n")
    with pytest.raises(TapeError, match="from the venue's"):
        list(tape_io.read_lines(path))


def test_a_ticker_newer_than_the_updates_stays_on_top_of_the_book():
    codec = Codec({NAME: AT})
    (book,) = codec.decode(spelt(snapshot()))
    assert isinstance(book, BookMessage)
    assert book.bids == ((1214, 1000), (1213, 500))
    (touch,) = codec.decode(spelt(ticker(105, bid="1.213")), MS * 1_000_000)
    assert isinstance(touch, TouchMessage)
    (older,) = codec.decode(spelt(depth(103, first=101, asks=[["1.219", "1"]])), MS * 1_000_000)
    assert older.bids == ((1213, 250),)
    (newer,) = codec.decode(spelt(depth(106, first=104, bids=[["1.214", "0"]])), MS * 1_000_000)
    assert newer.bids == ((1213, 500),)


def test_a_ticker_without_a_time_counts_by_the_smallest_lag_and_never_backwards():
    codec, ns = Codec({NAME: AT}), MS * 1_000_000
    codec.decode(spelt(snapshot()))
    codec.decode(spelt(depth(101, after_ms=100)), ns + 140_000_000)
    codec.decode(spelt(depth(102, after_ms=200)), ns + 300_000_000)
    (touch,) = codec.decode(spelt(ticker(103)), ns + 1_000_000_000)
    assert touch.exchange_ms == MS + 960
    (book,) = codec.decode(spelt(depth(103, after_ms=950)), ns + 1_100_000_000)
    assert book.exchange_ms == MS + 960


def test_a_gap_is_said_and_the_book_is_unknown_until_another_snapshot(tmp_path):
    codec = Codec({NAME: AT})
    codec.decode(spelt(snapshot()))
    (told,) = codec.decode(spelt(depth(103)))
    assert isinstance(told, Notice)
    assert told.kind is NoticeKind.GAP
    assert "103..103 after 100" in told.text
    (waits,) = codec.decode(spelt(depth(104)))
    assert waits.kind is NoticeKind.OTHER
    (book,) = codec.decode(spelt(snapshot(last=104)))
    assert isinstance(book, BookMessage)
    path = ordinary(tmp_path, (0.7, depth(109)), (0.8, trade(700)), (3.0, snapshot(110)))
    told = [x["channel"] for x in frames(path)]
    assert told == ["instrument", "l2Book", "l2Book", "bbo", "gap", "trades", "l2Book"]


def test_a_standing_book_is_said_again_every_second_and_not_across_a_lost_connection(tmp_path):
    path = ordinary(tmp_path, (3.9, depth(102, after_ms=3900)), (70.0, depth(103)))
    assert [x["channel"] for x in frames(path)].count("l2Book") == 2 + 3 + 2
    tape, encoder, _ = tape_io.encode(
        tape_io.read_lines(ordinary(tmp_path, (3.9, depth(102, after_ms=3900)))),
        AT,
        AccountInputs(),
        EncoderConfig(),
    )
    assert encoder.counters.silences == 0
    assert tape.instrument == AT
    assert np.asarray(tape.events().book.is_valid)[-1, :, 0].all()


def test_what_is_said_again_is_what_stood_before_the_next_change(tmp_path):
    path = ordinary(tmp_path, (2.7, depth(102, bids=[["1.215", "3.00"]], after_ms=2700)))
    told = [x["data"]["levels"][0][0] for x in frames(path) if x["channel"] == "l2Book"]
    assert [x["px"] for x in told] == ["1.214"] * 4 + ["1.215"]


def test_several_markets_in_one_file_are_refused(tmp_path):
    other = ticker(5)
    other["data"]["s"] = "BTCUSDT"
    with pytest.raises(TapeError, match="expected one"):
        list(tape_io.read_lines(ordinary(tmp_path, (0.9, other))))


def recorded(name):
    path = conftest.SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"the recording {name} is absent beside the checkout")
    return path


@functools.cache
def head(path, n):
    """The first lines of a recording as they are in the file."""
    with gzip.open(path, "rt") as file:
        return [x.rstrip("\n") for x in itertools.islice(file, n)]


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("binance_spot_nexousdt_20240723.gz", AT),
        ("binance_spot_btcusdt_20240808.gz", Instrument("BTCUSDT", 6, 2, fixed_tick=1)),
        ("binance_usdm_btcusdt_20240808.gz", Instrument("BTCUSDT", 3, 1, fixed_tick=1)),
    ],
)
def test_the_book_of_the_updates_is_the_touch_of_the_tickers_wherever_their_numbers_meet(name, at):
    codec = Codec({at.coin: at})
    met = {}
    for line in head(recorded(name), 6000):
        stamp, frame = split(line)
        told = codec.decode(frame, stamp)
        assert not any(isinstance(x, Notice) and x.kind is NoticeKind.GAP for x in told), line
        data = json.loads(frame).get("data", {})
        book = codec.books[at.coin]
        if "B" in data and book.last is not None and data["u"] >= book.last:
            met[data["u"]] = told[0]
        if book.last in met:
            touch = met.pop(book.last)
            assert (book.levels(0, 1)[0], book.levels(1, 1)[0]) == (touch.bid, touch.ask)
            met["seen"] = met.get("seen", 0) + 1
    assert met["seen"] > 20


def test_a_recorded_day_of_a_thin_market_becomes_a_tape_with_a_book_at_every_row():
    path = recorded("binance_spot_nexousdt_20240723.gz")
    lines = list(tape_io.read_lines(path))
    known = tape_io.universe(lines)
    assert known == {NAME: AT}
    tape, encoder, _ = tape_io.encode(lines, known[NAME], AccountInputs(), EncoderConfig())
    book = tape.events().book
    assert np.asarray(book.is_valid[:, :, 0]).all()
    assert np.asarray(book.is_valid[:, :, 19]).mean() > 0.95
    assert encoder.counters.silences == encoder.counters.crossed_books == 0
    span_s = float(tape.events().dt_s.astype(float).sum())
    assert 1200 < span_s < 1230
