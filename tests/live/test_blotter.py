"""Orders end by proof alone, evidence may come twice and in any order, books count once."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings, strategies as st

from diffmm.live.blotter import Blotter, Order, OverfillError, State
from diffmm.live.books import Balance, Books, ConflictError
from diffmm.market import ASK, BID, Instrument, own
from diffmm.market.reports import AccountReport, Fate, FillReport, FundingReport, OrderReport


AT = Instrument.hyperliquid("SIM", 2)
CLOID, OID = "0xd1ff01", 7
PRICE, SIZE = 1_000_000, 300


def blotter():
    one = Blotter()
    one.add(Order(CLOID, BID, 0, PRICE, SIZE, sent_ns=1, expires_ms=5_000))
    return one


def report(fate, remaining=SIZE, ms=10):
    return OrderReport(CLOID, OID, BID, PRICE, SIZE, remaining, fate, fate.value, ms)


def fill(tid, size=100, **changes):
    plain = FillReport(tid, CLOID, OID, BID, PRICE, size, 15_000, 10, False)
    return dataclasses.replace(plain, **changes)


def the(one):
    return one.orders[CLOID]


def test_no_reply_is_no_end():
    one = blotter()
    one.unknown(CLOID)
    assert the(one).state is State.UNKNOWN
    assert the(one).left == SIZE
    one.told(report(Fate.OPEN))
    assert the(one).state is State.LIVE
    one.unknown(CLOID)
    assert the(one).state is State.LIVE


def test_absence_is_proof_only_the_second_time_and_never_of_what_was_seen():
    one = blotter()
    assert one.absent(CLOID) == []
    assert not the(one).is_over
    assert one.absent(CLOID) == [own.Gone(CLOID, 0)]
    assert the(one).state is State.REJECTED
    seen = blotter()
    seen.told(report(Fate.OPEN))
    for _ in range(5):
        assert seen.absent(CLOID) == []
    assert not the(seen).is_over


def test_a_cancelled_order_waits_for_the_fills_that_the_venue_speaks_of():
    one = blotter()
    assert one.told(report(Fate.CANCELED, remaining=100)) == []
    assert the(one).state is State.CLOSING
    assert the(one).left == 200
    one.filled(fill(1))
    assert the(one).left == 100
    assert one.filled(fill(2))[-1] == own.Gone(CLOID, 10)
    assert the(one).state is State.CANCELED
    assert the(one).left == 0


def test_a_late_fill_of_an_order_that_is_over_is_still_told():
    one = blotter()
    one.told(report(Fate.CANCELED))
    assert the(one).is_over
    assert one.filled(fill(1)) == [own.Filled(CLOID, BID, PRICE, 100)]


def test_an_order_taken_for_dead_that_the_venue_shows_is_alive_and_must_go():
    one = blotter()
    one.absent(CLOID)
    one.absent(CLOID)
    one.told(report(Fate.OPEN))
    assert the(one).state is State.LIVE
    assert the(one).left == SIZE
    assert [x.cloid for x in one.working()] == [CLOID]
    assert the(one).slot is None


def test_a_status_that_nobody_knows_ends_nothing():
    one = blotter()
    one.told(report(Fate.UNCLEAR))
    assert not the(one).is_over


def test_more_than_was_ordered_is_an_alarm():
    one = blotter()
    one.filled(fill(1, 300))
    with pytest.raises(OverfillError):
        one.filled(fill(2, 1))


EVIDENCE = {
    "ack": lambda one: one.acked(CLOID, OID, True),
    "open": lambda one: one.told(report(Fate.OPEN)),
    "first": lambda one: one.filled(fill(1)),
    "second": lambda one: one.filled(fill(2)),
    "canceled": lambda one: one.told(report(Fate.CANCELED, remaining=100)),
}


@pytest.mark.parametrize("order", list(itertools.permutations(EVIDENCE)))
def test_evidence_in_any_order_comes_to_the_same_end(order):
    one = blotter()
    for name in order:
        EVIDENCE[name](one)
        assert 0 <= the(one).left <= SIZE
    EVIDENCE["open"](one)
    EVIDENCE["canceled"](one)
    assert (the(one).state, the(one).filled, the(one).left) == (State.CANCELED, 200, 0)
    assert list(one.working()) == []


fills = st.lists(
    st.builds(
        FillReport,
        st.integers(1, 30),
        st.just(CLOID),
        st.just(OID),
        st.sampled_from([BID, ASK]),
        st.integers(1, 10**7),
        st.integers(1, 10**4),
        st.integers(-(10**6), 10**6),
        st.integers(11, 10**6),
        st.booleans(),
    ),
    max_size=20,
    unique_by=lambda x: x.tid,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(fills, st.randoms(use_true_random=False))
def test_books_are_the_sum_of_the_fills_whatever_comes_twice_and_when(many, draw):
    books = Books(AT)
    books.open(Balance(5, 10**12), 10)
    told = [*many, *many]
    draw.shuffle(told)
    assert sum(books.fill(x) for x in told) == len(many)
    signed = [(1 if x.side == BID else -1, x) for x in many]
    assert books.balance.position == 5 + sum(s * x.size for s, x in signed)
    paid = sum(s * x.size * x.price * 100 + x.fee_1e8 for s, x in signed)
    assert books.balance.cash_1e8 == 10**12 - paid


def test_one_id_with_two_contents_is_a_conflict():
    books = Books(AT)
    books.open(Balance(0, 0), 5)
    books.fill(fill(1))
    assert not books.fill(fill(1, cloid=None))
    with pytest.raises(ConflictError):
        books.fill(fill(1, size=101))
    books.funding(FundingReport(20, 5))
    with pytest.raises(ConflictError):
        books.funding(FundingReport(20, 6))


def test_what_came_before_the_opening_is_in_the_balance():
    books = Books(AT)
    assert not books.fill(fill(1))
    books.open(Balance(0, 0), 10)
    assert not books.fill(fill(1))
    assert not books.funding(FundingReport(10, 5))
    assert books.fill(fill(2, exchange_ms=11))


def test_the_difference_to_the_venue_is_told_to_the_last_integer():
    books = Books(AT)
    books.open(Balance(3, 7), 10)
    assert books.difference(AccountReport(20, 3, 7, 0)) is None
    assert books.difference(AccountReport(20, 3, 8, 0)) == Balance(0, 1)
    assert books.difference(AccountReport(20, 2, 7, 0)) == Balance(-1, 0)
