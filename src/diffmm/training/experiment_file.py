"""Experiments from TOML.

One grammar everywhere: `risk.holding_s` is a table and a name in the file, `--set path=value` on
the command line, and an axis `"risk.holding_s"` of a sweep. `extends` names one other file, beside
this one; its tables are merged under, its arrays replaced. All is checked at once, after the
merge, so every way in has the same rules. Source: ours; `tests/training/test_experiment.py`.
"""

import pathlib
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .experiment import Experiment


class ExperimentError(ValueError):
    """An experiment that cannot be run; the message says what was found and expected."""


def load(path: pathlib.Path, settings: Iterable[str] = ()) -> Experiment:
    """An experiment from its file and `--set path=value` after it.

    Raises:
        ExperimentError: for a file that is missing or no TOML, a circle of `extends`, an unknown
            name, or a value outside its range.
    """
    table = _read(pathlib.Path(path), ())
    for setting in settings:
        put(table, *_parsed(setting))
    return convert(table, str(path))


def convert(table: Mapping[str, Any], label: str) -> Experiment:
    """An experiment from builtins: the one place where it is checked.

    Raises:
        ExperimentError: with the path of what was found and what was expected.
    """
    try:
        return msgspec.convert(table, Experiment)
    except msgspec.ValidationError as error:
        raise ExperimentError(f"{label}: {error}") from error


def put(table: dict[str, Any], path: str, value: Any) -> None:
    """Set one value by its path, in place; every table on the way is made.

    Raises:
        ExperimentError: for a path that leads through a value.
    """
    *way, last = path.split(".")
    for name in way:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ExperimentError(f"{path}: {name} is a value, expected a table")
    table[last] = value


def _read(path: pathlib.Path, seen: tuple[pathlib.Path, ...]) -> dict[str, Any]:
    """The file's tables over those it extends."""
    if path.resolve() in seen:
        raise ExperimentError(f"{path}: extends itself through {', '.join(x.name for x in seen)}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExperimentError(
            f"{path}: {error.strerror}; expected an experiment's .toml"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{path}: not TOML: {error}") from error
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str) or pathlib.PurePath(base).is_absolute():
        raise ExperimentError(f"{path}: extends = {base!r}, expected one relative path")
    return _merged(_read(path.parent / base, (*seen, path.resolve())), table)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    out = dict(under)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(name), dict)
        out[name] = _merged(out[name], value) if both else value
    return out


def _parsed(setting: str) -> tuple[str, Any]:
    """`path=value`; a value is TOML, or a bare string."""
    path, found, text = setting.partition("=")
    if not found or not path:
        raise ExperimentError(f"--set {setting!r}, expected path=value")
    try:
        return path, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return path, text
