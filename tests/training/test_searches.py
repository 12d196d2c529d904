"""Searches on a budget: what they find on a hill, and that none spends more than it has."""

import sys

import numpy as np
import pytest

from diffmm.training import searches

from .hills import experiment, Hill, TOP


pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
BUDGET = 40_000.0


def asked(hill=None, budget=BUDGET, seed=0):
    return searches.Asked(hill or Hill(), experiment(), budget, 4.0, seed)


@pytest.mark.parametrize("method", searches.METHODS)
def test_each_finds_most_of_the_hill_and_stays_within_its_budget(method):
    found = list(searches.search(method, asked()))
    gain = TOP @ TOP - np.sum((found[-1].z - TOP) ** 2)
    assert gain > (0.5 if method in ("random", "tpe") else 0.9) * (TOP @ TOP)
    assert found[-1].charged <= BUDGET
    spent = [x.charged for x in found]
    assert spent == sorted(spent)
    # What is left does not pay for another round.
    assert spent[-1] + 2 * max(np.diff(spent)) > BUDGET


@pytest.mark.parametrize("method", searches.METHODS)
def test_the_same_seed_is_the_same_search(method):
    a, b = (list(searches.search(method, asked())) for _ in range(2))
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.z, y.z)


def test_the_gradient_pays_for_its_backward_pass_and_its_looks():
    last = list(searches.search("grad", asked()))[-1]
    # An event under the gradient is charged at 4, one of a look at 1.
    under_gradient = (last.charged - last.simulated) / 3
    looks = last.simulated - under_gradient
    steps, look = under_gradient / 100, 200
    assert looks == look * (np.ceil(steps / 10) + 1)


def test_candidates_are_compared_on_the_same_paths():
    seen = []

    class Watched(Hill):
        def utilities(self, z, seeds):
            seen.append(tuple(seeds))
            return super().utilities(z, seeds)

    list(searches.search("random", asked(Watched(), budget=2000.0)))
    assert len(seen) == 10
    assert len(set(seen)) == 1


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(searches.SearchError, match=r"package cma: install diffmm\[tune\]"):
        list(searches.search("cma", asked()))


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="expected one of grad, cma, tpe, random"):
        searches.search("anneal", asked())
