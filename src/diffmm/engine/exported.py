"""The live step's two programs as bytes, with what must agree before they may run again.

The bytes are StableHLO by `jax.export`: no Python object is unpickled, and the engine is not traced
when they are loaded. The compiler still runs, under the flags of the process that loads.
"""

import dataclasses
import hashlib
import json
from typing import Any

import jax
import jax.export
import numpy as np

from . import graph, loop, stepper


Schema = dict[str, Any]
"""Shapes and static choices by name, as JSON has them."""


def schema(params: graph.Params, config: loop.Config, step: stepper.Step) -> Schema:
    """What a program was made for: leaves by path, the event's layout, every static choice.

    Args:
        params: of the engine.
        config: static choices.
        step: the programs, as functions.
    """
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    return {
        "params": _leaves(params),
        "config": plain,
        "row": {"width": config.layout.width, **plain["layout"]},
        "observe": _signature(step.observe),
        "decide": _signature(step.decide),
    }


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in one spelling."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def difference(there: Schema, here: Schema) -> str | None:
    """Where two schemas first differ, in words; `None` where they are the same."""
    a, b = _flat(there), _flat(here)
    for name in sorted({*a, *b}):
        if a.get(name) != b.get(name):
            return f"{name} is {a.get(name, 'absent')} there and {b.get(name, 'absent')} here"
    return None


def to_bytes(flat: stepper.Flat) -> bytes:
    """One program, for the platform of this process."""
    return bytes(jax.export.export(flat.run)(*flat.shapes).serialize())


def from_bytes(blob: bytes, flat: stepper.Flat) -> stepper.Program:
    """A program of the same shapes as `flat`, compiled from its bytes.

    Raises:
        ValueError: for bytes that are no program, or one of other shapes or another platform.
    """
    try:
        found = jax.export.deserialize(bytearray(blob))
    except Exception as error:
        raise ValueError(f"these bytes are no exported program: {error}") from error
    expected = [flat.shapes, (jax.ShapeDtypeStruct((flat.outputs.width,), flat.dtype),)]
    for told, want in zip((found.in_avals, found.out_avals), expected, strict=True):
        if [(x.shape, x.dtype) for x in told] != [(x.shape, x.dtype) for x in want]:
            raise ValueError(f"the exported program takes or gives {told}, expected {want}")
    if jax.default_backend() not in found.platforms:
        raise ValueError(f"exported for {found.platforms}, expected {jax.default_backend()}")
    return flat.compile(found.call)


def _leaves(tree: Any) -> dict[str, str]:
    pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path).lstrip("."): _kind(x) for path, x in pairs}


def _kind(x: Any) -> str:
    return f"{np.dtype(x.dtype)}{list(np.shape(x))}"


def _signature(flat: stepper.Flat) -> dict[str, str]:
    side = lambda packing: digest(_leaves(packing.shapes))
    return {"inputs": side(flat.inputs), "outputs": side(flat.outputs)}


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}.{name}" if prefix else name)
    return found
