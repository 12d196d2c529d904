"""A recording as rows and frames: nothing is lost, repeated or reordered."""

import functools

import jax
import numpy as np
import pytest

from diffmm.market import AccountInputs, Encoder, EncoderConfig, Instrument, Layout, Tape
from diffmm.market.messages import TouchMessage


NS = 1_000_000_000
START = 1_700_000_000 * NS
CONFIG = EncoderConfig(Layout(levels=4, slots=2))


@pytest.fixture(scope="module")
def tape():
    rng = np.random.default_rng(0)
    at = Instrument.hyperliquid("BTC", 5)
    coder = Encoder(at, AccountInputs(), CONFIG)
    rows, anchors, now, middle = [], [], START, 1_100_000
    for _ in range(200):
        now += int(rng.exponential(0.08) * NS)
        middle += 10 * int(rng.integers(-2, 3))
        quote = TouchMessage(
            "BTC", now // 1_000_000, (middle - 10, int(rng.integers(1, 900))), (middle + 10, 500)
        )
        made = coder.on(quote, now)
        if made and not anchors:
            anchors.append((0, coder.anchor, coder.tick))
        rows += made
    return Tape(np.stack(rows), CONFIG.layout, CONFIG.frame_rows, at, tuple(anchors))


def flags(tape):
    """Column numbers of one row, as an event."""
    return tape.layout.views(np.arange(tape.layout.width, dtype=np.float32))


def test_frames_hold_every_row_up_to_the_last_wake_once_and_in_order(tape):
    index, valid = tape.frame_index()
    last = np.flatnonzero(tape.events().wake)[-1]
    np.testing.assert_array_equal(index[valid], np.arange(last + 1))


def test_the_last_valid_row_of_a_frame_is_its_only_wake_and_padding_repeats_it(tape):
    wake = np.asarray(tape.events().wake)
    index, valid = tape.frame_index()
    for rows, real in zip(index, valid, strict=True):
        n = real.sum()
        assert real[:n].all()
        np.testing.assert_array_equal(wake[rows[:n]], [False] * (n - 1) + [True])
        np.testing.assert_array_equal(rows[n:], rows[n - 1])


def test_padded_rows_say_that_they_are_not_valid_and_are_otherwise_the_wake(tape):
    _, valid = tape.frame_index()
    frames = tape.frames()
    told = int(flags(tape).is_valid)
    np.testing.assert_array_equal(frames[:, :, told] == 1, valid)
    assert not valid.all()
    rest = np.delete(frames, told, axis=2)
    f, r = np.argwhere(~valid)[0]
    np.testing.assert_array_equal(rest[f, r], rest[f, valid[f].sum() - 1])
    assert tape.rows[:, told].all(), "the rows themselves were written to"


def test_a_limit_takes_the_first_frames(tape):
    np.testing.assert_array_equal(tape.frames(5), tape.frames()[:5])


def test_a_saved_tape_loads_as_it_was(tape, tmp_path):
    tape.save(tmp_path / "tape.npz")
    back = Tape.load(tmp_path / "tape.npz")
    np.testing.assert_array_equal(back.rows, tape.rows)
    assert (back.layout, back.frame_rows, back.anchors) == (
        tape.layout,
        tape.frame_rows,
        tape.anchors,
    )
    assert back.instrument == tape.instrument


def test_a_packed_row_unpacks_to_the_event_that_was_written(tape):
    layout = tape.layout
    vector = np.arange(layout.width, dtype=np.float32)
    views, event = layout.views(vector), layout.unpack(vector)
    for path, b in jax.tree_util.tree_leaves_with_path(event):
        a = functools.reduce(lambda x, key: getattr(x, key.name), path, views)
        np.testing.assert_array_equal(a.astype(np.asarray(b).dtype), b)
        assert np.shares_memory(a, vector)
    kinds = {str(np.asarray(x).dtype) for x in jax.tree.leaves(event)}
    assert kinds == {"float32", "int32", "bool"}
