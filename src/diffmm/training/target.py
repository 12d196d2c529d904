"""The tree that a checkpoint fills: as declared, with the parts that its manifest names."""

import dataclasses
import json
import pathlib
from typing import Any

import jax.numpy as jnp

from diffmm import belief, features, risk
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.risk import unwind

from .checkpoint import MANIFEST


UNWIND = "risk.unwind."
FLOW_TYPE = "belief.flow_type."
PRIVATE = "belief.private."
TREND = "features.trend."


def target(folder: pathlib.Path) -> graph.Params:
    """Params for `restore` to fill, with the optional parts that its manifest names.

    A folder that cannot be read gives the declared tree; `restore` says what is wrong with it.

    Args:
        folder: of a checkpoint.
    """
    declared = defaults(graph.Params)
    try:
        leaves: Any = json.loads((pathlib.Path(folder) / MANIFEST).read_text())["leaves"]
        if any(name.startswith(FLOW_TYPE) for name in leaves):
            declared = with_flow_type(declared)
        if any(name.startswith(PRIVATE) for name in leaves):
            declared = with_private(declared)
        if any(name.startswith(TREND) for name in leaves):
            declared = with_trend(declared)
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


def with_flow_type(
    params: graph.Params, types: belief.flow_type.Params | None = None
) -> graph.Params:
    """The same with types of takers; as declared where none are given."""
    return dataclasses.replace(params, belief=belief.with_flow_type(params.belief, types))


def with_private(params: graph.Params, given: belief.private.Params | None = None) -> graph.Params:
    """The same with private information; as declared where nothing is given."""
    return dataclasses.replace(params, belief=belief.with_private(params.belief, given))


def with_trend(params: graph.Params, given: features.trend.Params | None = None) -> graph.Params:
    """The same with a trend; as declared where nothing is given."""
    return dataclasses.replace(params, features=features.with_trend(params.features, given))
