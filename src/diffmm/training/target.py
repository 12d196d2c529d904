"""The tree that a checkpoint fills: as declared, with the parts that its manifest names."""

import dataclasses
import json
import pathlib
from typing import Any

import jax.numpy as jnp

from diffmm import risk
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.risk import unwind

from .checkpoint import MANIFEST


UNWIND = "risk.unwind."


def target(folder: pathlib.Path) -> graph.Params:
    """Params for `restore` to fill, the tables of an unwind policy included where there are some.

    A folder that cannot be read gives the declared tree; `restore` says what is wrong with it.

    Args:
        folder: of a checkpoint.
    """
    declared = defaults(graph.Params)
    try:
        leaves: Any = json.loads((pathlib.Path(folder) / MANIFEST).read_text())["leaves"]
        shapes = {
            x.name: leaves[UNWIND + x.name]["shape"] for x in dataclasses.fields(unwind.Params)
        }
    except (OSError, ValueError, KeyError, TypeError):
        return declared
    blank = unwind.Params(**{name: jnp.ones(shape) for name, shape in shapes.items()})
    return with_unwind(declared, blank)


def with_unwind(params: graph.Params, tables: unwind.Params) -> graph.Params:
    """The same with an unwind policy."""
    return dataclasses.replace(params, risk=risk.with_unwind(params.risk, tables))
