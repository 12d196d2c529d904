"""What is not known any more becomes a row without a book, at the moment it stopped being known."""

import json

import numpy as np
import pytest

from diffmm.market import AccountInputs, EncoderConfig, Instrument
from diffmm.venues.intake import gap, Intake


NS = 1_000_000_000
START = 1_700_000_000 * NS


def intake(**keywords):
    at = Instrument.hyperliquid("TOY", 2)
    return Intake(at, AccountInputs(), EncoderConfig(**keywords))


def touch(at_ns, bid="110", ask="110.2", coin="TOY"):
    level = lambda px: {"px": px, "sz": "5", "n": 1}
    data = {"coin": coin, "time": at_ns // 1_000_000, "bbo": [level(bid), level(ask)]}
    return json.dumps({"channel": "bbo", "data": data}, separators=(",", ":"))


def prints(at_ns, tid, coin="TOY"):
    one = {"coin": coin, "side": "B", "px": "110", "sz": "1", "time": at_ns // 1_000_000}
    return json.dumps({"channel": "trades", "data": [{**one, "tid": tid}]}, separators=(",", ":"))


def books(inside, rows):
    event = inside.encoder.config.layout.unpack(np.stack(rows))
    return event.book.is_valid.any(axis=(1, 2)), event


def test_silence_loses_the_book_exactly_when_it_has_lasted_too_long():
    inside = intake()
    rows, _ = inside.on_line(START, touch(START))
    more, _ = inside.on_line(START + 3 * NS, touch(START + 3 * NS))
    known, event = books(inside, rows + more)
    lost = int(np.flatnonzero(~known)[0])
    np.testing.assert_allclose(event.dt_s[: lost + 1].sum(), 2.0, atol=1e-6)
    assert event.wake[lost]
    assert known[-1]
    assert inside.encoder.counters.silences == 1


def test_silence_is_lost_once_and_the_clock_asked_early_or_late_makes_the_same_rows():
    early, late = intake(), intake()
    a, _ = early.on_line(START, touch(START))
    b, _ = late.on_line(START, touch(START))
    for k in range(1, 30):
        a += early.timers(START + k * NS // 10)
    end = START + 3 * NS
    a += early.on_line(end, touch(end))[0]
    b += late.on_line(end, touch(end))[0]
    np.testing.assert_array_equal(np.stack(a), np.stack(b))


def test_lines_of_another_coin_show_that_the_feed_lives():
    inside = intake()
    inside.on_line(START, touch(START))
    for k in range(1, 6):
        inside.on_line(START + k * NS, touch(START + k * NS, coin="ELSE"))
    rows, _ = inside.on_line(START + 6 * NS, touch(START + 6 * NS))
    assert books(inside, rows)[0].all()
    assert inside.encoder.counters.silences == 0


@pytest.mark.parametrize("frame", [gap("lost"), "{", touch(START).replace('"5"', '"NaN"')])
def test_a_gap_mark_or_an_unreadable_frame_loses_the_book_at_once(frame):
    inside = intake()
    inside.on_line(START, touch(START))
    rows, _ = inside.on_line(START + NS // 10, frame)
    known, event = books(inside, rows)
    assert known.tolist() == [False]
    assert event.wake.tolist() == [True]
    again, _ = inside.on_line(START + NS // 5, touch(START + NS // 5))
    assert books(inside, again)[0].all()


def test_the_first_prints_after_a_gap_are_history_and_those_after_an_odd_frame_are_not():
    for frame, kept in ((gap("lost"), 0), ("{", 1)):
        inside = intake()
        inside.on_line(START, touch(START))
        inside.on_line(START, prints(START, 1))
        inside.on_line(START, frame)
        rows, _ = inside.on_line(START + 1, prints(START, 2))
        assert len(rows) == kept
