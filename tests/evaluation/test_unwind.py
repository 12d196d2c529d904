"""Pairs of runs with and without the unwind policy, on planted inventories."""

import numpy as np
import pytest

from diffmm.evaluation import placed, unwind


def run(half_life_s, seed, pnl=1.0, n=20_000):
    """An inventory that halves in a planted time."""
    rng = np.random.default_rng(seed)
    kept, q = 0.5 ** (1 / half_life_s), np.zeros(n)
    for k, u in enumerate(rng.normal(0, 100, n - 1)):
        q[k + 1] = kept * q[k] + u
    return unwind.Path(q, {"pnl_usd": pnl})


def test_planted_half_lives_are_found_and_their_difference_has_its_sign():
    before = [run(60, s, pnl=2.0) for s in range(4)]
    after = [run(40, s, pnl=1.5) for s in range(4)]
    told = unwind.compare(before, after, 0)
    half = told["inventory_half_life_s"]
    assert half["without"] == pytest.approx(60, rel=0.1)
    assert half["with"] == pytest.approx(40, rel=0.1)
    assert half["change"] == pytest.approx(-1 / 3, abs=0.1)
    rate = told["reversion_per_s"]
    assert rate["without"] == pytest.approx(np.log(2) / half["without"], rel=1e-9)
    assert rate["low"] > 0
    assert told["rms_inventory_usd"]["high"] < 0
    assert told["pnl_usd"]["difference"] == pytest.approx(-2.0)


def test_the_same_runs_differ_by_nothing():
    runs = [run(50, s) for s in range(3)]
    told = unwind.compare(runs, runs, 1)
    for name in ("reversion_per_s", "rms_inventory_usd", "pnl_usd"):
        assert (told[name]["difference"], told[name]["low"], told[name]["high"]) == (0, 0, 0)
    assert told["inventory_half_life_s"]["change"] == 0


def test_an_inventory_that_never_reverts_has_a_rate_but_no_half_life():
    stuck = unwind.Path(np.linspace(1, 2, 100), {"pnl_usd": 0.0})
    told = unwind.compare([stuck], [run(50, 0)], 0)
    assert told["inventory_half_life_s"]["without"] is None
    assert told["inventory_half_life_s"]["change"] is None
    assert told["reversion_per_s"]["without"] < 0
    assert told["pnl_usd"]["low"] is None


def test_several_paths_are_one_regression():
    a, b = (run(30, s).inventory_usd for s in (0, 1))
    one, two = placed.half_life_s(a), placed.half_life_s(b)
    both = placed.half_life_s(a, b)
    assert min(one, two) <= both <= max(one, two)


def test_what_does_not_pair_is_refused():
    with pytest.raises(ValueError, match="expected pairs"):
        unwind.compare([run(50, 0)], [], 0)
