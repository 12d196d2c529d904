"""The same problem without its gradient, and with it, on one budget of events.

Every search is a generator of what it would recommend now and what it has spent. A candidate is
worth the objective of its hard runs, on the same paths and draws as those it is compared with
(common random numbers). What is charged are forward-equivalent events: one for an event of a hard
run, and for an event under `value_and_grad` what it was measured to cost.

    cma     CMA-ES (Hansen 2016), by the package `cma`; each generation meets new paths, as each
            step of the gradient does, or its mean would fit the first ones
    tpe     tree of Parzen estimators (Bergstra et al. 2011), by `optuna`
    random  uniform in the box (Bergstra & Bengio 2012)
    grad    `ascent`, with its looks at hard fills charged too
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import msgspec
import numpy as np

from . import ascent
from .experiment import Experiment
from .objective import HardRuns
from .problem import Problem


METHODS = ("grad", "cma", "tpe", "random")
TRAINING, SELECTION = 0, 1
WORST_USD = -1e9
"""What a candidate without a finite value is told to be worth."""


class SearchError(RuntimeError):
    """A search that cannot be made here; the message says what is missing."""


class Spent(NamedTuple):
    """Where a search stands.

    **Attributes:**

    - `simulated`: events.
    - `charged`: forward-equivalent events.
    - `z`: what it would recommend now.
    """

    simulated: float
    charged: float
    z: np.ndarray


@dataclasses.dataclass(frozen=True)
class Asked:
    """What every search is given.

    **Attributes:**

    - `budget`: forward-equivalent events.
    - `forwards`: measured cost of an event under `value_and_grad`.
    - `seed`: of the search's own draws.
    """

    problem: Problem
    experiment: Experiment
    budget: float
    forwards: float
    seed: int

    @property
    def candidate_events(self) -> float:
        """Events of one candidate."""
        blocks = self.experiment.tune.candidate_paths // self.problem.block
        return blocks * self.problem.events(self.blocks(1)[0])

    def blocks(self, count: int, use: int = TRAINING) -> list[int]:
        """Seeds of the experiment's own paths, the same for every search."""
        return ascent.seeds(self.experiment.experiment.seed, use, count)

    def worth(self, z: np.ndarray, generation: int = 0) -> float:
        """The objective of a candidate's hard runs, in USD; each generation has its own paths."""
        count = self.experiment.tune.candidate_paths // self.problem.block
        seed = self.experiment.experiment.seed
        blocks = ascent.seeds(seed, TRAINING, count, generation * count)
        runs = HardRuns.of(self.problem, self.experiment.objective, z, blocks)
        if runs.not_finite():
            return WORST_USD
        return runs.value_usd(self.experiment.objective, self.problem.account.wealth_usd)


def search(method: str, asked: Asked) -> Iterator[Spent]:
    """Where the search stands after each of its rounds, to the end of the budget.

    Raises:
        ValueError: for an unknown method, or candidates that are no whole number of blocks.
        SearchError: for a package that is not installed.
    """
    paths, block = asked.experiment.tune.candidate_paths, asked.problem.block
    if paths % block:
        raise ValueError(f"tune.candidate_paths = {paths}, expected a multiple of {block}")
    found: dict[str, Callable[[Asked], Iterator[Spent]]] = {
        "grad": _grad,
        "cma": _cma,
        "tpe": _tpe,
        "random": _random,
    }
    if method not in found:
        raise ValueError(f"method {method!r}, expected one of {', '.join(METHODS)}")
    return found[method](asked)


def _grad(asked: Asked) -> Iterator[Spent]:
    problem, train = asked.problem, asked.experiment.train
    step_events = problem.events(asked.blocks(1)[0])
    look_blocks = asked.blocks(train.held_out_paths // problem.block, SELECTION)
    look_events = len(look_blocks) * step_events
    a_step = asked.forwards * step_events
    # As many steps as the budget pays for, with a look every so many of them and one at the end.
    steps = int((asked.budget - look_events) / (a_step + look_events / train.evaluate_every))
    train = msgspec.structs.replace(train, steps=max(steps, 1))
    state, simulated, charged = ascent.init(train), 0.0, 0.0
    wealth = problem.account.wealth_usd
    for k in range(train.steps + 1):
        if k % train.evaluate_every == 0 or k == train.steps:
            runs = HardRuns.of(problem, asked.experiment.objective, state.z, look_blocks)
            state = ascent.look(state, runs.value_usd(asked.experiment.objective, wealth))
            simulated, charged = simulated + look_events, charged + look_events
            yield Spent(simulated, charged, state.best_z)
        if k < train.steps:
            block = ascent.seeds(asked.experiment.experiment.seed, TRAINING, 1, k)[0]
            found = ascent.slope(problem, asked.experiment.objective, state.z, block)
            state = ascent.step(train, state, found)
            simulated, charged = simulated + step_events, charged + a_step


def _cma(asked: Asked) -> Iterator[Spent]:
    try:
        with warnings.catch_warnings():
            # It says that it cannot plot without matplotlib; nothing is plotted.
            warnings.simplefilter("ignore", UserWarning)
            import cma
    except ImportError as error:
        raise SearchError("--method cma needs the package cma: install diffmm[tune]") from error
    n, spent, generation = len(asked.problem.at.names), 0.0, 0
    # A seed of 0 would be drawn from the clock.
    options = {"seed": asked.seed + 1, "verbose": -9}
    if n == 1:
        raise SearchError("--method cma needs at least two parameters")
    strategy = cma.CMAEvolutionStrategy(np.zeros(n), asked.experiment.tune.spread, options)
    while spent + strategy.popsize * asked.candidate_events <= asked.budget:
        candidates = strategy.ask()
        values = [-asked.worth(np.asarray(z), generation) for z in candidates]
        strategy.tell(candidates, values)
        generation += 1
        spent += strategy.popsize * asked.candidate_events
        yield Spent(spent, spent, np.asarray(strategy.result.xfavorite))


def _tpe(asked: Asked) -> Iterator[Spent]:
    try:
        import optuna
    except ImportError as error:
        raise SearchError("--method tpe needs the package optuna: install diffmm[tune]") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    reach, names = asked.experiment.tune.reach, asked.problem.at.names
    sampler = optuna.samplers.TPESampler(seed=asked.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(dict.fromkeys(names, 0.0))

    def propose() -> tuple[np.ndarray, Callable[[float], object]]:
        trial = study.ask()
        z = np.array([trial.suggest_float(name, -reach, reach) for name in names])
        return z, lambda value: study.tell(trial, value)

    return _one_by_one(asked, propose)


def _random(asked: Asked) -> Iterator[Spent]:
    reach, n = asked.experiment.tune.reach, len(asked.problem.at.names)
    key, count = jax.random.key(asked.seed), 0

    def propose() -> tuple[np.ndarray, Callable[[float], object]]:
        nonlocal count
        one = jax.random.uniform(jax.random.fold_in(key, count), (n,), minval=-reach, maxval=reach)
        # The start is a candidate too.
        z = np.asarray(one, np.float64) * (count > 0)
        count += 1
        return z, lambda value: None

    return _one_by_one(asked, propose)


def _one_by_one(
    asked: Asked, propose: Callable[[], tuple[np.ndarray, Callable[[float], object]]]
) -> Iterator[Spent]:
    """Candidate after candidate; the best so far is recommended."""
    best, best_usd, spent = np.zeros(len(asked.problem.at.names)), -np.inf, 0.0
    while spent + asked.candidate_events <= asked.budget:
        z, tell = propose()
        value = asked.worth(z)
        tell(value)
        spent += asked.candidate_events
        if value > best_usd:
            best, best_usd = z, value
        yield Spent(spent, spent, best)
