from hypothesis import given, strategies as st

from diffmm.market.book import HostBook


BIDS = [(100, 5), (99, 7), (98, 1)]
ASKS = [(101, 4), (103, 6), (104, 2)]


def full():
    book = HostBook()
    assert book.snapshot(BIDS, ASKS, stamp_ms=10, depth=3)
    return book


def test_a_newer_touch_truncates_the_levels_it_crosses_and_refreshes_the_first():
    book = full()
    assert book.touch((99, 9), (103, 1), stamp_ms=20)
    assert book.sides[0] == [[99, 9, 20], [98, 1, 10]]
    assert book.sides[1] == [[103, 1, 20], [104, 2, 10]]


def test_an_improving_touch_goes_in_front_and_deeper_levels_keep_their_stamps():
    book = full()
    book.touch((100, 5), (100, 3), stamp_ms=20)
    assert book.sides[1][:2] == [[100, 3, 20], [101, 4, 10]]
    assert not book.is_two_sided


def test_an_older_message_changes_nothing_and_says_so():
    book = full()
    assert not book.touch((50, 1), (150, 1), stamp_ms=9)
    assert not book.snapshot([], [], stamp_ms=9, depth=3)
    assert book.best_bid == (100, 5)


def test_an_empty_side_is_empty_and_not_two_sided():
    book = full()
    book.touch(None, (101, 4), stamp_ms=20)
    assert book.best_bid is None
    assert not book.is_two_sided


def test_a_short_snapshot_of_the_fast_cadence_keeps_the_deeper_levels_with_their_age():
    book = full()
    book.snapshot([(100, 6)], [(101, 5)], stamp_ms=30, depth=1)
    assert book.sides[0] == [[100, 6, 30], [99, 7, 10], [98, 1, 10]]


def test_a_side_with_fewer_levels_than_asked_for_is_the_whole_side():
    book = full()
    book.snapshot([(100, 6)], [(101, 5)], stamp_ms=30, depth=5)
    assert book.sides[0] == [[100, 6, 30]]


LEVEL = st.tuples(st.integers(1, 50), st.integers(1, 9))


@given(st.lists(st.tuples(LEVEL, LEVEL), min_size=1, max_size=20))
def test_levels_stay_strictly_ordered_under_any_sequence_of_touches(touches):
    book = full()
    for i, (bid, ask) in enumerate(touches):
        book.touch(bid, ask, stamp_ms=20 + i)
        bids = [x[0] for x in book.sides[0]]
        asks = [x[0] for x in book.sides[1]]
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        assert book.best_bid == bid
        assert book.best_ask == ask
