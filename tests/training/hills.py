"""A problem whose utilities are known: a hill with noise, of the shape that `Problem` has."""

import dataclasses

import numpy as np

from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.market import AccountInputs
from diffmm.training.coordinates import Coordinates
from diffmm.training.experiment_file import convert


NAMES = ("pricing.taking", "risk.holding_s", "pricing.impact")
TOP = np.array([0.5, -0.3, 0.2])
WEALTH_USD = 100.0


@dataclasses.dataclass
class Hill:
    """Utility `5 - |z - top|^2 + noise . (1 + z)`; paths of a seed have their own noise."""

    block: int = 8
    noise: float = 0.1
    wrong: float = 1.0
    broken: frozenset = frozenset()

    def __post_init__(self):
        self.start = defaults(graph.Params)
        self.at = Coordinates.about(self.start, NAMES)
        self.account = AccountInputs(wealth_usd=WEALTH_USD)
        self.calls = 0

    def noises(self, seed):
        return self.noise * np.random.default_rng(seed).standard_normal((self.block, 3))

    def _of(self, z, seed):
        z = np.asarray(z, np.float64)
        return 5 - np.sum((z - TOP) ** 2) + self.noises(seed) @ (1 + z)

    def utilities(self, z, seeds):
        return np.concatenate([self._of(z, k) for k in seeds])

    def slopes(self, z, seed):
        self.calls += 1
        each = -2 * (np.asarray(z, np.float64) - TOP) + self.noises(seed)
        utility = self._of(z, seed)
        if seed in self.broken:
            utility = utility * np.nan
        return utility, self.wrong * each

    def events(self, seed):
        return 100


def experiment(**train):
    """Of a hill; every table but `train` as declared."""
    values = {"parameters": NAMES, "paths": 8, "lanes": 8, "held_out_paths": 16, "final_paths": 32}
    values |= {"steps": 40, "learning_rate": 0.1, "clip_norm": 100.0, "evaluate_every": 10}
    table = {
        "experiment": {"name": "hill"},
        "world": {"name": "none", "wealth_usd": WEALTH_USD},
        "train": {**values, **train},
        "tune": {"candidate_paths": 16},
    }
    return convert(table, "hill")
