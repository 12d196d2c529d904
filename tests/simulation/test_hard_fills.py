"""The fill rule, row by row: latency, queue, volume used once, what is told and when."""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm import market
from diffmm.core import defaults
from diffmm.execution import Targets
from diffmm.market import ASK, BID, Kind
from diffmm.simulation import hard_fills


SLOTS, LEVELS = 2, 4
LAYOUT = market.Layout(levels=LEVELS, slots=SLOTS)
TICK_BP, LOT_USD = 1.0, 2.0
LAG_S = 0.2
TOUCH = 5
"""The book: touches 5 ticks from the anchor, then every second tick, 100 USD each."""


@ft.cache
def programme(touch=False, limits=False):
    config = hard_fills.Config(SLOTS, touch, limits)
    return jax.jit(ft.partial(hard_fills.update, config=config))


class World:
    """Feeds rows, remembers what came out."""

    def __init__(self, *, touch=False, limits=False, **rule):
        self.step = programme(touch, limits)
        values = {k: jnp.float32(v) for k, v in rule.items()}
        self.rule = dataclasses.replace(defaults(hard_fills.Params), **values)
        self.state = hard_fills.init(self.rule, config=hard_fills.Config(SLOTS))
        self.shown = {s: dict.fromkeys(TOUCH + 2 * np.arange(LEVELS), 100.0) for s in (BID, ASK)}
        self.base = 0

    def row(self, kind=Kind.TIMER, dt_s=0.25, **values):
        event = jax.tree.map(np.array, LAYOUT.blank)
        set_ = lambda part, **new: dataclasses.replace(part, **new)
        ticks, usd = np.zeros((2, LEVELS), np.int32), np.zeros((2, LEVELS), np.float32)
        valid = np.zeros((2, LEVELS), bool)
        for side, sign in ((BID, -1), (ASK, 1)):
            levels = sorted(self.shown[side].items())
            for k, (out, size) in enumerate(levels):
                ticks[side, k], usd[side, k] = sign * out + self.base, size
                valid[side, k] = True
        trade = market.Trade(
            np.int32(values.pop("ticks", 0)),
            np.float32(0),
            np.float32(values.pop("usd", 0.0)),
            np.float32(values.pop("sign", 0.0)),
        )
        book = market.Book(ticks, ticks.astype(np.float32), usd, np.zeros_like(usd), valid)
        return set_(
            event,
            kind=np.int32(kind),
            is_valid=np.bool_(values.pop("is_valid", True)),
            dt_s=np.float32(dt_s),
            lag_s=np.float32(values.pop("lag_s", LAG_S)),
            book=book,
            trade=trade,
            rules=market.Rules(np.float32(TICK_BP), np.float32(LOT_USD), np.float32(10)),
            shift_ticks=np.int32(values.pop("shift_ticks", 0)),
            shift_bp=np.float32(values.pop("shift_bp", 0.0)),
            **values,
        )

    def feed(self, kind=Kind.TIMER, dt_s=0.25, **values):
        """One row; `(told, filled)`."""
        event = self.row(kind, dt_s, **values)
        self.state, out = self.step(self.rule, self.state, event)
        return jax.tree.map(np.asarray, out)

    def print_(self, sign, ticks, usd, dt_s=0.01):
        """A taker's row; lots filled by side."""
        told, filled = self.feed(Kind.TRADE, dt_s, sign=sign, ticks=ticks, usd=usd)
        self.told = told
        return filled.lots.tolist()

    def act(self, asks=(), bids=(), keep=()):
        """Decide: `(ticks, lots)` by slot; `keep` names `(side, slot)` that stay."""
        ticks, lots = np.zeros((2, SLOTS), np.int32), np.zeros((2, SLOTS), np.int32)
        kept = np.zeros((2, SLOTS), bool)
        for side, orders in ((BID, bids), (ASK, asks)):
            for slot, (at, size) in enumerate(orders):
                ticks[side, slot], lots[side, slot] = at, size
        for side, slot in keep:
            kept[side, slot] = True
        self.state = hard_fills.act(
            self.state,
            Targets(ticks, lots, kept, jnp.zeros(()), jnp.array(True), jnp.uint32(0)),
            self.row(),
        )

    def settle(self, seconds=2.0):
        """Let orders arrive and cancels land."""
        self.feed(dt_s=seconds)


def resting(at=4, lots=10, **world):
    """A world in which one ask of ours stands."""
    w = World(**world)
    w.act(asks=[(at, lots)])
    w.settle()
    return w


@pytest.mark.parametrize(("dt_s", "lots"), [(0.549, 0), (0.551, 10)])
def test_an_order_is_there_after_lag_and_latency_and_not_before(dt_s, lots):
    w = World()
    w.act(asks=[(4, 10)])
    assert w.print_(1, 4, 100.0, dt_s=dt_s) == [0, lots]


def test_an_exact_tie_of_milliseconds_is_not_decided_by_rounding():
    for parts in ([0.55], [0.05] * 11, [0.01] * 55, [0.002] * 275):
        w = World()
        w.act(asks=[(4, 10)])
        for dt_s in parts[:-1]:
            w.feed(dt_s=dt_s)
        assert w.print_(1, 4, 100.0, dt_s=parts[-1]) == [0, 10], parts


def test_the_clock_offset_moves_when_a_row_happened():
    """A receive clock that is slow by the offset makes every row look earlier than it was."""
    w = World(clock_offset_ms=100.0)
    w.act(asks=[(4, 10)])
    assert w.print_(1, 4, 100.0, dt_s=0.46) == [0, 10]
    w = World(clock_offset_ms=-100.0)
    w.act(asks=[(4, 10)])
    assert w.print_(1, 4, 100.0, dt_s=0.6) == [0, 0]


@pytest.mark.parametrize(("dt_s", "lots"), [(0.549, 10), (0.551, 0)])
def test_a_cancelled_order_can_be_filled_until_its_cancel_lands(dt_s, lots):
    w = resting()
    w.act()
    assert w.print_(1, 4, 100.0, dt_s=dt_s) == [0, lots]


def test_prints_through_the_price_fill_and_prints_on_the_other_side_do_not():
    assert resting().print_(1, 3, 100.0) == [0, 0]
    assert resting().print_(1, 5, 100.0) == [0, 10]
    assert resting().print_(-1, 5, 100.0) == [0, 0]
    w = World()
    w.act(bids=[(-4, 10)])
    w.settle()
    assert w.print_(-1, -3, 100.0) == [0, 0]
    assert w.print_(-1, -5, 100.0) == [10, 0]


def test_at_the_touch_the_queue_in_front_is_consumed_first():
    w = resting(at=TOUCH)
    assert w.print_(1, TOUCH, 60.0) == [0, 0]
    assert w.told.orders.ahead_usd[ASK, 0] == pytest.approx(40.0)
    assert w.print_(1, TOUCH, 46.0) == [0, 3]
    assert w.print_(1, TOUCH, 4.0) == [0, 2]


def test_a_print_s_volume_is_used_once_best_price_then_first_come():
    w = World()
    w.act(asks=[(4, 10), (3, 10)])
    w.settle()
    _, filled = w.feed(Kind.TRADE, 0.01, sign=1, ticks=9, usd=30.0)
    assert filled.lots.tolist() == [0, 15]
    assert filled.lots_ticks.tolist() == [0, 10 * 3 + 5 * 4]


def test_two_orders_of_ours_at_one_price_and_of_one_age_share_one_volume():
    w = World()
    w.act(asks=[(4, 10), (4, 10)])
    w.settle()
    assert w.print_(1, 4, 24.0) == [0, 12]


def test_the_older_of_two_orders_at_one_price_is_filled_first_however_old_both_are():
    w = resting(at=4, lots=10)
    w.feed(dt_s=20_000.0)
    w.act(asks=[(4, 10), (4, 7)], keep=[(ASK, 0)])
    w.settle()
    w.feed(dt_s=20_000.0)
    assert w.print_(1, 4, 16.0) == [0, 8]
    assert w.told.orders.usd[ASK].tolist() == [2 * LOT_USD, 7 * LOT_USD]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_of_a_decrease_that_no_print_explains_a_share_was_in_front(share):
    w = resting(at=TOUCH, queue_cancel_ahead=share)
    w.shown[ASK][TOUCH] = 60.0
    told, _ = w.feed(Kind.BBO, 0.05)
    expected = min(100.0 - share * 40.0, 60.0)
    assert told.orders.ahead_usd[ASK, 0] == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("first", ["print", "book"])
def test_a_decrease_and_its_print_count_once_in_either_order(first, share):
    w = resting(at=TOUCH, queue_cancel_ahead=share, pairing_s=1e6)
    w.shown[ASK][TOUCH] = 70.0 if first == "book" else 100.0
    if first == "book":
        w.feed(Kind.BBO, 0.01)
    w.print_(1, TOUCH, 30.0, dt_s=0.01)
    w.shown[ASK][TOUCH] = 70.0
    told, _ = w.feed(Kind.BBO, 0.01)
    assert told.orders.ahead_usd[ASK, 0] == pytest.approx(70.0, abs=1e-3)


def test_a_print_long_after_a_decrease_is_not_explained_by_it():
    w = resting(at=TOUCH)
    w.shown[ASK][TOUCH] = 80.0
    w.feed(Kind.BBO, 0.01)
    w.feed(dt_s=30.0)
    w.print_(1, TOUCH, 40.0)
    # Nothing of the old cancel comes back: 80 left in front, the whole print off it.
    assert w.told.orders.ahead_usd[ASK, 0] == pytest.approx(40.0, abs=1e-3)
    w.shown[ASK][TOUCH] = 40.0
    told, _ = w.feed(Kind.BBO, 0.001)
    assert told.orders.ahead_usd[ASK, 0] == pytest.approx(40.0, abs=0.1)


def test_what_a_print_explained_once_it_does_not_explain_again():
    w = resting(at=TOUCH)
    w.print_(1, TOUCH, 30.0)
    for shown in (70.0, 200.0, 180.0):
        w.shown[ASK][TOUCH] = shown
        told, _ = w.feed(Kind.BBO, 0.001)
    assert told.orders.ahead_usd[ASK, 0] == pytest.approx(60.0, abs=0.1)


def test_the_queue_in_front_is_never_more_than_what_is_shown():
    w = resting(at=TOUCH, queue_cancel_ahead=0.0)
    w.shown[ASK][TOUCH] = 10.0
    told, _ = w.feed(Kind.BBO, 0.05)
    assert told.orders.ahead_usd[ASK, 0] == pytest.approx(10.0)


def test_a_price_beyond_the_display_keeps_its_queue():
    w = resting(at=TOUCH + 2)
    w.shown[ASK] = {TOUCH: 100.0}
    told, _ = w.feed(Kind.BBO, 0.05)
    assert told.orders.ahead_usd[ASK, 0] == pytest.approx(200.0)


def test_an_order_that_arrived_before_the_market_crossed_it_stands():
    w = World()
    w.act(asks=[(-4, 10)])
    w.shown[BID] = {4: 100.0}
    w.settle()
    assert int(w.state.rejects) == 0


def test_an_order_joins_what_was_there_before_the_row_it_arrives_with():
    w = World()
    w.act(asks=[(5, 10)])
    w.shown[ASK] = {5: 300.0}
    w.settle()
    assert w.print_(1, 5, 104.0) == [0, 2]


def test_an_order_that_would_cross_on_arrival_is_refused():
    w = World()
    w.act(asks=[(-4, 10)])
    w.shown[BID] = {4: 100.0}
    w.feed(dt_s=0.1)
    w.settle()
    assert int(w.state.rejects) == 1
    assert w.print_(1, 9, 100.0) == [0, 0]


@pytest.mark.parametrize(("touch", "lots"), [(3, 0), (4, 10), (6, 10)])
def test_fill_on_touch_fills_what_the_opposite_touch_reaches_and_nothing_else(touch, lots):
    for on in (True, False):
        w = resting(touch=on)
        w.shown[BID] = {-touch: 100.0}
        w.shown[ASK] = {touch + 3: 100.0}
        _, filled = w.feed(Kind.BBO, 0.05)
        assert filled.lots.tolist() == [0, lots if on else 0]


def test_fills_are_told_once_with_the_first_row_after_the_next_decision():
    w = resting()
    w.print_(1, 4, 8.0)
    told, _ = w.feed()
    assert told.fill.usd.tolist() == [0.0, 0.0]
    assert told.account.position_usd == 0.0
    w.act(asks=[(4, 6)], keep=[(ASK, 0)])
    told, _ = w.feed()
    assert told.fill.usd.tolist() == [0.0, 8.0]
    assert told.fill.price_bp[ASK] == pytest.approx(4.0, rel=1e-3)
    assert told.account.position_usd == -8.0
    w.act(keep=[(ASK, 0)])
    told, _ = w.feed()
    assert told.fill.usd.tolist() == [0.0, 0.0]
    assert told.account.position_usd == -8.0


def test_a_fill_told_after_a_new_anchor_has_the_price_it_was_made_at():
    w = resting()
    w.print_(1, 4, 8.0)
    w.act(asks=[(4, 6)], keep=[(ASK, 0)])
    w.base = 100
    told, _ = w.feed(Kind.ANCHOR, shift_ticks=100, shift_bp=100.0)
    assert told.fill.price_bp[ASK] == pytest.approx(104.0, rel=1e-3)
    assert told.orders.ticks[ASK, 0] == 104


def test_another_tick_pulls_every_order():
    w = resting()
    told, _ = w.feed(Kind.ANCHOR, shift_ticks=0, shift_bp=3.0)
    assert not told.orders.is_live.any()


def test_padding_changes_nothing():
    w = resting()
    w.print_(1, 4, 8.0)
    before = w.state
    _, filled = w.feed(Kind.TRADE, 1.0, sign=1, ticks=9, usd=500.0, is_valid=False)
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(w.state), strict=True):
        np.testing.assert_array_equal(x, y)
    assert filled.lots.tolist() == [0, 0]
    assert filled.lots_ticks.tolist() == [0, 0]


def test_orders_replaced_at_every_decision_stay_exposed_until_their_cancels_land():
    w = World()
    for k in range(6):
        w.act(asks=[(4, 10 + k)])
        w.feed(dt_s=0.1)
    # Placed 0.6, 0.5, ... 0.1 s ago: one is at the venue, and its cancel is not.
    assert int(w.state.lost) == 0
    assert w.print_(1, 4, 1000.0, dt_s=0.001) == [0, 10]
    for k in range(hard_fills.GENERATIONS + 1):
        w.act(asks=[(4, 10 + k)])
        w.feed(dt_s=0.001)
    assert int(w.state.lost) > 0


def limits(at=4, lots=10):
    return resting(at=at, lots=lots, limits=True)


def test_a_taker_with_a_limit_short_of_us_leaves_no_trace():
    w = limits()
    assert w.print_(1, 3, 50.0) == [0, 0]
    assert w.told.kind == int(Kind.TIMER)
    assert w.told.trade.usd == 0
    assert w.told.trade.ticks == 0


def test_a_taker_who_meets_only_us_prints_at_our_price_what_he_got():
    w = limits()
    assert w.print_(1, 4, 50.0) == [0, 10]
    assert w.told.kind == int(Kind.TRADE)
    assert (w.told.trade.ticks, w.told.trade.usd, w.told.trade.sign) == (4, 20.0, 1)
    assert w.told.trade.price_bp == pytest.approx(4.0, rel=1e-3)


def test_a_taker_who_goes_on_into_the_book_prints_at_the_touch_all_that_he_took():
    w = limits()
    assert w.print_(1, TOUCH + 1, 500.0) == [0, 10]
    assert (w.told.trade.ticks, w.told.trade.usd) == (TOUCH, 20.0 + 100.0)
    w = World(limits=True)
    assert w.print_(-1, -TOUCH - 3, 150.0) == [0, 0]
    assert (w.told.trade.ticks, w.told.trade.usd, w.told.trade.sign) == (-TOUCH, 150.0, -1)


@pytest.mark.parametrize(
    ("at", "limit", "usd", "lots"),
    [
        (TOUCH, TOUCH, 100.0, 0),
        (TOUCH, TOUCH, 110.0, 5),
        (TOUCH + 2, TOUCH + 2, 200.0, 0),
        (TOUCH + 2, TOUCH + 2, 204.0, 2),
        (TOUCH + 1, TOUCH + 1, 110.0, 5),
        (TOUCH + 1, TOUCH, 500.0, 0),
    ],
)
def test_what_is_shown_at_better_prices_and_in_front_goes_first(at, limit, usd, lots):
    assert limits(at=at).print_(1, limit, usd) == [0, lots]


def test_a_smaller_taker_leaves_less_in_front_of_us():
    w = limits(at=TOUCH)
    w.print_(1, TOUCH + 9, 60.0)
    assert w.told.orders.ahead_usd[ASK, 0] == pytest.approx(40.0)


def test_a_row_that_is_no_taker_is_told_as_it_is():
    w = limits()
    told, _ = w.feed(Kind.BOOK)
    assert told.kind == int(Kind.BOOK)
    assert told.trade.usd == 0


def test_many_rows_never_fill_more_than_was_printed_nor_more_than_was_asked():
    rng = np.random.default_rng(0)
    for with_limits in (False, True):
        w = World(limits=with_limits)
        for _ in range(60):
            asks = [(int(rng.integers(1, 9)), int(rng.integers(1, 30))) for _ in range(SLOTS)]
            bids = [(-int(rng.integers(1, 9)), int(rng.integers(1, 30))) for _ in range(SLOTS)]
            w.act(asks=asks, bids=bids)
            for _ in range(3):
                usd = float(LOT_USD * rng.integers(1, 100))
                sign = int(rng.choice([-1, 1]))
                at = sign * int(rng.integers(0, 12))
                before = np.asarray(w.state.orders.lots).sum((1, 2))
                lots = w.print_(sign, at, usd, dt_s=float(rng.exponential(0.2)))
                after = np.asarray(w.state.orders.lots).sum((1, 2))
                assert sum(lots) * LOT_USD <= usd
                assert lots[BID if sign > 0 else ASK] == 0
                assert (before - after >= lots).all()
                assert (np.asarray(w.state.orders.lots) >= 0).all()
                if with_limits:
                    assert sum(lots) * LOT_USD <= w.told.trade.usd <= usd
