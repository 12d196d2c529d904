"""Planted laws of reversion and of sizes are found again and worth what they are worth."""

import numpy as np
import pytest

from diffmm.evaluation import liquidations


CONFIG = liquidations.Config()
HORIZONS_S = np.array([30.0, 60.0, 300.0])
TRUE = liquidations.Reversion(5.0, 0.4, 80.0)
N = 4_000


def planted(law=TRUE, seed=0):
    """Impacts of forty coins with heavy tails, and what comes back, noise growing with impact."""
    rng = np.random.default_rng(seed)
    coin = rng.integers(0, 40, N).astype(str)
    impact = rng.standard_t(2, N) * 40 + 15
    noise = rng.standard_normal((N, 3)) * np.sqrt(CONFIG.scale_bp**2 + impact[:, None] ** 2) / 2
    back = law.expected_bp(impact, HORIZONS_S) + noise
    back[::50, 2] = np.nan
    return coin, impact, back


def test_a_planted_reversion_is_recovered():
    _, impact, back = planted()
    law = liquidations.fit(impact, back, HORIZONS_S, CONFIG)
    assert law.always_bp == pytest.approx(TRUE.always_bp, abs=1.0)
    assert law.share == pytest.approx(TRUE.share, abs=0.04)
    assert law.time_s == pytest.approx(TRUE.time_s, rel=0.2)


def test_it_is_worth_something_on_coins_it_was_not_fitted_on_and_nothing_where_there_is_none():
    found = liquidations.reversion(*planted(), HORIZONS_S, CONFIG)
    assert all(x["low"] > 0.01 for x in found["gain_vs_none"].values())
    assert found["gain_vs_none"]["300"]["n"] == N - len(range(0, N, 50))
    none = liquidations.Reversion(0.0, 0.0, 50.0)
    found = liquidations.reversion(*planted(none, 1), HORIZONS_S, CONFIG)
    assert all(x["low"] <= 0 for x in found["gain_vs_none"].values())
    assert all(abs(x["value"]) < 0.01 for x in found["gain_vs_none"].values())


def test_every_coin_is_foreseen_from_the_others_only():
    coin, impact, back = planted()
    before = liquidations.reversion(coin, impact, back, HORIZONS_S, CONFIG)
    own = coin == coin[0]
    # A coin that alone reverts wildly spoils its own score, whatever it does to that of others.
    other = np.where(own[:, None], -back, back)
    after = liquidations.reversion(coin, impact, other, HORIZONS_S, CONFIG)
    assert after["gain_vs_none"]["60"]["value"] < before["gain_vs_none"]["60"]["value"]


def test_a_lognormal_law_of_sizes_is_recovered_and_beats_an_exponential_one():
    rng = np.random.default_rng(3)
    time_s = np.arange(N) * 6.0
    usd = np.exp(rng.normal(7.0, 1.5, N))
    found = liquidations.sizes(time_s, usd, CONFIG)
    assert found["median_usd"] == pytest.approx(np.exp(7.0), rel=0.1)
    assert found["log_sd"] == pytest.approx(1.5, rel=0.05)
    assert found["nats_vs_exponential"]["low"] > 0.1
    steady = liquidations.sizes(time_s, 10 + rng.exponential(5e3, N), CONFIG)
    assert steady["nats_vs_exponential"]["high"] < 0


def test_the_tail_of_a_pareto_law_has_its_exponent():
    rng = np.random.default_rng(4)
    usd = 100 * rng.uniform(size=10 * N) ** (-1 / 1.3)
    found = liquidations.sizes(np.arange(10.0 * N), usd, CONFIG)
    assert found["tail_exponent"] == pytest.approx(1.3, rel=0.1)


def test_the_later_part_does_not_reach_the_fit_and_too_few_are_refused():
    rng = np.random.default_rng(3)
    usd = np.exp(rng.normal(7.0, 1.5, N))
    other = np.where(np.arange(N) >= 0.6 * N, 5e4, usd)
    one, two = (liquidations.sizes(np.arange(float(N)), x, CONFIG) for x in (usd, other))
    for name in ("median_usd", "log_sd", "tail_exponent"):
        assert one[name] == two[name]
    assert one["nats_vs_exponential"] != two["nats_vs_exponential"]
    with pytest.raises(ValueError, match="expected 4"):
        liquidations.sizes(np.arange(3.0), np.full(3, 100.0), CONFIG)
