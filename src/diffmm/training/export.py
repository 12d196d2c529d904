"""A checkpoint with the compiled step's programs beside it, for the box that trades.

An exported folder is a checkpoint like any other; what is added is

    step/header.json               versions, platform, source, schema, SHA-256 of every program
    step/<orders>.<part>.stablehlo live or shadow (orders real or modelled); observe or decide

Bytes that differ from what was written are refused. Another version, platform, source or schema
only means that the engine is traced here, as without an export; the caller says so.
"""

import hashlib
import importlib.metadata
import importlib.resources
import json
import pathlib
import platform
import shutil
from typing import Any

import jax

from diffmm.core import defaults
from diffmm.engine import exported, graph, loop, stepper
from diffmm.simulation import hard_fills

from . import checkpoint, files
from .checkpoint import CheckpointError
from .target import target


FOLDER, HEADER = "step", "header.json"
PARTS = ("observe", "decide")
FORMAT = 1
PACKAGES = ("jax", "jaxlib", "diffmm")
SOURCES = (
    "core market features belief risk pricing allocation execution simulation engine"
).split()
"""Packages that the two programs are made of."""


class MismatchError(ValueError):
    """An export that was made for something else; the message says what was found and expected."""


def write(
    source: pathlib.Path, folder: pathlib.Path, config: loop.Config | None = None
) -> dict[str, int]:
    """Copy a checkpoint and export the live step beside it, for real and for modelled orders.

    Args:
        source: a checkpoint.
        folder: where to; it does not exist yet.
        config: static choices; the product's where not given.

    Returns:
        Bytes of each program by the name of its file.

    Raises:
        CheckpointError: for a checkpoint that may not be used, or a folder that exists.
    """
    source, folder = pathlib.Path(source), pathlib.Path(folder)
    config = loop.Config.default() if config is None else config
    if folder.exists():
        raise CheckpointError(f"{folder} exists already; choose another folder or remove it")
    params, _ = checkpoint.restore(source, target(source))
    shutil.copytree(source / checkpoint.ARRAYS, folder / checkpoint.ARRAYS)
    shutil.copy2(source / checkpoint.MANIFEST, folder / checkpoint.MANIFEST)
    at = folder / FOLDER
    at.mkdir()
    sizes, programs = {}, {}
    for orders, rule in (("live", None), ("shadow", defaults(hard_fills.Params))):
        step = stepper.step_of(params, rule, config)
        blobs = {part: exported.to_bytes(getattr(step, part)) for part in PARTS}
        for part, blob in blobs.items():
            (at / _name(orders, part)).write_bytes(blob)
            sizes[_name(orders, part)] = len(blob)
        programs[orders] = {
            "schema": exported.schema(params, config, step),
            "sha256": {part: _sha256(blob) for part, blob in blobs.items()},
        }
    manifest = _sha256((folder / checkpoint.MANIFEST).read_bytes())
    header = {**here(), "checkpoint": manifest, "programs": programs}
    sealed = {**header, "sha256": exported.digest(header)}
    # Written last: without it there is no export.
    files.replace(at / HEADER, json.dumps(sealed, indent=1, sort_keys=True) + "\n")
    return sizes


def here() -> dict[str, Any]:
    """What an export must share with the process that runs it, by name."""
    return {
        "format": FORMAT,
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": jax.default_backend(),
        "machine": platform.machine(),
        "x64": bool(jax.config.read("jax_enable_x64")),
        "source": source(),
    }


def source() -> str:
    """SHA-256 over the code that the programs are traced from."""
    root = importlib.resources.files("diffmm")
    at = pathlib.Path(str(root))
    found = {name: files.digests(at / name) for name in SOURCES}
    code = {
        f"{package}/{path}": sha256
        for package, some in found.items()
        for path, sha256 in some.items()
        if path.endswith(".py")
    }
    return exported.digest(code)


def has_step(folder: pathlib.Path) -> bool:
    """Whether a checkpoint has programs beside it."""
    return (pathlib.Path(folder) / FOLDER / HEADER).exists()


def load(
    folder: pathlib.Path,
    params: graph.Params,
    rule: hard_fills.Params | None,
    config: loop.Config,
) -> stepper.Step:
    """The programs of an exported folder, compiled.

    Args:
        folder: written by `write`.
        params: of the engine; values may differ from the checkpoint's, shapes may not.
        rule: of the fills, `None` where the orders are real.
        config: static choices.

    Raises:
        CheckpointError: for bytes that are not those that were written.
        MismatchError: for another version, platform, source or schema; trace instead.
    """
    folder = pathlib.Path(folder)
    header = _header(folder)
    want = here()
    found = exported.difference({name: header.get(name) for name in want}, want)
    if found:
        raise MismatchError(f"{folder.name}: {found}")
    orders = "live" if rule is None else "shadow"
    told = header["programs"][orders]
    step = stepper.step_of(params, rule, config)
    found = exported.difference(told["schema"], exported.schema(params, config, step))
    if found:
        raise MismatchError(f"{folder.name}: {found}")
    blobs = [_program(folder, orders, part, told["sha256"][part]) for part in PARTS]
    try:
        return stepper.Step(
            exported.from_bytes(blobs[0], step.observe), exported.from_bytes(blobs[1], step.decide)
        )
    except ValueError as error:
        raise MismatchError(f"{folder.name}: {error}") from error


def verify(folder: pathlib.Path) -> None:
    """Check the header and every program; a folder without an export is in order.

    Raises:
        CheckpointError: for bytes that are not those that were written.
    """
    if not has_step(folder):
        return
    for orders, told in _header(pathlib.Path(folder))["programs"].items():
        for part in PARTS:
            _program(pathlib.Path(folder), orders, part, told["sha256"][part])


def _header(folder: pathlib.Path) -> dict[str, Any]:
    """The header, refused unless it is the one written for this very checkpoint."""
    at = folder / FOLDER / HEADER
    try:
        header = json.loads(at.read_text())
        told = header.pop("sha256")
        manifest = _sha256((folder / checkpoint.MANIFEST).read_bytes())
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{at} is not readable: {error}; export it again") from error
    if exported.digest(header) != told:
        raise CheckpointError(f"{at} is not the file that was written; export it again")
    if header["checkpoint"] != manifest:
        raise CheckpointError(f"{at} belongs to another checkpoint; export it again")
    return header


def _program(folder: pathlib.Path, orders: str, part: str, sha256: str) -> bytes:
    at = folder / FOLDER / _name(orders, part)
    try:
        blob = at.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{at}: {error.strerror}; export it again") from error
    if _sha256(blob) != sha256:
        raise CheckpointError(f"{at} is not the file that was written; export it again")
    return blob


def _name(orders: str, part: str) -> str:
    return f"{orders}.{part}.stablehlo"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
