"""The estimators of `simulation.soft_fills` on problems with an exact answer, as figures."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmm.core import defaults
from diffmm.engine import run
from diffmm.simulation import soft_fills
from diffmm.simulation.control_problem import AvellanedaStoikov, TwoStep


DISTANCE = 0.7
PATHS, LANES, FLIPS = 4096, 256, 8


def figures(seed: int) -> dict[str, dict[str, Any]]:
    """Gradients by every estimator; `exact` integrates the fills out."""
    two, market = TwoStep(), AvellanedaStoikov()
    noise, select = jax.random.split(jax.random.key(seed))
    still = market.play(jnp.zeros(market.steps, jnp.float32))
    rule = soft_fills.relaxed(defaults(soft_fills.Params).temperature)

    def estimates(fn: Any, paths: Any, at: float) -> dict[str, float]:
        each = np.asarray(run.each_path(jax.grad(fn), LANES)(jnp.float32(at), paths), np.float64)
        error = each.std() / np.sqrt(each.size)
        return {"value": float(each.mean()), "standard_error": float(error)}

    exact = jax.grad(lambda x: soft_fills.enumerated(two.play, x, (2,), jnp.float32))
    small = soft_fills.noise(noise, (PATHS, 2), jnp.float32)
    draws = soft_fills.noise(noise, (PATHS, market.steps, 2), jnp.float32)
    keys = jax.random.split(select, PATHS)
    flip = lambda x, given: soft_fills.two_branch(still, x, given[0], given[1], FLIPS)
    return {
        "two_step": {
            "exact": float(exact(jnp.float32(DISTANCE))),
            "relaxed": estimates(lambda x, d: two.play(x, d, rule)[0], small, DISTANCE),
        },
        "avellaneda_stoikov": {
            "exact": float(jax.grad(market.mean)(jnp.float32(0.0))),
            "relaxed": estimates(lambda x, d: still(x, d, rule)[0], draws, 0.0),
            "two_branch": estimates(flip, (draws, keys), 0.0),
        },
    }
