"""The folder of a sweep: one folder a trial, finished when its DONE is there, and not before.

    sweep.json             the experiment, every trial, and what results depend on
    trials/0000/           config.json, result.json, then DONE; or FAILED.json
    results.jsonl          one line a finished trial
    report.html

Its name holds the experiment's digest and no clock, so shards on several machines share it, and
`--resume` finds it. Source: ours; `tests/training/test_sweep.py`.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffmm import evaluation
from diffmm.evaluation.ledger import MONEY_DECIMALS
from diffmm.market import AccountInputs, Tape

from . import files
from .experiment import Experiment
from .experiment_file import ExperimentError
from .sweep import Trial


DONE, FAILED, RESULT, CONFIG = "DONE", "FAILED.json", "result.json", "config.json"
USD = 10**MONEY_DECIMALS
HOUR_NS = 3_600_000_000_000


class SweepFolder:
    """One sweep's files."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = pathlib.Path(path)

    @classmethod
    def open(
        cls,
        root: pathlib.Path,
        experiment: Experiment,
        trials: Sequence[Trial],
        depends_on: dict[str, Any],
    ) -> "SweepFolder":
        """The folder of exactly this sweep, made if it is not there.

        Args:
            root: of all experiments.
            experiment: as resolved.
            trials: all of them.
            depends_on: what else the results depend on, JSON-serialisable.

        Raises:
            ExperimentError: where the folder holds results of another source, start or world.
        """
        found = cls(root / experiment.experiment.name / f"sweep-{experiment.digest()}")
        at = found.path / "sweep.json"
        told = {
            "experiment": experiment.plain(),
            "depends_on": depends_on,
            "trials": [{"trial": x.number, "seed": x.seed, "values": x.values} for x in trials],
        }
        told = json.loads(json.dumps(told))
        if at.exists():
            old = json.loads(at.read_text(encoding="utf-8")).get("depends_on", {})
            other = sorted(x for x in depends_on if old.get(x) != told["depends_on"][x])
            if other:
                raise ExperimentError(
                    f"{found.path} has results of another {', '.join(other)}, which cannot be "
                    "compared with new ones; give another --out, or remove the folder"
                )
            return found
        found.path.mkdir(parents=True, exist_ok=True)
        files.replace(at, json.dumps(told, indent=1) + "\n")
        return found

    def folder(self, number: int) -> pathlib.Path:
        """Of one trial."""
        return self.path / "trials" / f"{number:04d}"

    def is_done(self, number: int) -> bool:
        """Whether a trial is finished."""
        return (self.folder(number) / DONE).exists()

    def put(self, trial: Trial, result: dict[str, Any]) -> None:
        """Keep a result; DONE comes last of all."""
        at = self._start(trial)
        files.replace(at / RESULT, json.dumps(result, indent=1) + "\n")
        (at / FAILED).unlink(missing_ok=True)
        files.replace(at / DONE, "")

    def fail(self, trial: Trial, error: str) -> None:
        """Keep why a trial has no result."""
        files.replace(self._start(trial) / FAILED, json.dumps({"error": error}) + "\n")

    def failures(self) -> dict[int, str]:
        """Why trials have no result, by their numbers."""
        found = sorted(self.path.glob(f"trials/*/{FAILED}"))
        return {int(x.parent.name): json.loads(x.read_text())["error"] for x in found}

    def results(self) -> list[dict[str, Any]]:
        """Every finished trial's, in order."""
        done = sorted(self.path.glob(f"trials/*/{DONE}"))
        return [json.loads((x.parent / RESULT).read_text(encoding="utf-8")) for x in done]

    def write_table(self) -> list[dict[str, Any]]:
        """`results.jsonl` anew, from what is finished."""
        found = self.results()
        text = "".join(json.dumps(x) + "\n" for x in found)
        files.replace(self.path / "results.jsonl", text)
        return found

    def _start(self, trial: Trial) -> pathlib.Path:
        at = self.folder(trial.number)
        at.mkdir(parents=True, exist_ok=True)
        files.replace(at / CONFIG, json.dumps(trial.plain(), indent=1) + "\n")
        return at


def score(
    trial: Trial, tape: Tape, account: AccountInputs, lots: np.ndarray, lots_ticks: np.ndarray
) -> dict[str, Any]:
    """What a trial earned, in exact integers, marked at the mid as every other figure is.

    Args:
        trial: that was played.
        tape: the market.
        account: gives the maker fee.
        lots: fills `[frames, E, side]`.
        lots_ticks: the same times ticks from the anchor.
    """
    index = tape.frame_index()[0][: len(lots)]
    prices = evaluation.series(tape)
    ours = evaluation.fills(prices, index, lots, lots_ticks)
    ledger = evaluation.DrawdownLedger(tape.instrument, account.maker_fee_bp)
    rows = int(index[-1, -1]) + 1
    evaluation.score(prices, ours, rows, ledger, evaluation.Markouts())
    hours = float(prices.time_ns[rows - 1]) / HOUR_NS
    parts = ledger.pnl_parts_1e8
    return {
        "trial": trial.number,
        "seed": trial.seed,
        "values": trial.values,
        "events": rows,
        "decisions": len(index),
        "hours": hours,
        "fills": ledger.fills,
        "fills_per_hour": ledger.fills / hours,
        "pnl_usd_per_hour": ledger.pnl_1e8 / USD / hours,
        "pnl_parts_usd_per_hour": {name: x / USD / hours for name, x in parts.items()},
        "pnl_1e8": ledger.pnl_1e8,
        "pnl_parts_1e8": parts,
        "drawdown_usd": ledger.drawdown_1e8 / USD,
        "max_abs_position_usd": ledger.most_abs_position_1e8 / USD,
    }
