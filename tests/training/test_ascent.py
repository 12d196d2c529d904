"""Steps uphill on a hill whose top is known."""

import numpy as np
import pytest

from diffmm.training import ascent
from diffmm.training.experiment import Objective

from .hills import experiment, Hill, TOP


MEAN = Objective()


def climbed(steps, hill, **train):
    asked = experiment(steps=steps, **train).train
    state = ascent.init(asked)
    for k in range(steps):
        state = ascent.step(asked, state, ascent.slope(hill, MEAN, state.z, k))
    return state


def test_it_reaches_the_top():
    np.testing.assert_allclose(climbed(200, Hill()).z, TOP, atol=0.06)


def test_a_path_without_a_number_is_left_out_and_the_others_count():
    class OneBroken(Hill):
        def slopes(self, z, seed):
            utility, each = super().slopes(z, seed)
            each[3] = np.nan
            return utility, each

    whole, holed = (ascent.slope(x, MEAN, np.zeros(3), 5) for x in (Hill(), OneBroken()))
    assert (whole.left_out, holed.left_out) == (0, 1)
    keep = np.arange(8) != 3
    np.testing.assert_allclose(holed.gradient, Hill().slopes(np.zeros(3), 5)[1][keep].mean(axis=0))


def test_a_step_without_a_gradient_moves_nothing_and_forgets_nothing():
    asked = experiment().train
    hill = Hill(broken=frozenset([7]))
    state = climbed(5, hill)
    later = ascent.step(asked, state, ascent.slope(hill, MEAN, state.z, 7))
    assert (int(later.step), int(later.skipped)) == (6, 1)
    np.testing.assert_array_equal(later.z, state.z)
    again = ascent.step(asked, later, ascent.slope(hill, MEAN, later.z, 8))
    assert int(again.skipped) == 0
    assert (again.z != later.z).all()


def test_a_gradient_is_no_longer_than_it_may_be():
    # Adam forgets lengths; clipping shows where a long gradient comes after short ones.
    asked = experiment(clip_norm=1.0).train
    found = ascent.slope(Hill(), MEAN, np.zeros(3), 0)
    huge = found._replace(gradient=1e6 * found.gradient)
    once = [ascent.step(asked, ascent.init(asked), x) for x in (found, huge)]
    a, b = (ascent.step(asked, x, found) for x in once)
    np.testing.assert_allclose(a.z, b.z, rtol=0.2)


def test_the_prior_pulls_back_to_the_start():
    pull = Objective(prior_weight=3.0)
    z = np.array([1.0, -1.0, 2.0])
    free, held = (ascent.slope(Hill(), x, z, 0) for x in (MEAN, pull))
    np.testing.assert_allclose(held.gradient - free.gradient, -6 * z)
    np.testing.assert_allclose(held.value_usd - free.value_usd, -18.0)


@pytest.mark.parametrize("wrong", [1.0, 1.3])
def test_an_audit_sees_a_slope_that_hard_runs_do_not_have(wrong):
    hill = Hill(wrong=wrong, block=64)
    found = ascent.audit(hill, np.zeros(3), hill.slopes(np.zeros(3), 1)[1].mean(axis=0), 0, 0.1)
    np.testing.assert_allclose(found["relaxed"], wrong * found["hard"], rtol=1e-9)
    if wrong > 1:
        assert found["z"] > 4


def test_along_no_direction_there_is_no_slope():
    found = ascent.audit(Hill(), np.zeros(3), np.zeros(3), 0, 0.1)
    assert found == {"relaxed": 0.0, "hard": 0.0, "standard_error": 0.0, "z": 0.0}


def test_the_best_look_is_remembered():
    state = ascent.init(experiment().train)
    for value, z in ((1.0, 0.1), (3.0, 0.2), (2.0, 0.3)):
        state = ascent.look(state._replace(z=np.full(3, z, np.float32)), value)
    np.testing.assert_array_equal(state.best_z, np.full(3, 0.2, np.float32))
    assert (float(state.best_usd), int(state.looks_since)) == (3.0, 1)


def test_seeds_of_different_uses_never_meet():
    found = [set(ascent.seeds(s, use, 1000)) for s in (0, 1, 500) for use in (0, 1, 2)]
    assert len(set.union(*found)) == 9000
    assert max(map(max, found)) < 2**31
