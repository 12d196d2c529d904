"""Hours of faults in virtual time: real core, real venue, a checker that reads the truth."""

import subprocess
import sys

import pytest

from dst import faults, mutants, simulation


HOURS = 50
QUICK_H, MUTANT_H, MUTANT_SEEDS = 0.1, 0.25, 8
QUICK = (7, 25)
"""Seeds of the quick lane; the last has every fault at once."""
EVERY = 5
"""Each so manieth seed has all faults at once, the others a draw of them."""


def chosen(seed):
    return faults.everything() if seed % EVERY == 0 else faults.swarm(seed)


def run(seed, hours, which=None):
    return simulation.run(seed, hours, chosen(seed) if which is None else which)


@pytest.mark.parametrize("seed", QUICK)
def test_no_invariant_breaks_in_minutes_of_faults(seed):
    outcome = run(seed, QUICK_H)
    assert outcome.violations == []
    assert outcome.seen["fills"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(100, 100 + HOURS))
def test_no_invariant_breaks_in_an_hour_of_faults_and_it_heals(seed):
    outcome = run(seed, 1.0)
    assert outcome.violations == []
    assert outcome.hours >= 1.0


def test_without_faults_it_trades_all_the_time():
    outcome = run(0, QUICK_H, faults.NONE)
    assert outcome.violations == []
    assert outcome.seen["fills"] > 20
    assert not any(name.startswith("end") for name in outcome.seen)


def test_the_same_seed_makes_the_same_journal_in_another_process_with_another_hash_seed():
    code = (
        "import sys; from dst import test_faults as t\n"
        f"sys.stdout.write(t.run({QUICK[1]}, {QUICK_H}).digest)"
    )
    digests = {run(QUICK[1], QUICK_H).digest}
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert run(QUICK[0], QUICK_H).digest not in digests


def test_every_kind_of_fault_happens():
    """A lane that stays green because nothing went wrong proves nothing."""
    seen = {}
    for seed in (5, 10):
        outcome = run(seed, QUICK_H * 3, faults.everything())
        assert outcome.violations == []
        seen |= outcome.seen
    kinds = set(faults.SHARES) | (set(faults.MEANS_S) - {"kill_s"})
    assert kinds <= set(seen), kinds - set(seen)


@pytest.mark.parametrize("bug", mutants.CAUGHT_BY, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    bug(monkeypatch)
    first = mutants.CAUGHT_AT.get(bug, 0)
    for seed in range(first, first + MUTANT_SEEDS):
        found = run(seed, MUTANT_H, faults.everything()).violations
        if found:
            assert {x.invariant for x in found} & mutants.CAUGHT_BY[bug], found
            return
    pytest.fail(f"{bug.__name__} passed {MUTANT_SEEDS} seeds of {MUTANT_H} hours")
