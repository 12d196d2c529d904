"""Objectives of many paths: their values by hand, their weights by differences."""

import numpy as np
import pytest

from diffmm.training.experiment import Objective
from diffmm.training.objective import RuinError, value_and_weights


U = np.array([3.0, -2.0, 5.0, -1.0, 0.5])
ASKED = {
    "mean": Objective(),
    "log_growth": Objective(kind="log_growth"),
    "cvar": Objective(kind="cvar", tail_share=0.4),
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mean", 1.1),
        ("log_growth", 10 * np.log1p(U / 10).mean()),
        ("cvar", -1.5),
    ],
)
def test_the_value_is_the_one_by_hand(kind, expected):
    np.testing.assert_allclose(value_and_weights(ASKED[kind], U, 10.0)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ASKED)
def test_the_weights_are_the_slope_in_every_utility(kind):
    _, weights = value_and_weights(ASKED[kind], U, 10.0)
    for k, weight in enumerate(weights):
        step = 1e-6 * np.eye(5)[k]
        ahead, behind = (value_and_weights(ASKED[kind], U + s * step, 10.0)[0] for s in (1, -1))
        np.testing.assert_allclose((ahead - behind) / 2e-6, weight, atol=1e-8)
    assert (weights >= 0).all()


def test_growth_of_a_large_account_is_the_mean():
    value, weights = value_and_weights(ASKED["log_growth"], U, 1e9)
    np.testing.assert_allclose(value, U.mean(), rtol=1e-6)
    np.testing.assert_allclose(weights, 0.2, rtol=1e-6)


def test_ruin_has_no_growth_and_says_so():
    with pytest.raises(RuinError, match="lost 2 USD of 2"):
        value_and_weights(ASKED["log_growth"], U, 2.0)
