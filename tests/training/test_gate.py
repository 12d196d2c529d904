"""The rule of the gate, on figures made by hand."""

import dataclasses

import pytest

from diffmm.training.gate import Config, Figures, judge


def paths(*pnl, **values):
    sound = {
        "decisions": 100,
        "fills": 5,
        "two_sided_fraction": 0.99,
        "gamma_violations": 0,
        "nonfinite": 0,
        "hours": 0.5,
    }
    return [Figures(seed=k, pnl_usd=x, **(sound | values)) for k, x in enumerate(pnl)]


DEFAULT = paths(10.0, 30.0, -5.0, 25.0)


def test_the_default_itself_passes_with_a_difference_of_zero():
    found = judge(DEFAULT, DEFAULT)
    assert found.passed
    assert found.difference_usd_per_hour == found.difference_se == 0
    assert found.default_usd_per_hour == 30.0
    assert found.noise_usd_per_hour == pytest.approx(0.30)


def test_less_by_the_same_amount_on_every_path_is_refused_though_the_default_is_noisy():
    found = judge(paths(9.0, 29.0, -6.0, 24.0), DEFAULT)
    assert not found.passed
    assert "-2.00 is beyond the noise of 0.30" in found.reasons[0]


def test_less_within_the_noise_of_the_pairs_passes():
    found = judge(paths(2.0, 38.0, -13.0, 30.0), DEFAULT)
    assert found.difference_usd_per_hour < 0
    assert found.passed


def test_variance_buys_no_room_beyond_that_of_the_default():
    wild = judge(paths(-400.0, 500.0, -300.0, 120.0), DEFAULT)
    assert wild.difference_se > 10 * wild.default_se
    assert wild.noise_usd_per_hour == pytest.approx(2.353 * wild.default_se)
    assert not wild.passed


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nonfinite": 1}, "1 steps were not finite"),
        ({"gamma_violations": 2}, "2 decisions over the Gamma limit"),
        ({"two_sided_fraction": 0.5}, "both sides quoted in 0.500"),
        ({"two_sided_fraction": None}, "both sides quoted in 0.000"),
        ({"decisions": 0}, "no decision was taken"),
        ({"pnl_usd": float("nan")}, "not finite"),
    ],
)
def test_what_is_broken_on_one_path_is_refused_whatever_it_earned(values, said):
    rich = paths(100.0, 100.0, 100.0, 100.0)
    rich[2] = dataclasses.replace(rich[2], **values)
    found = judge(rich, DEFAULT)
    assert not found.passed
    assert any(said in reason and "seed 2" in reason for reason in found.reasons)


def test_other_seeds_or_a_single_one_are_no_comparison():
    with pytest.raises(ValueError, match="expected the same two or more seeds"):
        judge(DEFAULT[:1], DEFAULT[:1])
    with pytest.raises(ValueError, match="same two or more"):
        judge(DEFAULT[:3], DEFAULT)


def test_both_kinds_of_world_are_judged():
    assert set(Config().worlds) == {"thin", "thick"}
