"""What a gradient costs, measured."""

import time
from collections.abc import Callable
from typing import Any


ROUNDS = 3


def forwards(problem: Any, z: Any, asked: Any = None) -> float:
    """Time of a gradient over that of a hard run of the same paths, the fastest of some rounds.

    Args:
        problem: what is played.
        z: where.
        asked: an objective whose likelihood is part of both; by default utilities alone.
    """
    if asked is None or not asked.likelihood_weight:
        gradient = _fastest(lambda: problem.slopes(z, 0))
        return gradient / _fastest(lambda: problem.utilities(z, [0]))
    gradient = _fastest(lambda: (problem.slopes(z, 0), problem.likelihood_slopes(z, 0)))
    return gradient / _fastest(lambda: (problem.utilities(z, [0]), problem.log_likelihoods(z, [0])))


def _fastest(fn: Callable[[], Any]) -> float:
    # The first call draws and compiles.
    fn()
    times = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        fn()
        times.append(time.perf_counter() - before)
    return min(times)
