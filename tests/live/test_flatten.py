"""A stop that also closes the position: one reduce-only order inside the collar, asked for only."""

import dataclasses

import pytest
from hypothesis import given, strategies as st

import trading
from diffmm.live.events import Command
from diffmm.live.flatten import closing
from diffmm.live.trader import Config
from diffmm.market import ASK, BID
from trading import AT, COIN, Crowd, LIMITS, Link, NS, Random


def stopped(seed, **config):
    one = Link(trading.trader(Random(seed), config=Config(**config)), Crowd(seed), seed)
    one.start()
    one.run(30)
    while not one.truth().positions.get(COIN, 0):
        one.run(1)
    one.command(Command.STOP)
    one.run(20)
    return one


@pytest.mark.parametrize("seed", [1, 2])
def test_a_stop_closes_the_position_only_where_a_person_asked_for_it(seed):
    kept, flat = stopped(seed), stopped(seed, flatten_ns=5 * NS)
    assert kept.truth().positions[COIN] == kept.core.books.balance.position != 0
    assert flat.truth().positions.get(COIN, 0) == flat.core.books.balance.position == 0
    for one in (kept, flat):
        assert (one.ended.code, one.core.resting_at_exit) == (0, 0)
        assert one.core.books.balance.cash_1e8 == one.truth().cash * 100
        assert not one.truth().open_orders
    # A rerun and a recovery must know of the order like of any other.
    last = [x for x in flat.journal if x["t"] == "sent"][-1]["orders"]
    assert [x[2] for x in last] == [None]


def test_where_nobody_takes_it_the_position_stays_and_the_end_says_so():
    # In this market nobody bids any more when the stop comes.
    one = stopped(0, flatten_ns=5 * NS)
    assert (one.ended.code, one.core.resting_at_exit) == (0, 0)
    assert one.truth().positions[COIN] == one.core.books.balance.position > 0
    assert one.core.faults["not_flat"] == 1


PRICES = st.integers(10_000, 90_000_000)


@given(
    position=st.integers(-(10**7), 10**7),
    middle=PRICES,
    apart_bp=st.integers(-150, 150),
    collar_bp=st.integers(1, 1_000),
)
def test_the_order_reduces_and_lies_within_the_collar_of_both_references(
    position, middle, apart_bp, collar_bp
):
    limits = dataclasses.replace(LIMITS, collar_bp=collar_bp, max_reference_gap_bp=200)
    mark = middle * (10_000 + apart_bp) // 10_000
    order = closing(position, 2 * middle, mark, limits, AT)
    if order is None:
        return
    assert order.side == (ASK if position > 0 else BID)
    assert 0 < order.size <= min(abs(position), limits.max_order)
    assert AT.is_valid_price(order.price)
    for reference in (middle, mark):
        beyond = reference - order.price if order.side == ASK else order.price - reference
        assert beyond * 10_000 <= collar_bp * reference


def test_without_a_fair_price_or_with_less_than_the_venue_takes_there_is_no_order():
    middle = 11_000_000
    assert closing(500, 2 * middle, middle, LIMITS, AT) is not None
    for position, mid2, mark in [
        (0, 2 * middle, middle),
        (500, None, middle),
        (500, 2 * middle, None),
        (500, 2 * middle, middle * 2),
        (-1, 20_000, 10_000),
    ]:
        assert closing(position, mid2, mark, LIMITS, AT) is None
