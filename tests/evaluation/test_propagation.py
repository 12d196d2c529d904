"""A planted law of absorption is found again, and what is not there is not found."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

import bundles
import events
from diffmm import core
from diffmm.evaluation import propagation as evaluation
from diffmm.features import propagation


ROWS, DT_S = 48_000, 0.025
JUMP_BP, EVERY_S = 4.0, 12.0
SIGMA_BP = 0.4
SEED = 4
CONFIG = evaluation.Config()
ONE = evaluation.Law(1.2, np.array([0.6]), np.array([0.9]))
TWO = evaluation.Law(1.2, np.array([0.25, 2.0]), np.array([0.35, 2.5]))
NONE = evaluation.Law(0.0, np.array([0.5]), np.array([1.0]))


@dataclasses.dataclass(frozen=True)
class Recorded:
    """As much of a tape as the evaluation reads."""

    batch: object

    def events(self):
        return self.batch


def market(law, seed):
    """A reference that jumps now and then, and a mid that takes every jump in by the law."""
    rng = np.random.default_rng(seed)
    batch = events.stream(ROWS, levels=1, slots=1, move_bp=0.0)
    time_s = np.arange(ROWS) * DT_S
    at = np.cumsum(rng.uniform(0.9, 1.1, int(time_s[-1] / EVERY_S)) * EVERY_S)
    at = np.round(at[at < time_s[-1] - CONFIG.horizon_s] / DT_S) * DT_S
    size = rng.choice([-1.0, 1.0], len(at)) * JUMP_BP * rng.uniform(0.7, 1.3, len(at))
    reference = rng.normal(0, 0.02, ROWS).cumsum() * 0.1
    mid = rng.normal(0, SIGMA_BP * DT_S**0.5, ROWS).cumsum()
    for t, s in zip(at, size, strict=True):
        after = time_s - t > -DT_S / 2
        reference = reference + s * after
        mid = mid + law.pass_through * s * law.absorbed(np.maximum(time_s - t, 0)) * after
    price = (mid[:, None, None] + np.array([-0.1, 0.1])[:, None]).astype(np.float32)
    return Recorded(
        bundles.replace(
            batch,
            dt_s=np.full(ROWS, DT_S, np.float32),
            book__ticks=np.zeros((ROWS, 2, 1), np.int32) + np.array([[0], [1]], np.int32),
            book__price_bp=price,
            reference__mid_bp=reference.astype(np.float32),
        )
    )


@functools.cache
def folded():
    p, config = core.defaults(propagation.Params), propagation.Config()
    update = lambda s, e: propagation.update(p, s, e, config=config)
    return jax.jit(lambda b: jax.lax.scan(update, propagation.init(p, config=config), b)[1])


@functools.cache
def table(name):
    law = {"one": ONE, "two": TWO, "none": NONE}[name]
    tape = market(law, SEED)
    told = evaluation.moves(tape, folded()(tape.batch), CONFIG)
    span_s = ROWS * DT_S
    return told, evaluation.table(told, CONFIG, 0.6, 1.0, span_s)


def agrees(found, true, least):
    """The truth within twice the stated interval's reach, and the interval worth stating."""
    reach = max(found["high"] - found["value"], found["value"] - found["low"])
    assert reach < 0.5 * true + least, found
    assert abs(found["value"] - true) < 2 * reach + least, (found, true)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one", "two"])
def test_planted_delays_and_rates_are_recovered_within_the_stated_error(name):
    law, (told, found) = {"one": ONE, "two": TWO}[name], table(name)
    assert len(told.time_s) > 0.9 * (ROWS * DT_S - CONFIG.warm_s) / EVERY_S - 2
    assert len(found["classes"]) == len(law.rate)
    agrees(found["pass_through"], law.pass_through, 0.02)
    agrees(found["half_s"], law.half_s(CONFIG), DT_S)
    for one, delay_s, rate in zip(found["classes"], law.delay_s, law.rate, strict=True):
        agrees(one["delay_s"], delay_s, 2 * DT_S)
        agrees(one["rate"], rate, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one", "two"])
def test_a_law_with_delays_foresees_more_than_its_rivals_where_there_are_delays(name):
    found = table(name)[1]
    assert found["nats_vs_absorbed"]["low"] > 0
    assert found["nats_vs_exponential"]["low"] > 0


@pytest.mark.slow
def test_where_our_mid_takes_nothing_in_nothing_is_foreseen():
    found = table("none")[1]
    assert abs(found["pass_through"]["value"]) < 0.1
    assert found["nats_vs_absorbed"]["low"] <= 0
    assert abs(found["nats_vs_absorbed"]["value"]) < 0.2


@pytest.mark.slow
def test_what_happens_after_the_split_does_not_reach_the_fit():
    told, found = table("one")
    end_s = ROWS * DT_S
    late = told.time_s >= 0.6 * end_s
    other = dataclasses.replace(told, change_bp=np.where(late[:, None], 9.0, told.change_bp))
    again = evaluation.table(other, CONFIG, 0.6, 1.0, end_s)
    for name in ("pass_through", "half_s", "classes", "exponential", "curve"):
        assert again[name] == found[name], name
    assert again["nats_vs_absorbed"] != found["nats_vs_absorbed"]


def test_a_move_counts_until_the_next_one_and_to_the_end_of_the_tape():
    rows, dt_s = 4_000, 0.05
    batch = jax.tree.map(lambda x: x[:rows], market(ONE, 5).batch)
    tape = Recorded(bundles.replace(batch, dt_s=np.full(rows, dt_s, np.float32)))
    at = np.array([2_000, 2_060, 3_900])
    onset = np.zeros(rows, bool)
    onset[at] = True
    seen = propagation_of(onset, np.full(rows, 2.0))
    told = evaluation.moves(tape, seen, CONFIG)
    lasts_s = np.array([3.0, CONFIG.horizon_s, (rows - 1 - 3_900) * dt_s])
    np.testing.assert_allclose(told.counts.sum(axis=1) * CONFIG.step_s, lasts_s, atol=0.11)
    assert (told.change_bp[~told.counts] == 0).all()


def propagation_of(onset, size_bp):
    """Outputs of the stage as far as the evaluation reads them."""
    return dataclasses.make_dataclass("Seen", ["is_onset", "size_bp"])(onset, size_bp)


def test_half_is_absorbed_where_the_law_says_so():
    law = evaluation.Law(1.0, np.array([0.4]), np.array([2.0]))
    assert law.half_s(CONFIG) == pytest.approx(0.4 + np.log(2) / 2, abs=1e-6)


def test_sums_without_noise_give_the_law_back():
    edges = np.arange(101) * CONFIG.step_s
    step = TWO.pass_through * np.diff(TWO.absorbed(edges))
    sums = np.concatenate([7.0 * step, np.full(100, 7.0)])
    law = evaluation.fit(sums, 2, CONFIG)
    np.testing.assert_allclose(law.delay_s, TWO.delay_s, atol=0.01)
    np.testing.assert_allclose(law.rate, TWO.rate, rtol=0.02)
    assert law.pass_through == pytest.approx(TWO.pass_through, rel=1e-3)


def test_too_few_moves_are_counted_and_not_fitted():
    few = evaluation.Moves(
        np.array([100.0]), np.ones(1), np.zeros((1, 100)), np.ones((1, 100), bool), np.zeros(1)
    )
    found = evaluation.table(few, CONFIG, 0.6, 1.0, 1000.0)
    assert (found["moves_fitted"], found["moves"]) == (1, 0)
    assert found["half_s"] is None
