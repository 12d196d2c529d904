"""Targets against live orders: the minimal intents, cancels first."""

import numpy as np
from hypothesis import given, strategies as st

from diffmm.execution import Cancel, diff, Place, Targets


def targets(ticks, lots, keep, is_valid=True):
    array = lambda x, kind: np.array(x, kind)
    return Targets(
        ticks=array(ticks, np.int32),
        lots=array(lots, np.int32),
        keep=array(keep, bool),
        gamma_usd=np.float32(0),
        is_valid=np.bool_(is_valid),
        health=np.uint32(0),
    )


def test_what_is_kept_makes_no_intent_and_cancels_come_before_places():
    wanted = targets([[5, 6], [7, 8]], [[1, 2], [3, 0]], [[True, False], [False, False]])
    live = np.array([[True, True], [False, True]])
    assert diff(wanted, live) == [
        Cancel(0, 1),
        Cancel(1, 1),
        Place(0, 1, 6, 2),
        Place(1, 0, 7, 3),
    ]


def test_an_invalid_word_cancels_everything_and_places_nothing():
    wanted = targets([[5, 6], [7, 8]], [[1, 2], [3, 4]], [[True, True], [True, True]], False)
    live = np.array([[True, False], [True, True]])
    assert diff(wanted, live) == [Cancel(0, 0), Cancel(1, 0), Cancel(1, 1)]


SIDES = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(0, 5), st.booleans(), st.booleans()),
    min_size=6,
    max_size=6,
)


@given(SIDES)
def test_after_the_intents_the_book_holds_exactly_the_targets(cells):
    ticks, lots, keep, live = (np.array(x).reshape(2, 3) for x in zip(*cells, strict=True))
    keep = keep & live
    before = {(s, k): ("old", 0) for s in (0, 1) for k in range(3) if live[s, k]}
    for intent in diff(targets(ticks, lots, keep), live):
        where = (intent.side, intent.slot)
        if isinstance(intent, Cancel):
            del before[where]
        else:
            assert where not in before, "placed on a slot that is taken"
            before[where] = (intent.ticks, intent.lots)
    for s in (0, 1):
        for k in range(3):
            if keep[s, k]:
                assert before[s, k] == ("old", 0)
            elif lots[s, k]:
                assert before[s, k] == (ticks[s, k], lots[s, k])
            else:
                assert (s, k) not in before
