"""A run again from its journal: the same inputs to the same code, and its decisions beside ours.

Lines, timers and what happened to our own orders are replayed in their order; of each decision the
targets are compared with those that the run wrote down. Nothing is sent.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from diffmm.engine.stepper import Decision
from diffmm.market import AccountInputs, own
from diffmm.venues.intake import Intake

from . import journal
from .quoter import Quoter, Stepper


INPUTS = ("line", "time", "own", "note", "decision")


class RerunError(ValueError):
    """A journal that cannot be run again; says what was found."""


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How a run and its rerun compare.

    **Attributes:**

    - `decisions`: compared.
    - `same`: how many had the same ticks and lots in every slot.
    - `apart`: the largest difference of the others, in ticks or lots.
    - `missing`: decisions that one of the two did not take.
    """

    decisions: int
    same: int
    apart: int
    missing: int

    @property
    def share(self) -> float:
        """Of decisions that are the same."""
        return self.same / max(self.decisions, 1)

    @property
    def is_reproduced(self) -> bool:
        """The standard of a replay: 99.9 % the same, the others within one tick and lot."""
        return self.decisions > 0 and not self.missing and self.share >= 0.999 and self.apart <= 1


def last_run(folder: pathlib.Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and records of the newest run in a folder.

    Raises:
        RerunError: when there is none.
    """
    records: list[dict[str, Any]] = []
    for path in reversed(sorted((pathlib.Path(folder) / "journal").glob(f"*{journal.SUFFIX}"))):
        records = journal.read(path) + records
        begun = [at for at, x in enumerate(records) if x["t"] == "run"]
        if begun:
            return records[begun[-1]], records[begun[-1] + 1 :]
    raise RerunError(f"{folder} holds no journal of a run")


class Rerun(Quoter):
    """The engine on a journal.

    **Attributes:**

    - `agreement`: after `run`.
    """

    def __init__(self, stepper: Stepper, intake: Intake, account: AccountInputs):
        super().__init__(stepper, intake, account)
        self._inputs: collections.deque[dict[str, Any]] = collections.deque()
        self._decisions = self._same = self._apart = self._missing = 0

    @property
    def agreement(self) -> Agreement:
        """So far."""
        return Agreement(self._decisions, self._same, self._apart, self._missing)

    def run(self, records: Iterable[dict[str, Any]]) -> Agreement:
        """Every input of the journal."""
        self._inputs.extend(x for x in records if x["t"] in INPUTS)
        while self._inputs:
            one = self._inputs.popleft()
            self.now_ns = max(self.now_ns, one.get("ns", 0))
            if one["t"] == "line":
                self._fold(self.intake.on_line(one["ns"], one["raw"])[0])
            elif one["t"] == "time":
                self._fold(self.intake.timers(one["ns"]))
            elif one["t"] == "own":
                self._fold(self.intake.own(_changes(one), one["ns"]))
            elif one["t"] == "note":
                self.intake.encoder.note(_changes(one))
            else:
                self._missing += 1
        return self.agreement

    def write(self, record: dict[str, Any]) -> None:
        """Nothing is written."""

    def best(self, side: int) -> tuple[int, int] | None:
        """Nothing stands."""
        return None

    @property
    def standing(self) -> int:
        """Nothing stands."""
        return 0

    def _on_row(self, vector: np.ndarray) -> None:
        self._noted()

    def _step(self, vector: np.ndarray) -> Any:
        self._patch(vector)
        return self.stepper.row(vector)

    def _on_decision(self, decision: Decision) -> None:
        if self._inputs and self._inputs[0]["t"] == "decision":
            self._compare(decision, self._inputs.popleft())
        else:
            self._missing += 1
        self._noted()

    def _noted(self) -> None:
        """What was sent at this very row stands in the next one."""
        while self._inputs and self._inputs[0]["t"] == "note":
            if self._inputs[0]["row"] != self.row_count - 1:
                return
            self.intake.encoder.note(_changes(self._inputs.popleft()))

    def _compare(self, decision: Decision, told: dict[str, Any]) -> None:
        targets = decision.targets
        lots, other = np.asarray(targets.lots), np.array(told["lots"])
        # An empty slot has no price.
        ticks = np.where(lots > 0, np.asarray(targets.ticks), 0)
        apart = np.abs(ticks - np.where(other > 0, np.array(told["ticks"]), 0)).max()
        apart = max(int(apart), int(np.abs(lots - other).max()))
        self._decisions += 1
        self._same += apart == 0
        self._apart = max(self._apart, apart)


def _changes(record: dict[str, Any]) -> list[own.Own]:
    return msgspec.convert(record["changes"], list[own.Own])
