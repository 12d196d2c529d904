"""Calibration: what is planted is found, and nothing after the fitting part is looked at."""

import dataclasses

import jax
import numpy as np
import pytest

from diffmm import market
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.training import fit


ANCHOR, TICK, DT_S = 400_000, 10, 0.1
LAYOUT = market.Layout(4, 2)
CONFIG = fit.Config(warm_s=30.0)


def tape(n=9000, seed=0, pull=1.0):
    """A mid of one-tick spread that drifts by the log queue ratio, which lasts five seconds."""
    rng = np.random.default_rng(seed)
    ratio = np.zeros(n)
    for k in range(1, n):
        ratio[k] = ratio[k - 1] * np.exp(-DT_S / 5) + rng.normal() * 0.25
    steps = rng.normal(size=n) * 0.6
    mid = np.cumsum(steps + np.concatenate([[0.0], pull * ratio[:-1] * DT_S])).round().astype(int)
    rows = np.zeros((n, LAYOUT.width), np.float32)
    for k, row in enumerate(rows):
        at = LAYOUT.views(row)
        at.kind[...], at.is_valid[...], at.dt_s[...] = market.Kind.BBO, 1, DT_S if k else 0.0
        level = np.arange(4)
        ticks = np.stack([mid[k] - level, mid[k] + 1 + level])
        at.book.ticks[...], at.book.is_valid[...] = ticks, 1
        at.book.price_bp[...] = 1e4 * np.log1p(ticks * TICK / ANCHOR)
        at.book.usd[...] = 1000.0
        at.book.usd[:, 0] = 1000.0 * np.exp([ratio[k], -ratio[k]])
        at.rules.tick_bp[...] = 1e4 * np.log1p(TICK / ANCHOR)
    instrument = market.Instrument("TOY", 2, 4)
    return market.Tape(rows, LAYOUT, 4, instrument, ((0, ANCHOR, TICK),))


def index_of(tapes, to=0.6):
    samples = [fit.Sample.of(one, to, CONFIG) for one in tapes]
    return fit.fit_index(defaults(graph.Params), samples, CONFIG)


def test_a_mid_that_follows_the_queue_is_found_to_and_one_that_does_not_is_not():
    follows, ignores, against = (index_of([tape(pull=x)])[1] for x in (1.0, 0.0, -1.0))
    assert follows["queue"] > 0.2
    assert follows["queue"] > 4 * abs(ignores["queue"])
    assert against["queue"] < -0.2


def test_nothing_after_the_fitting_part_changes_a_fit():
    whole = tape()
    changed = whole.rows.copy()
    changed[int(0.6 * len(changed)) + 1 :] *= 1.5
    other = dataclasses.replace(whole, rows=changed)
    # The split is by time, which the later rows share in; here it stays where it is.
    dt_s = LAYOUT.views(np.arange(LAYOUT.width, dtype=np.float32)).dt_s
    changed[:, int(dt_s)] = whole.rows[:, int(dt_s)]
    a, b = index_of([whole])[0], index_of([other])[0]
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_tape_too_short_to_be_left_out_in_blocks_is_refused():
    with pytest.raises(ValueError, match=r"TOY: 12 s to fit on, expected at least 330"):
        index_of([tape(n=200)])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_gradient_makes_the_moves_likelier_and_gives_the_same_twice():
    sample = fit.Sample.of(tape(n=6000), 0.6, CONFIG)
    config = dataclasses.replace(CONFIG, steps=3)
    start = defaults(graph.Params)
    # The optimiser counts its steps in integers and raises floats to them.
    with jax.numpy_dtype_promotion("standard"):
        new, told = fit.fit_filter(start, [sample], config)
        again, _ = fit.fit_filter(start, [sample], config)
    assert told["end"]["loss"] < told["start"]["loss"]
    for x, y in zip(jax.tree.leaves(new), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(x, y)
    assert (new.pricing.offset_bp == start.pricing.offset_bp).all()
