"""A market of which getting flat is worth something, for the tests of the unwind policy."""

import functools

import jax
import jax.numpy as jnp

from diffmm.risk import unwind


PROBLEM = {
    "fill_usd_s": [[25, 25, 22], [54, 47, 45], [69, 66, 66], [3000, 3000, 3000]],
    "extra_bp": [0, 0.5, 1.0, 17.0],
    "add_usd_s": [25, 25, 22],
    "income_bp": 2.5,
    "sigma_bp": [1.5, 2.0, 5.3],
    "gamma0": 4e-5,
    "convexity": 3.0,
    "room_usd": 2e4,
    "drift_bp_s": [0.01, 0, -0.01],
    "payment_bp": [3.0, 0, -3.0],
    "mode_rate": [[1, 0.005, 0.005], [0.015, 1, 0.015], [0.025, 0.025, 1]],
    "funding_rate": [[1, 1e-4, 1e-7], [1e-4, 1, 1e-4], [1e-7, 1e-4, 1]],
    "shape_rate": [[1, 0.3, 1e-6], [0.1, 1, 0.1], [1e-6, 0.3, 1]],
    "phase_s": [15, 45, 240, 900, 2400],
    "discount_rate": 1 / 900,
}


def problem(**values):
    """The market, some of it otherwise."""
    return unwind.Problem(**{k: jnp.asarray(v, jnp.float64) for k, v in (PROBLEM | values).items()})


@functools.cache
def tables():
    """Of that market, in double precision."""
    with jax.enable_x64(True):
        return unwind.tables(problem())
