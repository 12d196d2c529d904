"""A reference that stands still while our market moves: two hours of it were recorded."""

import functools
import pathlib

import numpy as np
import pytest

import sessions
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.venues import tape_io


TABLE = pathlib.Path("../shared/data/frozen_reference_feed_CL_20260413.csv.gz")
MINUTES, FORGOTTEN_S = 10, 30


@functools.cache
def lines():
    found = []
    for line in tape_io.read_lines(TABLE):
        at_ns = tape_io.split(line)[0]
        if found and at_ns > tape_io.split(found[0])[0] + MINUTES * 60 * 10**9:
            break
        found.append(line)
    return found


def quotes(reference):
    """Targets by the time of their decision, and when the reference counted."""
    known = tape_io.universe(lines())
    config = EncoderConfig(sessions.SMALL.layout)
    other = known[reference] if reference else None
    tape, _, _ = tape_io.encode(lines(), known["xyz:CL"], AccountInputs(), config, other)
    record = sessions.fresh().replay(tape.frames())
    event = tape.events()
    time_s = np.cumsum(np.asarray(event.dt_s, np.float64))
    wakes = np.round(time_s[np.flatnonzero(event.wake)], 3)
    ticks, lots = sessions.targets(record)
    fair_bp = np.asarray(record.seen.belief.mean[:, 0])
    by_time = dict(
        zip(wakes, zip(ticks.tolist(), lots.tolist(), fair_bp, strict=True), strict=False)
    )
    return by_time, time_s[np.asarray(event.reference.is_valid)]


@pytest.mark.slow
@pytest.mark.skipif(not TABLE.exists(), reason=f"no {TABLE}: the recording is not distributed")
def test_a_frozen_reference_loses_its_weight_in_seconds_and_then_the_quotes_are_those_without_it():
    without, never = quotes(None)
    frozen, counted = quotes("CLUSDT")
    assert len(never) == 0
    assert 0 < counted.max() <= 6, "it counted at first, and no more once nothing had changed"
    both = sorted(set(without) & set(frozen))
    early = [t for t in both if t < counted.max()]
    late = [t for t in both if t > FORGOTTEN_S]
    assert len(late) > 0.95 * sum(t > FORGOTTEN_S for t in without)
    assert max(abs(without[t][2] - frozen[t][2]) for t in early) > 0
    assert [without[t][0] for t in late] == [frozen[t][0] for t in late]
    # What it once said fades and is never exactly nothing: a size may cross the edge of a lot,
    # and an order that is kept carries it on.
    lots = np.array([[x[t][1] for t in late] for x in (without, frozen)])
    assert np.abs(lots[0] - lots[1]).max() <= 1
    fair = np.array([[x[t][2] for t in late] for x in (without, frozen)])
    assert np.abs(fair[0] - fair[1]).max() < 1e-3
    assert np.abs(fair[0] - fair[1])[np.array(late) > 10 * FORGOTTEN_S].max() < 1e-5
    assert any(np.any(without[t][1]) for t in late), "there are quotes to compare"
