"""The configurations of a sweep from its axes, and where each axis leads.

An axis is named by a path: a leaf of the engine's parameters (`pricing.offset_bp`), a static choice
of a stage (`belief.modes`), or an entry of the experiment's own tables (`world.room_usd`). What
training alone reads is no axis: a sweep replays with hard fills, and nothing there would move.
"""

import dataclasses
import difflib
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from diffmm.core import declarations, defaults
from diffmm.engine import graph

from .experiment import Fills, Market, Sweep
from .experiment_file import ExperimentError


PARAMETER, STATIC, ENTRY = "parameter", "static", "entry"
TABLES = {
    "world": Market.__struct_fields__,
    "engine": ("checkpoint", "size"),
    "fills": Fills.__struct_fields__,
}
"""What a replay reads of the experiment's own tables."""
NOT_READ = ("train", "objective", "tune", "engine")
RANGES = ("linspace", "logspace")


def configurations(sweep: Sweep, seed: int) -> list[dict[str, Any]]:
    """Values by path, one entry a configuration, in order.

    Args:
        sweep: the table.
        seed: of the draws of a random sweep.

    Raises:
        ExperimentError: for axes that say nothing, or cannot be combined as asked.
    """
    if sweep.mode == "list":
        if not sweep.trials or sweep.axes:
            raise ExperimentError("sweep.mode list takes sweep.trials, and no sweep.axes")
        return [_by_path(one) for one in sweep.trials]
    if not sweep.axes or sweep.trials:
        raise ExperimentError(f"sweep.mode {sweep.mode} takes sweep.axes, and no sweep.trials")
    axes = _by_path(sweep.axes)
    if sweep.mode == "random":
        return _drawn(axes, sweep.draws, seed)
    values = {path: _listed(path, axis) for path, axis in axes.items()}
    if sweep.mode == "grid":
        rows: Iterable[tuple[Any, ...]] = itertools.product(*values.values())
    else:
        lengths = {path: len(x) for path, x in values.items()}
        if len(set(lengths.values())) > 1:
            raise ExperimentError(f"sweep.mode zip: axes have {lengths} values, expected as many")
        rows = zip(*values.values(), strict=True)
    return [dict(zip(values, row, strict=True)) for row in rows]


def place(path: str) -> str:
    """What an axis moves.

    Raises:
        ExperimentError: for a path that leads nowhere, or only into training.
    """
    leaves = [name for name, _ in declarations(defaults(graph.Params))]
    if path in leaves:
        return PARAMETER
    table, _, name = path.partition(".")
    entries = [f"{x}.{field}" for x, fields in TABLES.items() for field in fields]
    if path in entries:
        return ENTRY
    static = _static(graph.Config.default())
    if path in static:
        return STATIC
    if table in NOT_READ:
        raise ExperimentError(
            f"sweep axis {path!r}: a sweep replays with hard fills and does not read it; vary it "
            f"with diffmm train --set {path}=VALUE"
        )
    known = [*leaves, *entries, *static]
    near = difflib.get_close_matches(path, known, 5) or [x for x in known if x.endswith(name)][:5]
    raise ExperimentError(
        f"sweep axis {path!r} is no parameter and no choice of the engine, nor an entry of "
        f"{', '.join(TABLES)}; near it: {', '.join(near) or 'nothing'}"
    )


def with_static(config: graph.Config, path: str, value: Any) -> graph.Config:
    """The engine's configuration with one static choice made otherwise.

    Raises:
        ExperimentError: for a value of another kind.
    """

    def put(node: Any, names: list[str]) -> Any:
        old = getattr(node, names[0])
        if names[1:]:
            return dataclasses.replace(node, **{names[0]: put(old, names[1:])})
        if type(old) is not type(value):
            raise ExperimentError(
                f"sweep axis {path}: found {value!r}, expected {type(old).__name__} as {old!r} is"
            )
        return dataclasses.replace(node, **{names[0]: value})

    try:
        return put(config, path.split("."))
    except ValueError as error:
        raise ExperimentError(f"sweep axis {path} = {value!r}: {error}") from error


def _static(config: Any, prefix: str = "") -> list[str]:
    """Paths of every static choice that is a plain value."""
    found = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found += _static(value, f"{prefix}{field.name}.")
        elif isinstance(value, bool | int | float | str):
            found.append(f"{prefix}{field.name}")
    return found


def _by_path(tables: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": x}` from that, or from nested tables, which TOML makes of a bare dotted key."""
    found: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, dict) and not set(value) <= set(RANGES):
            found |= {f"{name}.{path}": x for path, x in _by_path(value).items()}
        else:
            found[name] = value
    return found


def _range(path: str, axis: Mapping[str, Any]) -> tuple[str, float, float, int]:
    """Kind, ends and number of points."""
    try:
        ((kind, (low, high, points)),) = axis.items()
        low, high, n = float(low), float(high), int(points)
        if n < 2 or n != points or (kind == "logspace" and not 0 < low < high):
            raise ValueError
    except (TypeError, ValueError):
        raise ExperimentError(
            f"sweep axis {path!r}: found {dict(axis)}, expected a list, linspace = [a, b, n] or "
            "logspace = [a, b, n] with 0 < a < b and n at least 2"
        ) from None
    return kind, low, high, n


def _at(kind: str, low: float, high: float, share: float) -> float:
    """The point of a range, its ends exactly."""
    if share in (0.0, 1.0):
        return low if share == 0.0 else high
    if kind == "logspace":
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


def _listed(path: str, axis: Any) -> list[Any]:
    if isinstance(axis, list | tuple) and axis:
        return list(axis)
    if not isinstance(axis, dict):
        raise ExperimentError(f"sweep axis {path!r}: found {axis!r}, expected a list of values")
    kind, low, high, n = _range(path, axis)
    return [_at(kind, low, high, k / (n - 1)) for k in range(n)]


def _drawn(axes: Mapping[str, Any], draws: int, seed: int) -> list[dict[str, Any]]:
    """A list gives one of its values, a range a point of it."""
    key = jax.random.key(seed)
    shares = jax.random.uniform(key, (draws, len(axes))).tolist()
    found = []
    for row in shares:
        one = {}
        for (path, axis), share in zip(axes.items(), row, strict=True):
            if isinstance(axis, dict):
                one[path] = _at(*_range(path, axis)[:3], share)
            else:
                values = _listed(path, axis)
                one[path] = values[min(int(share * len(values)), len(values) - 1)]
        found.append(one)
    return found
