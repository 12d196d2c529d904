"""One run on several hosts: every process takes every step, the first one keeps the files.

Paths are drawn from seeds, so each process has all of them and plays its devices' share; what comes
back is the same everywhere, and so is the next step. Only where a run goes on from must be told.
A process that dies stops the others; all are started again.
Source: `jax.distributed`; `tests/training/test_hosts.py`.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from .ascent import State
from .run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Who takes part.

    **Attributes:**

    - `coordinator`: `host:port` of the first process.
    - `processes`, `process`: how many there are, and which one this is.
    """

    coordinator: str
    processes: int
    process: int

    def __post_init__(self):
        if self.processes < 2 or not 0 <= self.process < self.processes:
            raise ValueError(
                f"process {self.process} of {self.processes}, expected 0 to one less than their "
                "number, and at least 2 of them"
            )
        if not self.coordinator.rpartition(":")[0]:
            raise ValueError(f"coordinator {self.coordinator!r}, expected host:port")

    def join(self) -> None:
        """Meet the others; before the first use of a device. Returns when all are there."""
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # Two exchanges under way at once may pass each other.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        jax.distributed.initialize(self.coordinator, self.processes, self.process)


class Leader(RunFolder):
    """The run's folder, which tells the others where the run goes on from."""

    def resume(self, like: State) -> State | None:
        """As of `RunFolder`; every other process returns the same from its own call."""
        found = super().resume(like)
        told = _told(like if found is None else found)
        told[0] = found is not None
        _broadcast(told)
        return found


class Follower:
    """In the place of the run's folder where another process keeps it: nothing is written."""

    def resume(self, like: State) -> State | None:
        """Where the leader goes on from."""
        told = _broadcast(np.zeros_like(_told(like)))
        return _state(told[1:], like) if told[0] else None

    def append(self, line: dict[str, Any]) -> None:
        """The leader writes it."""

    def put(self, name: str, value: Any) -> None:
        """The leader writes it."""

    def save(self, state: State) -> None:
        """The leader keeps it."""


def _told(state: State) -> np.ndarray:
    """A byte that says whether there is a state, and its leaves' bytes."""
    parts = [np.ascontiguousarray(x).reshape(-1).view(np.uint8) for x in jax.tree.leaves(state)]
    return np.concatenate([np.zeros(1, np.uint8), *parts])


def _state(told: np.ndarray, like: State) -> State:
    leaves, structure = jax.tree.flatten(like)
    out, start = [], 0
    for leaf in map(np.asarray, leaves):
        part = told[start : start + leaf.nbytes]
        out.append(np.frombuffer(part.tobytes(), leaf.dtype).reshape(leaf.shape))
        start += leaf.nbytes
    return jax.tree.unflatten(structure, out)


def _broadcast(told: np.ndarray) -> np.ndarray:
    # Bytes, since a float64 would come back as a float32.
    return np.asarray(multihost_utils.broadcast_one_to_all(told))
