import jax
import numpy as np
import pytest

from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.training import apply, OverrideError


PARAMS = defaults(graph.Params)


def test_a_path_sets_its_leaf_and_no_other():
    new = apply(PARAMS, ["pricing.sniping=off", "belief.exit_rate=0.1,0.2,0.3"])
    assert float(new.pricing.sniping) == 0.0
    np.testing.assert_allclose(new.belief.exit_rate, [0.1, 0.2, 0.3], rtol=1e-6)
    pairs = zip(jax.tree.leaves(PARAMS), jax.tree.leaves(new), strict=True)
    assert sum(not np.array_equal(a, b) for a, b in pairs) == 2


def test_one_number_fills_a_vector():
    np.testing.assert_allclose(apply(PARAMS, ["belief.exit_rate=0.2"]).belief.exit_rate, [0.2] * 3)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("pricing.snipping=off", "no parameter 'pricing.snipping'"),
        ("pricing.sniping", "no parameter"),
        ("pricing.sniping=maybe", "no number"),
        ("pricing.sniping=2", r"expected a \[0, 1\] value"),
        ("belief.exit_rate=1,2", "2 values, expected 1 or 3"),
    ],
)
def test_a_setting_that_cannot_be_followed_says_what_was_expected(setting, said):
    with pytest.raises(OverrideError, match=said):
        apply(PARAMS, [setting])
