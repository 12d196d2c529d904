"""Messages to rows: clocks, wakes, timers, gaps, anchors, and everything odd that a feed does."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from diffmm.market import AccountInputs, Encoder, EncoderConfig, Instrument, Kind, Layout
from diffmm.market.messages import (
    BookMessage,
    ContextMessage,
    Notice,
    NoticeKind,
    Print,
    TouchMessage,
    TradesMessage,
)


MS = 1_000_000
NS = 1_000 * MS
START = 1_700_000_000 * NS
CONFIG = EncoderConfig(Layout(levels=4, slots=2))
TICK = 10
"""Price units of one tick near 110,000 at one decimal."""
MID = 1_100_000


def btc():
    return Instrument.hyperliquid("BTC", 5)


def encoder(reference=None, **account):
    return Encoder(btc(), AccountInputs(**account), CONFIG, reference)


def at(ms):
    return START + ms * MS


def stamp(ms):
    return at(ms) // MS - 400


def level(ticks, size=1000):
    return (MID + TICK * ticks, size)


def book(
    ms, bids=((-1, 1000), (-2, 2000), (-4, 500)), asks=((1, 800), (2, 100), (5, 700)), depth=20
):
    sides = [tuple(level(*x) for x in side) for side in (bids, asks)]
    return BookMessage("BTC", stamp(ms), *sides, depth)


def touch(ms, bid=(-1, 1000), ask=(1, 800)):
    return TouchMessage("BTC", stamp(ms), bid and level(*bid), ask and level(*ask))


def prints(ms, *tids, sign=1, ticks=1, size=100):
    one = lambda tid: Print(sign, level(ticks)[0], size, stamp(ms), tid)
    return TradesMessage("BTC", tuple(one(tid) for tid in tids))


def feed(coder, *timed):
    """Rows of `(ms, message)` pairs as one batched event."""
    rows = [row for ms, message in timed for row in coder.on(message, at(ms))]
    return CONFIG.layout.unpack(np.stack(rows))


def kinds(event):
    return [Kind(int(k)).name for k in event.kind]


def test_the_first_two_sided_book_fixes_the_anchor_and_wakes():
    coder = encoder()
    assert coder.on(touch(0, ask=None), at(0)) == []
    assert coder.on(prints(0, 1), at(0)) == []
    event = feed(coder, (10, book(10)))
    assert kinds(event) == ["BOOK"]
    assert bool(event.wake[0])
    assert coder.anchor == MID
    assert coder.counters.before_first_book == 1
    np.testing.assert_array_equal(event.book.ticks[0, :, 0], [-1, 1])
    np.testing.assert_allclose(event.rules.tick_bp, 1e4 * math.log1p(TICK / MID), rtol=1e-6)
    np.testing.assert_allclose(event.rules.lot_usd, MID / 10**6, rtol=1e-7)


def test_prices_are_logarithms_sizes_are_notional_and_missing_levels_repeat_the_last():
    event = feed(encoder(), (0, book(0)))
    one = jax.tree.map(lambda x: x[0], event.book)
    expected = 1e4 * math.log((MID - 2 * TICK) / MID)
    np.testing.assert_allclose(one.price_bp[0, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(one.usd[1, :3], np.array([800, 100, 700]) * MID / 1e6, rtol=1e-6)
    np.testing.assert_array_equal(one.is_valid, [[True, True, True, False]] * 2)
    np.testing.assert_array_equal(one.ticks[:, 3], one.ticks[:, 2])
    np.testing.assert_array_equal(one.usd[:, 3], 0)


def test_time_is_receive_time_and_a_stamp_that_runs_backwards_is_the_last_one():
    event = feed(encoder(), (0, book(0)), (40, touch(40)), (10, touch(60)), (50, touch(70)))
    np.testing.assert_allclose(event.dt_s, [0, 0.04, 0, 0.01], atol=1e-7)
    assert (event.dt_s >= 0).all()


def test_exchange_time_that_runs_backwards_between_channels_refuses_the_older_book():
    coder = encoder()
    event = feed(coder, (0, book(0)), (10, touch(10, bid=(0, 50))), (20, book(-500)))
    assert len(event.kind) == 2
    assert coder.counters.stale_books == 1
    np.testing.assert_array_equal(event.book.ticks[-1, 0, 0], 0)


def test_age_is_the_lag_above_its_smallest_recent_value():
    coder = encoder()
    late = TouchMessage("BTC", stamp(240) - 150, level(-1), level(1))
    event = feed(coder, (0, book(0)), (240, late))
    np.testing.assert_allclose(event.lag_s, [0.4, 0.55], atol=1e-3)
    np.testing.assert_allclose(event.age_s, [0.2, 0.35], atol=1e-3)


@pytest.mark.parametrize(
    ("message", "wakes"),
    [
        (touch(20), False),
        (touch(20, bid=(0, 1000)), True),
        (touch(20, ask=(2, 800)), True),
        (touch(20, bid=(-1, 2600)), False),
        (touch(20, bid=(-1, 2800)), True),
        (prints(20, 9), False),
        (ContextMessage("BTC", 1e-5, 10.0, MID), False),
    ],
    ids=["same", "bid moved", "ask moved", "queue x 2.6", "queue x 2.8", "print", "context"],
)
def test_a_row_wakes_when_the_touch_moves_or_its_queue_ratio_by_a_unit(message, wakes):
    coder = encoder()
    feed(coder, (0, book(0)))
    coder.on(prints(5, 1), at(5))
    assert bool(feed(coder, (20, message)).wake[-1]) is wakes


def test_every_fourth_row_since_a_wake_wakes_so_a_frame_holds_all():
    coder = encoder()
    quiet = [(i, touch(i)) for i in range(1, 13)]
    event = feed(coder, (0, book(0)), *quiet)
    np.testing.assert_array_equal(np.flatnonzero(event.wake), [0, 4, 8, 12])


def test_a_timer_comes_when_nothing_woke_for_a_quarter_second():
    event = feed(encoder(), (0, book(0)), (100, touch(100)), (700, touch(700)))
    assert kinds(event) == ["BOOK", "BBO", "TIMER", "TIMER", "BBO"]
    np.testing.assert_allclose(event.dt_s, [0, 0.1, 0.15, 0.25, 0.2], atol=1e-6)
    assert bool(event.wake[2])
    assert bool(event.wake[3])


def test_timers_asked_for_early_make_the_same_rows():
    early, late = encoder(), encoder()
    rows = early.on(book(0), at(0))
    for ms in range(0, 900, 50):
        rows += early.timers(at(ms))
    rows += early.on(touch(900), at(900))
    other = late.on(book(0), at(0)) + late.on(touch(900), at(900))
    np.testing.assert_array_equal(np.stack(rows), np.stack(other))


def test_the_clock_of_the_rows_adds_up_to_the_time_that_passed():
    event = feed(
        encoder(), (0, book(0)), (333, touch(333)), (1999, touch(1999)), (2001, touch(2001))
    )
    np.testing.assert_allclose(event.dt_s.sum(), 2.001, atol=1e-5)
    assert (event.dt_s <= 0.25 + 1e-6).all()


def test_a_gap_too_long_to_bridge_restarts_the_belief_once():
    coder = encoder()
    event = feed(coder, (0, book(0)), (120_000, touch(120_000)), (120_010, touch(120_010)))
    assert int(event.restart.sum()) == 1
    assert coder.counters.gaps >= 1
    assert len(event.kind) < 260
    assert (event.dt_s <= 0.25 + 1e-6).all()
    assert not bool(event.restart[-1])


def test_levels_age_until_they_are_confirmed():
    event = feed(
        encoder(), (0, book(0)), (200, touch(200)), (240, prints(240, 1)), (260, book(260))
    )
    ages = np.asarray(event.book.age_s)
    np.testing.assert_allclose(ages[1, :, 0], 0, atol=1e-6)
    np.testing.assert_allclose(ages[1, :, 1:3], 0.2, atol=1e-3)
    np.testing.assert_allclose(ages[-1, :, :3], 0, atol=1e-6)


def test_the_first_trades_frame_back_fills_history_and_is_not_flow():
    coder = encoder()
    event = feed(coder, (0, book(0)), (10, prints(10, 1, 2, 3)), (20, prints(20, 4)))
    assert kinds(event) == ["BOOK", "TRADE"]
    assert coder.counters.backfilled_trades == 3
    coder.restart_feed()
    assert coder.on(prints(30, 5), at(30)) == []
    assert coder.counters.backfilled_trades == 4


def test_one_trade_is_counted_once_however_often_it_is_told():
    coder = encoder()
    event = feed(
        coder,
        (0, book(0)),
        (5, prints(5, 1)),
        (10, prints(10, 2, 3)),
        (20, prints(10, 3, 2, 4)),
        (30, prints(5, 1)),
    )
    assert kinds(event) == ["BOOK", "TRADE", "TRADE", "TRADE"]
    assert coder.counters.duplicate_trades == 3
    same_id_at_another_time = coder.on(prints(40, 2), at(40))
    assert len(same_id_at_another_time) == 1


def test_prints_of_one_frame_are_rows_in_order_and_leave_no_trade_behind():
    coder = encoder()
    feed(coder, (0, book(0)), (5, prints(5, 1)))
    event = feed(coder, (10, prints(10, 2, 3, sign=-1, ticks=-1, size=250)), (12, touch(12)))
    np.testing.assert_array_equal(event.trade.sign[:2], -1)
    np.testing.assert_array_equal(event.trade.ticks[:2], -1)
    np.testing.assert_allclose(event.trade.usd, [250 * MID / 1e6] * 2 + [0], rtol=1e-6)


@pytest.mark.parametrize(
    ("message", "counter"),
    [
        (touch(10, bid=None), "one_sided_books"),
        (touch(10, bid=(3, 10)), "crossed_books"),
        (book(10, asks=()), "one_sided_books"),
        (book(10, bids=(), asks=()), "one_sided_books"),
    ],
    ids=["no bid", "crossed", "no asks", "empty"],
)
def test_an_odd_book_is_told_as_it_is_and_counted(message, counter):
    coder = encoder()
    feed(coder, (0, book(0)))
    event = feed(coder, (10, message), (20, book(20)))
    valid, ticks = np.asarray(event.book.is_valid[0, :, 0]), np.asarray(event.book.ticks[0, :, 0])
    assert getattr(coder.counters, counter) == 1
    assert not valid.all() or ticks[0] >= ticks[1]
    assert np.isfinite(np.stack([np.asarray(x, float).sum() for x in jax.tree.leaves(event)])).all()
    np.testing.assert_array_equal(event.book.is_valid[1, :, :3], True)


def test_a_mid_that_left_the_anchor_moves_it_and_shifts_every_price_by_the_same():
    coder = encoder()
    feed(coder, (0, book(0)), (5, ContextMessage("BTC", 1e-5, 10.0, MID)))
    far = 1200
    event = feed(
        coder,
        (10, touch(10, bid=(far - 1, 10), ask=(far + 1, 10))),
        (20, touch(20, bid=(far - 1, 10), ask=(far + 1, 10))),
    )
    assert kinds(event) == ["ANCHOR", "BBO"]
    assert coder.anchor == MID + TICK * far
    shift = 1e4 * math.log(MID / coder.anchor)
    np.testing.assert_allclose(event.shift_bp, [shift, 0], rtol=1e-6)
    np.testing.assert_array_equal(event.shift_ticks, [-far, 0])
    np.testing.assert_array_equal(event.book.ticks[0, :, 0], [-1, 1])
    np.testing.assert_allclose(event.context.mark_bp[0], shift, rtol=1e-6)
    np.testing.assert_allclose(event.rules.lot_usd, MID / 1e6, rtol=1e-7)


def test_an_anchor_moves_neither_early_nor_twice():
    coder = encoder()
    feed(coder, (0, book(0)))
    near = feed(coder, (10, touch(10, bid=(1099, 10), ask=(1101, 10))))
    assert kinds(near) == ["BBO"]
    assert coder.anchor == MID


def test_another_tick_size_is_an_anchor_that_pulls_every_order():
    coder = Encoder(Instrument.hyperliquid("X", 2), AccountInputs(), CONFIG)
    quote = lambda ms, bid, ask: TouchMessage("X", stamp(ms), (bid, 5), (ask, 5))
    event = feed(
        coder, (0, quote(0, 99_998_000, 99_999_000)), (10, quote(10, 100_010_000, 100_020_000))
    )
    assert kinds(event) == ["BBO", "ANCHOR"]
    assert int(event.shift_ticks[1]) == 0
    assert float(event.shift_bp[1]) != 0
    assert float(event.rules.tick_bp[1]) > 5 * float(event.rules.tick_bp[0])


def reference_book(ms, bid, ask):
    return TouchMessage("REF", stamp(ms), (bid, 10), (ask, 10))


def test_the_reference_counts_from_its_own_anchor_ages_and_expires():
    coder = encoder(Instrument.hyperliquid("REF", 5))
    feed(coder, (0, book(0)))
    first = feed(coder, (10, reference_book(10, 999_990, 1_000_010)))
    second = feed(coder, (20, reference_book(20, 1_001_000, 1_001_020)))
    assert bool(second.wake[-1])
    expected = 1e4 * math.log(1_001_010 / 1_000_000)
    np.testing.assert_allclose(
        second.reference.mid_bp[-1] - first.reference.mid_bp[-1], expected, rtol=1e-4
    )
    late = feed(coder, *[(1000 * k, touch(1000 * k)) for k in range(1, 8)])
    valid = np.asarray(late.reference.is_valid)
    assert valid[0]
    assert not valid[-1]


def test_without_a_reference_or_a_context_their_rows_say_that_there_is_none():
    event = feed(encoder(), (0, book(0)), (10, touch(10)))
    assert not np.asarray(event.reference.is_valid).any()
    assert not np.asarray(event.context.is_valid).any()


def test_every_row_after_a_context_carries_the_clock_of_the_settlement():
    coder, hour_s = encoder(), 3600
    left = hour_s - START // NS % hour_s
    event = feed(coder, (0, book(0)), (1000, ContextMessage("BTC", 1e-5, 10.0, MID)))
    np.testing.assert_allclose(np.asarray(event.context.settlement_s)[[0, -1]], [0, left - 1])
    event = feed(coder, (1100, touch(1100)), (1200, touch(1200, bid=(-2, 10))))
    np.testing.assert_allclose(event.context.settlement_s, [left - 1.1, left - 1.2], atol=1e-3)
    due_ms = 1000 * left
    event = feed(coder, (due_ms, touch(due_ms)), (due_ms + 250, touch(due_ms + 250)))
    clock = np.asarray(event.context.settlement_s)[-2:]
    np.testing.assert_allclose(clock, [hour_s, hour_s - 0.25], atol=1e-3)


def test_the_rate_of_the_newest_premium_is_the_forecast_where_no_premium_is_told():
    for premium, expected in ((None, 1e-5), (0.0, 0.0), (-3e-4, -3e-4)):
        event = feed(encoder(), (0, book(0)), (5, ContextMessage("BTC", 1e-5, 9.0, MID, premium)))
        np.testing.assert_allclose(event.context.premium_rate_1h[-1], expected, rtol=1e-6)


def test_frames_of_another_coin_and_notices_make_no_row():
    coder = encoder()
    feed(coder, (0, book(0)))
    other = TouchMessage("ETH", stamp(10), level(-1), level(1))
    assert coder.on(other, at(10)) == []
    assert coder.on(Notice(NoticeKind.PONG, ""), at(20)) == []


def test_the_account_stands_in_every_row_and_changes_with_the_ledger():
    coder = encoder(wealth_usd=5e4, position_usd=-300.0)
    event = feed(coder, (0, book(0)))
    np.testing.assert_allclose(event.account.wealth_usd, 5e4)
    coder.set_account(AccountInputs(position_usd=700.0))
    np.testing.assert_allclose(feed(coder, (10, touch(10))).account.position_usd, 700.0)


STEP = st.tuples(
    st.sampled_from(["touch", "book", "print"]),
    st.integers(-6, 6),
    st.integers(1, 4),
    st.integers(1, 9000),
    st.integers(0, 400),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_what_a_row_displays_is_what_the_messages_left_displayed(steps):
    """Book conservation: a plain dictionary of levels kept beside the encoder agrees with it."""
    coder, ms, shown = encoder(), 0, ({}, {})

    def whole(sides):
        for mine, side in zip(shown, sides, strict=True):
            mine.clear()
            mine.update(dict(side))

    def best(side, price, size):
        mine = shown[side]
        for other in list(mine):
            if (other >= price) if side == 0 else (other <= price):
                del mine[other]
        mine[price] = size

    first = book(0)
    coder.on(first, at(0))
    whole((first.bids, first.asks))
    for kind, middle, half, size, wait in steps:
        ms += wait
        if kind == "touch":
            bid, ask = level(middle - half, size), level(middle + half, size + 1)
            rows = coder.on(TouchMessage("BTC", stamp(ms), bid, ask), at(ms))
            best(0, *bid)
            best(1, *ask)
        elif kind == "book":
            sides = tuple(
                tuple(level(middle + s * (half + 2 * k), size + k) for k in range(4))
                for s in (-1, 1)
            )
            rows = coder.on(BookMessage("BTC", stamp(ms), *sides, 20), at(ms))
            whole(sides)
        else:
            rows = coder.on(prints(ms, ms), at(ms))
        if not rows:
            continue
        event = CONFIG.layout.unpack(rows[-1])
        for side in (0, 1):
            levels = sorted(shown[side].items(), reverse=side == 0)[:4]
            valid = np.asarray(event.book.is_valid[side])
            assert valid.sum() == len(levels)
            assert not np.asarray(event.book.usd[side])[~valid].any()
            ticks = (np.array([price for price, _ in levels]) - coder.anchor) // TICK
            np.testing.assert_array_equal(event.book.ticks[side][valid], ticks)
            usd = np.array([n for _, n in levels]) * MID / 1e6
            np.testing.assert_allclose(event.book.usd[side][valid], usd, rtol=1e-6)
