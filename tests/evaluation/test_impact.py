"""Half spread = realised + impact, and the permanent part of an impact path."""

import numpy as np
import pytest

from diffmm.evaluation import impact


def test_the_decomposition_of_one_trade_matches_the_oracle(oracles):
    entry = oracles["markout_decomposition"]
    trade, want = entry["inputs"]["trade"], entry["expected"]
    got = impact.half_spreads(trade["taker_side"], trade["price"], trade["mid0"], trade["mid_tau"])
    names = ("effective_half_spread", "realized_half_spread", "price_impact")
    np.testing.assert_allclose(got, [want[n] for n in names], rtol=1e-9, atol=1e-10)


def test_the_permanent_and_transient_parts_match_the_oracle(oracles):
    entry = oracles["markout_decomposition"]
    got = impact.fit_impact(np.array(entry["inputs"]["tau"]), np.array(entry["inputs"]["path"]))
    want = [*entry["expected"]["coef_perm_trans"], entry["inputs"]["kappa"]]
    np.testing.assert_allclose(got, want, rtol=1e-7)


def test_effective_is_realised_plus_impact_for_both_sides():
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], 100)
    price, mid, later = rng.normal(100, 1, (3, 100))
    got = impact.half_spreads(sign, price, mid, later)
    np.testing.assert_allclose(got.effective, got.realised + got.impact, atol=1e-12)
    mirrored = impact.half_spreads(-sign, -price, -mid, -later)
    np.testing.assert_allclose(got.realised, mirrored.realised, atol=1e-12)


def test_a_permanent_path_has_no_transient_part_and_a_bounce_no_permanent_one():
    tau = np.array([0.0, 1, 5, 10, 30])
    stays = impact.fit_impact(tau, np.full(5, 0.4))
    assert stays.permanent == pytest.approx(0.4)
    assert stays.transient == pytest.approx(0, abs=1e-9)
    bounce = impact.fit_impact(tau, 0.3 * np.exp(-0.5 * tau))
    np.testing.assert_allclose(bounce, (0, 0.3, 0.5), atol=1e-6)


def test_a_mean_without_weight_does_not_move_the_fit():
    tau = np.array([0.0, 1, 2, 5, 10, 30])
    path = 0.6 - 0.25 * np.exp(-0.2 * tau)
    spoilt = path + np.array([0, 0, 0, 0, 0, 9.0])
    got = impact.fit_impact(tau, spoilt, np.array([1, 1, 1, 1, 1, 0.0]))
    np.testing.assert_allclose(got, (0.6, -0.25, 0.2), rtol=1e-6)


def test_two_ages_cannot_tell_three_numbers_apart():
    with pytest.raises(ValueError, match="expected three different ones"):
        impact.fit_impact(np.array([1.0, 5.0]), np.array([1.0, 2.0]))
