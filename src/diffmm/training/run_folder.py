"""The folder of one training run: what was asked, every step, saved states, and how it ended.

    config.toml config.json   as resolved
    provenance.json           versions, seeds, digests
    metrics.jsonl             one object a step, look or audit; no clock: two runs can be compared
    steps/<N>/                state after N steps with its manifest; the last two are kept
    best/                     the checkpoint of the best place, made at the end
    best.json latest.json     step and value; DONE or FAILED.json last of all

Whatever is written is written beside and moved into place, so a process may die at any time: the
next one reads the newest state that is whole, and cuts the metrics back to it.
"""

import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np
import tomli_w

from .ascent import State
from .checkpoint import CheckpointError, read, save, write
from .experiment import Experiment


KEPT = 2
DONE, FAILED = "DONE", "FAILED.json"


class RunFolder:
    """One run's files."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = pathlib.Path(path)
        self.steps = self.path / "steps"
        self.metrics = self.path / "metrics.jsonl"

    @classmethod
    def create(
        cls, root: pathlib.Path, experiment: Experiment, stamp: str, provenance: dict[str, Any]
    ) -> "RunFolder":
        """A new folder `<name>/<stamp>-<digest>` under `root`.

        Raises:
            FileExistsError: where it is there already.
        """
        name = f"{stamp}-{experiment.digest()}"
        found = cls(root / experiment.experiment.name / name)
        found.path.mkdir(parents=True)
        plain = experiment.plain()
        found.put("config.json", plain)
        (found.path / "config.toml").write_text(tomli_w.dumps(_without_none(plain)), "utf-8")
        found.put("provenance.json", provenance)
        return found

    @classmethod
    def unfinished(cls, root: pathlib.Path, experiment: Experiment) -> "RunFolder | None":
        """The newest folder of exactly this experiment that has not ended, if there is one."""
        pattern = f"*-{experiment.digest()}"
        for path in sorted((root / experiment.experiment.name).glob(pattern), reverse=True):
            if not (path / DONE).exists() and not (path / FAILED).exists():
                return cls(path)
        return None

    def put(self, name: str, value: Any) -> None:
        """One JSON file, whole or not at all."""
        beside = self.path / f".{name}.new"
        with beside.open("w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path / name)

    def append(self, line: dict[str, Any]) -> None:
        """One line of metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> Iterator[dict[str, Any]]:
        """The metrics so far; a last line that was cut short is left out."""
        if not self.metrics.exists():
            return
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                return

    def save(self, state: State) -> None:
        """Keep a state; older ones but for one are removed."""
        step = int(state.step)
        self.steps.mkdir(exist_ok=True)
        beside = self.steps / f".{step}.new"
        shutil.rmtree(beside, ignore_errors=True)
        write(beside, _named(state), {}, {"step": step})
        beside.replace(self.steps / str(step))
        self.put("latest.json", {"step": step})
        for old in self._saved()[:-KEPT]:
            shutil.rmtree(self.steps / str(old))

    def keep_best(self, params: eqx.Module, provenance: dict[str, Any]) -> None:
        """The checkpoint of the best place; made anew where a run that died had begun with it."""
        beside, best = self.path / ".best.new", self.path / "best"
        for left in (beside, best):
            shutil.rmtree(left, ignore_errors=True)
        save(beside, params, provenance)
        beside.replace(best)

    def resume(self, like: State) -> State | None:
        """The newest state that is whole, with the metrics cut back to it; none if there is none.

        What is newer and damaged is removed: the run makes it again.

        Raises:
            CheckpointError: where states are there and none of them is whole.
        """
        problem: CheckpointError | None = None
        for step in reversed(self._saved()):
            try:
                named, _ = read(self.steps / str(step), _named(like))
            except CheckpointError as error:
                problem = problem or error
                continue
            for damaged in (x for x in self._saved() if x > step):
                shutil.rmtree(self.steps / str(damaged))
            values = [np.asarray(named[name]) for name in _named(like)]
            self._cut(step)
            return jax.tree.unflatten(jax.tree.structure(like), values)
        if problem is not None:
            raise CheckpointError(f"{self.path.name}: no saved state is whole: {problem}")
        self._cut(0)
        return None

    def _cut(self, step: int) -> None:
        """Lines before `step` stay; the run writes the others again."""
        kept = [line for line in self.lines() if line["step"] < step]
        beside = self.path / ".metrics.new"
        beside.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        beside.replace(self.metrics)

    def _saved(self) -> list[int]:
        return sorted(int(x.name) for x in self.steps.glob("[0-9]*"))


def _named(state: State) -> dict[str, np.ndarray]:
    """Leaves by their place in the state."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path).strip("."): np.asarray(x) for path, x in leaves}


def _without_none(tree: Any) -> Any:
    """TOML has no null; what is not there is left out."""
    if isinstance(tree, dict):
        return {name: _without_none(x) for name, x in tree.items() if x is not None}
    return tree
