"""Calibration of a predictive distribution, the ridge beside it, and the table of features."""

import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.belief.predictive import Predictive
from diffmm.evaluation import fair_value, forecast


N = 3000
TICK = np.full(N, 1e-6)


def known(n=N, horizons=3, scale=1.0, seed=0):
    """Outcomes of a forecast that is right when `scale` is 1: move with 0.6, then N(0.3, 1)."""
    rng = np.random.default_rng(seed)
    moved = rng.uniform(size=(n, horizons)) < 0.6
    change = np.where(moved, 0.3 + scale * rng.normal(size=(n, horizons)), 0.0)
    at = forecast.Moments(np.arange(n, dtype=float), np.arange(n), change, moved)
    full = lambda x, *more: jnp.full((n, horizons, *more), x)
    each = Predictive(full(0.6), full(1.0, 1), full(0.3, 1), full(1.0, 1))
    mean = np.full((n, horizons), 0.18)
    return at, fair_value.Ahead(each, mean, np.full_like(mean, 0.6 * (1 + 0.09) - 0.18**2))


def test_a_right_distribution_has_nis_one_a_uniform_transform_and_the_best_score():
    told = fair_value.calibration(*known()[::-1], TICK, seed=1)
    for h in ("1", "5", "10"):
        assert told["nis_mean"][h] == pytest.approx(1, abs=0.08)
        assert told["pit_ks"][h] < 0.03
    wrong = fair_value.calibration(*known(scale=2.0)[::-1], TICK, seed=1)
    for h in ("1", "5", "10"):
        assert wrong["nis_mean"][h] > 2
        assert wrong["pit_ks"][h] > 0.08
        assert wrong["log_score"][h] < told["log_score"][h] - 0.3


def linear(seed=0, n=4000):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, 3))
    y = 0.8 * columns[:, 0] + 0.4 * columns[:, 1] + 0.3 * rng.normal(size=n)
    change = np.stack([y] * 3, axis=1)
    of = lambda rows: forecast.Moments(rows.astype(float), rows, change[rows], rows > -1)
    return columns, of(np.arange(n // 2)), of(np.arange(n // 2, n))


def test_the_ridge_is_fitted_on_the_earlier_moments_and_predicts_the_later():
    columns, train, test = linear()
    found = fair_value.ridge(columns, train, test)
    assert forecast.gain(test, 0, found[:, 0])["value"] == pytest.approx(0.80 / 0.89, abs=0.02)
    few = forecast.Moments(
        *(x[:20] for x in (train.time_s, train.row, train.change_bp, train.moved))
    )
    assert fair_value.ridge(columns, few, test) is None


def test_the_table_of_features_finds_the_useful_ones_and_the_useless_one():
    columns, train, test = linear()
    table = fair_value.feature_table("abc", columns, np.ones(len(columns)), train, test)
    strong, weak, none = (row["incremental"] for row in table)
    assert strong["low"] > weak["low"] > 0
    assert abs(none["value"]) < 2
    assert table[0]["single"]["value"] > table[1]["single"]["value"] > table[2]["single"]["value"]
