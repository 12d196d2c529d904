"""Coordinates of one scale about a point."""

import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.training.coordinates import Coordinates


NAMES = ("belief.reach.depth_decay", "pricing.sniping", "pricing.offset_bp", "risk.holding_s")


def test_a_unit_is_a_factor_a_log_odds_or_the_starting_value():
    start = defaults(graph.Params)
    at = Coordinates.about(start, NAMES)
    h = 1e-2
    moved = at.params(jnp.full(4, h, jnp.float32))
    log_ratio = lambda a, b: float(jnp.log(a / b))
    found = log_ratio(moved.belief.reach.depth_decay, start.belief.reach.depth_decay)
    np.testing.assert_allclose(found, h, rtol=0.02)
    np.testing.assert_allclose(log_ratio(moved.risk.holding_s, start.risk.holding_s), h, rtol=0.02)
    odds = lambda p: jnp.log(p / (1 - p))
    moved_odds = odds(moved.pricing.sniping) - odds(start.pricing.sniping)
    np.testing.assert_allclose(moved_odds, h, rtol=0.02)
    np.testing.assert_allclose(moved.pricing.offset_bp, h, rtol=1e-5)


def test_the_point_itself_is_zero_and_other_leaves_stay():
    start = defaults(graph.Params)
    here = Coordinates.about(start, NAMES).params(jnp.zeros(4, jnp.float32))
    np.testing.assert_allclose(here.risk.holding_s, start.risk.holding_s, rtol=1e-6)
    np.testing.assert_allclose(here.pricing.impact, start.pricing.impact, rtol=1e-6)


@pytest.mark.parametrize("name", ["pricing.no_such", "belief.exit_rate", "features.relaxation"])
def test_what_is_no_trainable_scalar_is_refused(name):
    with pytest.raises(ValueError, match=name):
        Coordinates.about(defaults(graph.Params), [name])
