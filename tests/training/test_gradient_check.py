"""Figures of a comparison of gradients, on gradients that are known."""

import numpy as np

from diffmm.training.gradient_check import Compared
from diffmm.training.problem import NAMES


def compared(wrong=0.0):
    """Gradients (3, 4) with noise, the relaxed one turned by `wrong` in its first number."""
    rng = np.random.default_rng(2)
    truth = np.array([3.0, 4.0])
    relaxed = truth + np.array([wrong, 0.0]) + rng.standard_normal((4000, 2))
    differences = truth + 2 * rng.standard_normal((2, 4000, 2))
    return Compared(relaxed, differences).summary(("a", "b"))


def test_a_right_gradient_has_a_cosine_and_a_ratio_of_one():
    told = compared()
    assert told["cosine"] > 0.9995
    assert abs(told["norm_ratio"] - 1) < 0.02
    assert all(abs(x["z"]) < 3 for x in told["parameters"])
    np.testing.assert_allclose(told["estimator_variance"], 2 / 25, rtol=0.1)
    np.testing.assert_allclose(told["parameters"][0]["standard_error"], np.sqrt(5 / 4000), rtol=0.1)


def test_a_wrong_number_is_seen_in_its_own_row():
    told = compared(wrong=-1.0)
    assert told["parameters"][0]["z"] < -10
    assert abs(told["parameters"][1]["z"]) < 3
    assert told["cosine"] < 0.99


def test_at_least_twenty_parameters_of_every_stage_that_has_some_are_compared():
    assert len(NAMES) >= 20
    stages = {name.split(".")[0] for name in NAMES}
    assert stages == {"features", "belief", "risk", "pricing", "allocation"}
