"""An experiment: which world, which parameters, what is asked of them, and how they move.

Every table of the file is a class here, and every name in it an attribute with its range.
`experiment_file` reads them. Source: ours; `tests/training/test_experiment.py`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from .problem import NAMES


STAGES = ("features", "belief", "risk", "pricing", "allocation", "execution")
"""Tables that hold parameters of the engine, by the names of its stages."""


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} = {value}, expected {low:g} to {high:g}")


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file; unknown names are refused."""


class About(_Table, frozen=True, kw_only=True):
    """What the experiment is.

    **Attributes:**

    - `name`: folder of its runs.
    - `answers`: the question, in a line.
    - `seed`: of every draw.
    """

    name: str
    answers: str = ""
    seed: int = 0

    def __post_init__(self):
        if not self.name or set(self.name) & set("/\\ ") or self.name.startswith("."):
            raise ValueError(f"experiment.name {self.name!r}, expected a name fit for a folder")
        # Four streams of a million blocks each have to fit into a key.
        _within("experiment.seed", self.seed, 0, 500)


class Market(_Table, frozen=True, kw_only=True):
    """Where it is played.

    **Attributes:**

    - `name`: a world of `experiments/worlds`, or a path to one.
    - `wealth_usd`, `room_usd`: the account's. A path is short, so room is small where
      inventory is to matter within it.
    """

    name: str
    wealth_usd: float = 3_000.0
    room_usd: float = 3_000.0

    def __post_init__(self):
        for name in ("wealth_usd", "room_usd"):
            _within(f"world.{name}", getattr(self, name), 1.0, 1e12)


class Start(_Table, frozen=True, kw_only=True):
    """Which engine, and where its parameters start.

    **Attributes:**

    - `checkpoint`: a folder, `default`, or `declared` for the declared values.
    - `size`: `small` (4 levels, 2 slots) or `default`, the product's shapes.
    - `inside`, `near`: candidate prices inside the spread and near the touch. The one order of a
      side stands at their mean, weighted by gain, so few that are far serve a wide spread better.
    """

    checkpoint: str = "default"
    size: Literal["small", "default"] = "small"
    inside: int = 4
    near: int = 20

    def __post_init__(self):
        _within("engine.inside", self.inside, 1, 64)
        _within("engine.near", self.near, 1, 64)


class Objective(_Table, frozen=True, kw_only=True):
    """What is made large, of the utility U of a path in USD.

    **Attributes:**

    - `kind`: `mean` of U; `log_growth`, W times the mean of log(1 + U / W); or `cvar`, the
      mean of the `tail_share` worst.
    - `aversion`: lambda of the running inventory penalty inside U, 1/USD.
    - `excess_per_s`: cost of a second beyond the room, as a share of what lies beyond.
    - `tail_share`: of `cvar`.
    - `prior_weight`: USD taken off for a coordinate one prior scale from its start, squared.
    - `likelihood_weight`: USD for a nat a moment of the filter's predictive likelihood on the same
      paths, see `path_likelihood`; without it a noise that hardly moves a quote may go anywhere.
    - `likelihood_warm_s`, `likelihood_every_s`: start of a path without, and distance of, its
      moments.
    """

    kind: Literal["mean", "log_growth", "cvar"] = "mean"
    aversion: float = 0.1
    excess_per_s: float = 0.0
    tail_share: float = 0.1
    prior_weight: float = 0.0
    likelihood_weight: float = 0.0
    likelihood_warm_s: float = 5.0
    likelihood_every_s: float = 0.5

    def __post_init__(self):
        _within("objective.aversion", self.aversion, 1e-12, 1e6)
        _within("objective.excess_per_s", self.excess_per_s, 0.0, 1e6)
        _within("objective.tail_share", self.tail_share, 1e-3, 1.0)
        _within("objective.prior_weight", self.prior_weight, 0.0, 1e9)
        _within("objective.likelihood_weight", self.likelihood_weight, 0.0, 1e9)
        _within("objective.likelihood_warm_s", self.likelihood_warm_s, 0.0, 1e6)
        _within("objective.likelihood_every_s", self.likelihood_every_s, 1e-2, 1e6)


class Train(_Table, frozen=True, kw_only=True):
    """How the parameters are moved.

    **Attributes:**

    - `parameters`: trainable scalars, by their paths.
    - `steps`, `paths`, `frames`: of Adam; paths of a step; frames of a path.
    - `lanes`: paths side by side in one kernel.
    - `learning_rate`, `warmup_steps`, `final_rate`: a rise, then a cosine to this share.
    - `clip_norm`: largest norm of a gradient, USD a coordinate.
    - `temperature`: of a relaxed fill, in log odds.
    - `evaluate_every`, `held_out_paths`: steps between looks at hard fills on paths kept apart.
    - `patience`: looks without a better one before it stops; 0 never stops early.
    - `audit_every`: steps between comparisons of the slope with that of hard runs; 0 for none.
    - `save_every`: steps between saved states.
    - `final_paths`: unseen by all of the above, on which start and end are compared.
    """

    parameters: tuple[str, ...] = NAMES
    steps: int = 60
    paths: int = 32
    frames: int = 32
    lanes: int = 16
    learning_rate: float = 0.05
    warmup_steps: int = 5
    final_rate: float = 0.1
    clip_norm: float = 1.0
    temperature: float = 0.1
    evaluate_every: int = 10
    held_out_paths: int = 128
    patience: int = 0
    audit_every: int = 20
    save_every: int = 5
    final_paths: int = 256

    def __post_init__(self):
        if not self.parameters:
            raise ValueError("train.parameters is empty, expected trainable scalars by their paths")
        for name in ("steps", "paths", "frames", "lanes", "evaluate_every", "save_every"):
            _within(f"train.{name}", getattr(self, name), 1, 1_000_000)
        for name in ("patience", "audit_every", "warmup_steps"):
            _within(f"train.{name}", getattr(self, name), 0, 1_000_000)
        for name in ("learning_rate", "clip_norm", "temperature"):
            _within(f"train.{name}", getattr(self, name), 1e-9, 1e9)
        _within("train.final_rate", self.final_rate, 0.0, 1.0)
        pairs = (("paths", "lanes"), ("held_out_paths", "paths"), ("final_paths", "paths"))
        for name, of in pairs:
            found, unit = getattr(self, name), getattr(self, of)
            if found < 1 or found % unit:
                raise ValueError(
                    f"train.{name} = {found}, expected a multiple of train.{of} = {unit}"
                )


class Tune(_Table, frozen=True, kw_only=True):
    """How the searches without gradients look.

    **Attributes:**

    - `candidate_paths`: hard runs of a candidate, the same for all.
    - `spread`: standard deviation of the first candidates, in prior scales.
    - `reach`: of the box in which `tpe` and `random` look, in prior scales.
    - `looks`: points of the curve, about.
    - `curve_paths`: hard runs of a point of it, which no search sees.
    """

    candidate_paths: int = 128
    spread: float = 0.5
    reach: float = 2.0
    looks: int = 10
    curve_paths: int = 256

    def __post_init__(self):
        _within("tune.candidate_paths", self.candidate_paths, 1, 1_000_000)
        _within("tune.spread", self.spread, 1e-6, 100.0)
        _within("tune.reach", self.reach, 1e-6, 100.0)
        _within("tune.looks", self.looks, 1, 1000)
        _within("tune.curve_paths", self.curve_paths, 1, 1_000_000)


class Fills(_Table, frozen=True, kw_only=True):
    """The hard rule by which a sweep's orders are filled; training has a rule of its own.

    **Attributes:**

    - `order_latency_ms`, `cancel_latency_ms`, `queue_cancel_ahead`: of `simulation.hard_fills`.
    - `fill_on`: prints only, or an opposite touch that reaches us too.
    """

    order_latency_ms: float = 350.0
    cancel_latency_ms: float = 350.0
    queue_cancel_ahead: float = 0.5
    fill_on: Literal["prints", "prints_or_touch"] = "prints"

    def __post_init__(self):
        for name in ("order_latency_ms", "cancel_latency_ms"):
            _within(f"fills.{name}", getattr(self, name), 1e-3, 60_000.0)
        _within("fills.queue_cancel_ahead", self.queue_cancel_ahead, 0.0, 1.0)


class Sweep(_Table, frozen=True, kw_only=True):
    """Many configurations on the same random numbers, in closed loop with hard fills.

    **Attributes:**

    - `mode`: every combination (`grid`), the k-th of each axis (`zip`), `draws` at random
      (`random`), or a table an entry (`list`).
    - `seeds`: each configuration is played on each.
    - `axes`: values by path, or `{linspace = [a, b, n]}`, `{logspace = [a, b, n]}`.
    - `draws`: of `random`.
    - `trials`: of `list`.
    - `duration_s`: of each path of the world.
    - `rows`: configurations side by side in one program.
    """

    mode: Literal["grid", "zip", "random", "list"] = "grid"
    seeds: tuple[int, ...] = (0,)
    axes: dict[str, Any] = {}
    draws: int = 16
    trials: tuple[dict[str, Any], ...] = ()
    duration_s: float = 600.0
    rows: int = 8

    def __post_init__(self):
        _within("sweep.draws", self.draws, 1, 100_000)
        _within("sweep.duration_s", self.duration_s, 1.0, 1e6)
        _within("sweep.rows", self.rows, 1, 1024)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"sweep.seeds = {self.seeds}, expected different seeds, 0 or more")


class Experiment(_Table, frozen=True, kw_only=True):
    """The whole file; the tables of the engine's stages hold parameters that start elsewhere."""

    experiment: About
    world: Market
    engine: Start = Start()
    objective: Objective = Objective()
    train: Train = Train()
    tune: Tune = Tune()
    fills: Fills = Fills()
    sweep: Sweep | None = None
    features: dict[str, Any] = {}
    belief: dict[str, Any] = {}
    risk: dict[str, Any] = {}
    pricing: dict[str, Any] = {}
    allocation: dict[str, Any] = {}
    execution: dict[str, Any] = {}

    def settings(self) -> list[str]:
        """The engine's parameters that the file sets, as `path=value`."""
        return [
            f"{path}={_text(value)}"
            for stage in STAGES
            for path, value in _flat(getattr(self, stage), f"{stage}.")
        ]

    def plain(self) -> dict[str, Any]:
        """As builtins, for TOML and JSON; what is not there is left out."""
        found = msgspec.to_builtins(self)
        return {name: x for name, x in found.items() if x is not None and x != {}}

    def digest(self) -> str:
        """Eight hexadecimal digits of the canonical JSON; the same file, the same digits."""
        text = json.dumps(self.plain(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def _flat(table: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
