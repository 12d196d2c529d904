"""The compiled engine in the faulty world: the same invariants, and its own Gamma limit."""

import copy
import functools as ft

import numpy as np
import pytest

import sessions
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.engine.stepper import Stepper
from diffmm.market import AccountInputs
from diffmm.report.summary import score, summary
from dst import faults, simulation
from dst.market import Market


HOURS, SEED, NEAREST = 0.08, 3, 15
"""Ticks from the middle to the others' quotes: a market worth quoting in."""
ACCOUNT = AccountInputs(gamma_limit_usd=0.0005)
"""Low enough to bind."""
LIGHT = faults.Faults(
    drop=0.003,
    duplicate=0.02,
    reorder=0.02,
    clog=0.003,
    http_lost=0.02,
    late_order=0.01,
    reject=0.01,
    lost_ack=0.02,
    late_fill=0.05,
    disconnect_s=60.0,
)
"""No death of the process: the rows of one life are judged at the end."""


@ft.cache
def pristine():
    return Stepper(defaults(graph.Params), None, sessions.SMALL)


def fresh():
    """One that has seen nothing; the programs are compiled once."""
    one = copy.copy(pristine())
    one._frame = []
    return one


class Unlimited:
    """The engine, with its Gamma limit out of reach."""

    def __init__(self):
        self._inside = fresh()
        layout = sessions.SMALL.layout
        self._limit = int(layout.views(np.arange(layout.width)).account.gamma_limit_usd)

    def row(self, vector, *more):
        vector = vector.copy()
        vector[self._limit] = 1e6
        return self._inside.row(vector, *more)

    def __getattr__(self, name):
        return getattr(self._inside, name)


def run(stepper):
    """What happened, and what the orders that stood amounted to, recomputed on the host."""
    layout = sessions.SMALL.layout
    sim = simulation.Simulation(
        SEED, LIGHT, stepper, layout, Market(SEED, NEAREST), ACCOUNT, keeps_rows=True
    )
    outcome = sim.run(HOURS)
    scored = score(sim.core.tape(), sim.core.record(), sim.core.account)
    return outcome, summary(scored, None, sim.core.account)


@pytest.mark.long
def test_the_compiled_engine_trades_through_faults_within_every_limit():
    outcome, told = run(fresh)
    assert outcome.violations == []
    assert outcome.seen["placed"] > 5
    assert told["gamma_violations"] == 0
    assert told["nonfinite"] == 0


@pytest.mark.long
def test_a_gamma_limit_that_is_ignored_is_caught():
    outcome, told = run(Unlimited)
    assert outcome.seen["placed"] > 5
    assert told["gamma_violations"] > 0
