"""One Params tree on disk, in physical units, refused unless every byte is the one that was saved.

Orbax alone restores a flipped bit without an error and casts dtypes silently, so a SHA-256 manifest
is checked before it reads, and shapes, dtypes and domains after.
"""

import hashlib
import json
import pathlib
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
import orbax.checkpoint as ocp

from diffmm.core import declarations, violations

from . import files


T = TypeVar("T", bound=eqx.Module)

MANIFEST = "manifest.json"
ARRAYS = "params"


class CheckpointError(ValueError):
    """A checkpoint that must not be used; the message says what was found and expected."""


def save(path: pathlib.Path, params: eqx.Module, provenance: dict[str, Any]) -> None:
    """Write `params` under `path` with a manifest of every file's SHA-256.

    Args:
        path: a folder that does not exist yet.
        params: physical values, all inside their domains.
        provenance: JSON-serialisable facts about where they come from.

    Raises:
        CheckpointError: for a value outside its domain, or a folder that exists.
    """
    if found := violations(params):
        raise CheckpointError("refusing to save: " + "; ".join(found))
    units = {name: {"unit": declared["unit"]} for name, declared in declarations(params)}
    write(path, _named(params), units, provenance)


def restore(path: pathlib.Path, target: T) -> tuple[T, dict[str, Any]]:
    """Params of the target's structure and the provenance they were saved with.

    Args:
        path: a folder written by `save`.
        target: the tree to fill; its leaves give the expected names, shapes and dtypes.

    Raises:
        CheckpointError: for a missing or changed file, another set of leaves, another shape or
            dtype, or a value outside its domain.
    """
    filled, provenance = read(path, _named(target))
    order = [filled[name] for name, _ in declarations(target)]
    params = jax.tree.unflatten(jax.tree.structure(target), order)
    if outside := violations(params):
        raise CheckpointError("; ".join(outside))
    return params, provenance


def extend(path: pathlib.Path, target: T) -> tuple[T, dict[str, Any]]:
    """The same of a checkpoint from before some leaves were declared: those are the target's own.

    The provenance says so: `extended` lists, a round each, the leaves that were added and the
    SHA-256 of the manifest they were added to. What it says of a fit holds of the other leaves.

    Args:
        path: a folder written by `save`.
        target: the tree to fill; its values are kept where the checkpoint has none.

    Raises:
        CheckpointError: as `restore`, and where no leaf is missing.
    """
    path, named = pathlib.Path(path).resolve(), _named(target)
    manifest, digest = _manifest(path)
    known = manifest["leaves"]
    saved, provenance = read(path, {name: x for name, x in named.items() if name in known})
    added = [name for name in named if name not in known]
    if not added:
        raise CheckpointError(f"{path.name} has every leaf already; use it as it is")
    params = jax.tree.unflatten(jax.tree.structure(target), list((named | saved).values()))
    if outside := violations(params):
        raise CheckpointError("; ".join(outside))
    now = {"leaves": added, "manifest_sha256": digest}
    return params, provenance | {"extended": [*provenance.get("extended", []), now]}


def write(
    path: pathlib.Path,
    named: dict[str, Any],
    remarks: dict[str, dict[str, Any]],
    provenance: dict[str, Any],
) -> None:
    """Write arrays by name, with a manifest.

    Args:
        path: a folder that does not exist yet.
        named: the arrays.
        remarks: what the manifest says of each beside its shape and dtype.
        provenance: JSON-serialisable facts about where they come from.

    Raises:
        CheckpointError: for a folder that exists.
    """
    path = pathlib.Path(path).resolve()
    if path.exists():
        raise CheckpointError(f"{path.name} exists already; choose another folder or remove it")
    with _checkpointer() as checkpointer:
        checkpointer.save(path / ARRAYS, named)
    # Orbax notes the absolute path of this machine here; nothing reads it.
    (path / ARRAYS / "commit_success.txt").unlink(missing_ok=True)
    manifest = {
        "leaves": {
            name: {**remarks.get(name, {}), "shape": list(np.shape(x)), "dtype": str(x.dtype)}
            for name, x in named.items()
        },
        "provenance": provenance,
        "sha256": files.digests(path / ARRAYS),
    }
    (path / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def read(path: pathlib.Path, named: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays of the given names, shapes and dtypes, and the provenance they were saved with.

    Raises:
        CheckpointError: for a missing or changed file, other names, another shape or dtype.
    """
    path = pathlib.Path(path).resolve()
    manifest, _ = _manifest(path)
    leaves, expected = manifest["leaves"], manifest["sha256"]
    found = files.digests(path / ARRAYS)
    if found != expected:
        changed = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        raise CheckpointError(
            f"files differ from the manifest: {', '.join(changed)}; save it again"
        )
    if set(named) != set(leaves):
        raise CheckpointError(
            f"leaves differ: only here {sorted(set(named) - set(leaves))}, "
            f"only in the checkpoint {sorted(set(leaves) - set(named))}; use the matching version"
        )
    for name, x in named.items():
        if [str(x.dtype), list(np.shape(x))] != [leaves[name]["dtype"], leaves[name]["shape"]]:
            raise CheckpointError(
                f"{name}: found {leaves[name]['dtype']}{leaves[name]['shape']}, "
                f"expected {x.dtype}{list(np.shape(x))}"
            )
    with _checkpointer() as checkpointer:
        return checkpointer.restore(path / ARRAYS, named), manifest["provenance"]


def _manifest(path: pathlib.Path) -> tuple[dict[str, Any], str]:
    """Its content and its SHA-256."""
    try:
        text = (path / MANIFEST).read_bytes()
        manifest = json.loads(text)
        _ = manifest["leaves"], manifest["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path.name} has no readable {MANIFEST}: {error}") from error
    return manifest, hashlib.sha256(text).hexdigest()


def _checkpointer() -> ocp.StandardCheckpointer:
    """One that waits for no other process: what a process writes or reads is its own."""
    if jax.process_count() == 1:
        return ocp.StandardCheckpointer()
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
    )
    return ocp.StandardCheckpointer(multiprocessing_options=alone)


def _named(params: eqx.Module) -> dict[str, Any]:
    pairs = zip(jax.tree.leaves(params), declarations(params), strict=True)
    return {name: x for x, (name, _) in pairs}
