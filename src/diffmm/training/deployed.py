"""What may trade: one file a name, written by a gate, that pins every byte of a checkpoint.

`checkpoints/deployed/NAME.json` holds the checkpoint's folder (relative to the record), the SHA-256
of every file in it, what the gate measured, and the versions and the source it measured with.
"""

import importlib.metadata
import json
import os
import pathlib
from typing import Any

from . import export, files
from .checkpoint import CheckpointError


FOLDER = pathlib.Path("checkpoints") / "deployed"
VERSIONS = ("diffmm", "jax", "jaxlib", "numpy")


def promote(
    folder: pathlib.Path, name: str, gate: dict[str, Any], home: pathlib.Path = FOLDER
) -> pathlib.Path:
    """Write the record of a checkpoint that passed its gate.

    Args:
        folder: the checkpoint.
        name: what it is started by.
        gate: what was measured, JSON-serialisable; its `passed` is true.
        home: where records are.

    Raises:
        CheckpointError: for a gate that was not passed, or a name that is no file name.
    """
    if gate.get("passed") is not True:
        raise CheckpointError(f"{folder} has not passed its gate; it stays where it is")
    path = record_path(name, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "name": name,
        "path": os.path.relpath(pathlib.Path(folder).resolve(), path.parent.resolve()),
        "sha256": files.digests(pathlib.Path(folder)),
        "gate": gate,
        "versions": {x: importlib.metadata.version(x) for x in VERSIONS},
        "source": export.source(),
    }
    files.replace(path, json.dumps(record, indent=1, sort_keys=True) + "\n")
    return path


def record_path(name: str, home: pathlib.Path = FOLDER) -> pathlib.Path:
    """Where the record of a name is.

    Raises:
        CheckpointError: for a name that is no plain file name.
    """
    if not name or not all(x.isalnum() or x in "-_." for x in name) or name.startswith("."):
        raise CheckpointError(f"found the name {name!r}, expected letters, digits, '-', '_', '.'")
    return home / f"{name}.json"


def read(path: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
    """The checkpoint's folder that a record names, every byte of it checked, and the record.

    Raises:
        CheckpointError: for a record that cannot be read, or a folder in which a file is another,
            is missing, or is new.
    """
    try:
        record = json.loads(path.read_text())
        folder = (path.parent / record["path"]).resolve()
        expected, passed = record["sha256"], record["gate"]["passed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no record of a promotion: {error!r}") from error
    if passed is not True:
        raise CheckpointError(f"{path}: its gate was not passed; promote another checkpoint")
    found = files.digests(folder)
    if found != expected:
        changed = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        raise CheckpointError(
            f"{path.name}: files of {record['path']} are not those that passed the gate: "
            f"{', '.join(changed)}; promote it again"
        )
    return folder, record


def is_of_this_source(record: dict[str, Any]) -> bool:
    """Whether the gate ran the engine that is here."""
    return record.get("source") == export.source()


def pnl_usd_per_hour(record: dict[str, Any]) -> dict[str, float]:
    """What the gate measured, by world."""
    return {name: told["pnl_usd_per_hour"] for name, told in record["gate"]["worlds"].items()}
