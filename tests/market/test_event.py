import jax
import numpy as np

import events


def test_a_generated_book_is_ordered_and_never_crossed():
    batch = events.stream(200)
    bids, asks = np.asarray(batch.book.price_bp[:, 0]), np.asarray(batch.book.price_bp[:, 1])
    assert (np.diff(bids, axis=1) < 0).all()
    assert (np.diff(asks, axis=1) > 0).all()
    assert (bids[:, 0] < asks[:, 0]).all()


def test_mirroring_twice_gives_the_same_events_back():
    batch = events.stream(20)
    twice = events.mirror(events.mirror(batch))
    for a, b in zip(jax.tree.leaves(batch), jax.tree.leaves(twice), strict=True):
        np.testing.assert_array_equal(a, b)
