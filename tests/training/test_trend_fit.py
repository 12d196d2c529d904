"""Signs of a drift by regression: planted coefficients come back, and a still world is refused."""

import argparse
import functools as ft

import jax
import numpy as np
import pytest

from diffmm import market
from diffmm.cli import markets
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.training import trend_fit, with_trend


@ft.cache
def world(name):
    asked = argparse.Namespace(path=name, seed=3, seeds=1, for_s=1800.0)
    return markets.find(asked, market.AccountInputs())[0]


def fitted(name, drift_bp_s=None, to=1.0):
    found = world(name)
    drift = found.drift_bp_s if drift_bp_s is None else drift_bp_s
    given = with_trend(defaults(graph.Params))
    with jax.numpy_dtype_promotion("standard"):
        return trend_fit.fit(given, [found.tape], [drift], to, trend_fit.Config())


def test_a_drift_that_is_the_signs_and_noise_gives_back_its_coefficients():
    found = world("trending")
    with jax.numpy_dtype_promotion("standard"):
        given = with_trend(defaults(graph.Params))
        signs, sigma = trend_fit.columns(given.features, found.tape, found.tape.rows)
    exact = sigma * (signs @ np.array([0.2, -0.05]))
    params, told = fitted("trending", exact)
    assert told["lean"] == pytest.approx(0.2, rel=1e-6)
    assert told["flow"] == pytest.approx(-0.05, rel=1e-6)
    assert told["explained"] == pytest.approx(1.0)
    assert float(params.features.trend.lean) == pytest.approx(0.2, rel=1e-6)
    # Noise that lasts for whole blocks says how much less a second of signs is worth.
    block = np.repeat([1.0, -1.0], trend_fit.Config().block_s)
    second = np.searchsorted(np.arange(1800.0), np.linspace(0, 1799, len(sigma)), side="left")
    lasting = 0.01 * sigma * np.tile(block, 15)[second]
    _, noisy = fitted("trending", exact + lasting)
    assert noisy["signs"] < 1 / (trend_fit.Config().block_s * 0.005**2)


def test_planted_drifts_are_told_by_both_signs():
    _, told = fitted("trending")
    assert told["lean"] > 0
    assert told["flow"] > 0
    assert told["signs"] > 1
    assert told["explained"] > 0.4


def test_a_world_without_a_drift_or_a_tree_without_a_trend_is_refused():
    with pytest.raises(ValueError, match="found no drift in these worlds"):
        fitted("thin")
    found = world("trending")
    with pytest.raises(ValueError, match="found no trend to fit"):
        trend_fit.fit(
            defaults(graph.Params), [found.tape], [found.drift_bp_s], 1.0, trend_fit.Config()
        )
