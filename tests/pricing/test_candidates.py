"""Where candidates stand: the tick in front of our touch is among them, the rest lies inside."""

import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.market import Book
from diffmm.pricing.candidates import candidates, Config, outward


CONFIG = Config(inside=6, near=2, deep=2)


def inside(bid, ask):
    """Outward ticks of the candidates between the touches, by side."""
    ticks = jnp.array([[bid, bid - 3], [ask, ask + 3]], jnp.int32)
    ones = jnp.ones((2, 2), jnp.float32)
    book = Book(ticks, ticks.astype(jnp.float32), ones, ones, jnp.ones((2, 2), bool))
    found = candidates(book, jnp.float32(1.0), jnp.float32(8.0), CONFIG)
    first = lambda x: np.asarray(x)[:, : CONFIG.inside]
    return first(outward(found.ticks)), first(found.is_valid), np.array([-bid, ask])


@pytest.mark.parametrize("spread", [2, 3, 7, 12, 13, 40])
def test_the_tick_in_front_of_our_touch_is_asked_about(spread):
    out, is_valid, touch = inside(100, 100 + spread)
    for side in range(2):
        asked = out[side][is_valid[side]]
        assert touch[side] - 1 in asked
        assert (asked < touch[side]).all()
        assert (asked > touch[side] - spread).all()
        # As evenly as whole ticks allow, and every tick where there are no more than candidates.
        assert len(asked) == min(spread - 1, CONFIG.inside)


def test_a_spread_of_one_tick_has_nothing_inside():
    out, is_valid, touch = inside(100, 101)
    assert (out[is_valid] >= touch[:, None].repeat(CONFIG.inside, 1)[is_valid]).all()
