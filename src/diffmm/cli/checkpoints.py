"""What `--checkpoint` names: a folder, or what was promoted under a name; and its programs."""

import dataclasses
import pathlib
import time
from typing import Any

from .saying import say


DEFAULT = pathlib.Path("checkpoints") / "default"
WORLDS = pathlib.Path("checkpoints") / "worlds"
"""For generated markets: who takes there, and how a quote is filled, is not as on a recording."""
OF_WORLD = pathlib.Path("checkpoints") / "of_world"
"""A folder for each world that a checkpoint was fitted on alone."""
DECLARED = "declared"


@dataclasses.dataclass(frozen=True)
class Found:
    """A checkpoint's folder, its bytes checked where a record pins them; none is as declared.

    **Attributes:**

    - `folder`: of the checkpoint.
    - `label`: for the log.
    - `is_promoted`: whether a record vouches for it.
    """

    folder: pathlib.Path | None
    label: str
    is_promoted: bool = False


def find(checkpoint: str | None) -> Found:
    """The checkpoint of an option's value: a folder, a record's path, or a promoted name.

    Raises:
        CheckpointError: for a record that does not match its folder.
    """
    from diffmm.training import deployed

    if checkpoint is None:
        if not DEFAULT.exists():
            return Found(None, f"as declared: {DEFAULT} is not in this folder")
        return Found(DEFAULT, str(DEFAULT))
    path = pathlib.Path(checkpoint)
    is_name = not path.exists() and len(path.parts) == 1
    if is_name and (named := deployed.record_path(checkpoint)).exists():
        path = named
    if path.suffix != ".json":
        return Found(path, f"{path}, not promoted")
    folder, record = deployed.read(path)
    here = pathlib.Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    told = deployed.pnl_usd_per_hour(record)
    gate = ", ".join(f"{name} {pnl:+.2f} USD an hour" for name, pnl in told.items())
    label = f"{shown}, promoted as {record['name']} (gate: {gate})"
    if not deployed.is_of_this_source(record):
        label += "; its gate ran another source of the engine: promote it again"
    return Found(folder, label, is_promoted=True)


def for_market(
    checkpoint: str | None, *, is_generated: bool, world: str | None = None
) -> str | None:
    """The checkpoint asked for, else in a generated market that of the worlds, where it is.

    Args:
        checkpoint: as asked for.
        is_generated: whether the market is.
        world: its name, where there is one world: one of its own goes before that of all.
    """
    if checkpoint is not None or not is_generated:
        return checkpoint
    is_name = world is not None and pathlib.Path(world).name == world
    own = [OF_WORLD / str(world)] if is_name else []
    return next((str(folder) for folder in [*own, WORLDS] if folder.exists()), None)


def load(checkpoint: str | None, settings: list[str]) -> tuple[Any, Found]:
    """Parameters with settings on top, and where they are from.

    Raises:
        CheckpointError: for a checkpoint that must not be used.
        OverrideError: for a setting that cannot be followed.
    """
    from diffmm.core import defaults
    from diffmm.engine import graph
    from diffmm.training import apply, restore, target

    found = find(checkpoint)
    if found.folder is None:
        say("params", found.label)
        return apply(defaults(graph.Params), settings), found
    params, _ = restore(found.folder, target(found.folder))
    return apply(params, settings), found


def of_experiment(experiment: Any) -> Any:
    """The parameters that an experiment starts from, its own tables on top.

    Raises:
        CheckpointError: for a checkpoint that must not be used.
        OverrideError: for a value that has no place.
    """
    from diffmm.core import defaults
    from diffmm.engine import graph
    from diffmm.training import apply

    named = experiment.engine.checkpoint
    if named == DECLARED:
        return apply(defaults(graph.Params), experiment.settings())
    return load(_named(experiment), experiment.settings())[0]


def start_folder(experiment: Any) -> pathlib.Path | None:
    """The folder that an experiment's parameters start from; none where they are declared."""
    named = experiment.engine.checkpoint
    return None if named == DECLARED else find(_named(experiment)).folder


def _named(experiment: Any) -> str | None:
    """What an experiment starts from, in the terms of `find`: it is always played in a world."""
    named = experiment.engine.checkpoint
    return for_market(None if named == DEFAULT.name else named, is_generated=True)


def stepper(found: Found, params: Any, rule: Any, config: Any) -> Any:
    """The live step, compiled: of the exported programs where they fit, else traced.

    Raises:
        CheckpointError: for an export that is not what was written.
    """
    from diffmm.engine import stepper
    from diffmm.training import export

    started, step, how = time.perf_counter(), None, "traced"
    if found.folder is not None and export.has_step(found.folder):
        try:
            step = export.load(found.folder, params, rule, config)
            how = "as exported"
        except export.MismatchError as error:
            say("export", f"{error}; traced here instead")
    made = stepper.Stepper(params, rule, config, step)
    say("params", found.label)
    took = time.perf_counter() - started
    say("compile", f"two programs, {how}, in {took:.1f} s, before connecting")
    return made
