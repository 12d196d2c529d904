"""A book from numbered updates: whatever is lost, repeated or late, it is right or unknown."""

import pytest
from hypothesis import given, settings, strategies as st

from diffmm.venues.binance import DepthBook, Joined, Update


SPOT, USDM = "spot", "USD-M"
BOTH = pytest.mark.parametrize("market", [SPOT, USDM])
FIRST = 100
"""Number of the last change before the first update."""


def updates(changes, market):
    """Each `(numbers, side, price, size)` as an update that continues the one before."""
    out, last = [], FIRST
    for numbers, side, price, size in changes:
        sides = ([(price, size)], []) if side == 0 else ([], [(price, size)])
        first = last + 1 if market == SPOT else last + 5
        new = first + numbers - 1
        out.append(Update(first, new, None if market == SPOT else last, new, sides))
        last = new
    return out


def truth(start, done):
    """The book by plain dictionaries: every level takes the newest size told."""
    sides = [dict(start[0]), dict(start[1])]
    for update in done:
        for side, levels in enumerate(update.sides):
            sides[side] |= dict(levels)
    return tuple({p: s for p, s in side.items() if s} for side in sides)


START = ([(99, 5), (98, 7)], [(101, 4), (103, 6)])
CHANGES = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 1), st.integers(90, 110), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


def started():
    book = DepthBook()
    assert book.snapshot(FIRST, START, 1) is Joined.APPLIED
    return book


def is_right(book, market, made):
    """The book holds exactly what all updates up to its own number made of it."""
    done = [x for x in made if x.last <= book.last]
    return book.sizes == truth(START, done)


@BOTH
@settings(deadline=None, max_examples=60)
@given(changes=CHANGES)
def test_all_updates_in_order_give_the_newest_size_of_every_level(market, changes):
    book, made = started(), updates(changes, market)
    # The first USD-M update must cover the snapshot's number.
    if market == USDM:
        made[0] = Update(FIRST, made[0].last, FIRST - 1, 1, made[0].sides)
    assert all(book.update(x) is Joined.APPLIED for x in made)
    assert book.sizes == truth(START, made)
    prices = [p for p, _ in book.levels(0, 99)]
    assert prices == sorted(book.sizes[0], reverse=True)
    assert [p for p, _ in book.levels(1, 3)] == sorted(book.sizes[1])[:3]


@BOTH
@settings(deadline=None, max_examples=100)
@given(changes=CHANGES, data=st.data())
def test_lost_repeated_and_disordered_updates_leave_it_right_or_unknown(market, changes, data):
    book, made = started(), updates(changes, market)
    sent = data.draw(st.lists(st.sampled_from(made), max_size=20))
    for update in sent:
        done = book.update(update)
        if done is Joined.GAP:
            assert book.last is None
            assert book.sizes == ({}, {})
        if book.last is None:
            assert done in (Joined.GAP, Joined.WAITING)
            continue
        assert is_right(book, market, made)


@BOTH
def test_an_update_that_is_missing_is_a_gap_and_the_next_snapshot_ends_it(market):
    book = started()
    made = updates([(2, 0, 97, 1), (1, 0, 96, 2), (2, 1, 105, 3), (1, 1, 106, 4)], market)
    assert book.update(made[0]) is Joined.APPLIED
    assert book.update(made[2]) is Joined.GAP
    assert book.update(made[3]) is Joined.WAITING
    assert book.levels(0, 5) == []
    # A snapshot between the two that waited: the first is in it already, the second continues it.
    assert book.snapshot(made[2].last, ([(99, 1)], [(101, 1)]), 9) is Joined.APPLIED
    assert book.last == made[3].last
    assert book.sizes == ({99: 1}, {101: 1, 106: 4} | ({105: 3} if market == USDM else {}))


def test_a_snapshot_that_no_waiting_update_continues_is_another_gap():
    book = DepthBook()
    late = Update(FIRST + 5, FIRST + 6, None, 1, ([(99, 1)], []))
    assert book.update(late) is Joined.WAITING
    assert book.snapshot(FIRST, START, 1) is Joined.GAP
    assert book.last is None
    assert book.snapshot(FIRST + 4, START, 1) is Joined.APPLIED
    assert book.sizes[0] == {99: 1, 98: 7}


def test_an_older_snapshot_does_not_undo_newer_updates():
    book = started()
    assert book.update(updates([(3, 0, 99, 8)], SPOT)[0]) is Joined.APPLIED
    assert book.snapshot(FIRST + 1, START, 1) is Joined.STALE
    assert book.sizes[0][99] == 8


def test_without_any_snapshot_what_was_told_is_exact_and_the_rest_is_missing():
    book = DepthBook(starts_empty=True)
    first, second = updates([(1, 0, 97, 1), (1, 1, 105, 3)], SPOT)
    assert book.update(first) is Joined.APPLIED
    book.assume(((98, 2), (104, 5)))
    assert book.update(second) is Joined.APPLIED
    assert book.sizes == ({97: 1, 98: 2}, {104: 5, 105: 3})
    book.assume(((97, 6), (105, 1)))
    assert book.sizes == ({97: 6}, {105: 1})
