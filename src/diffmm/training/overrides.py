"""`path=value` from the command line onto a Params tree: `pricing.sniping=off`."""

from collections.abc import Iterable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from diffmm.core import declarations, violations


T = TypeVar("T", bound=eqx.Module)
WORDS = {"off": 0.0, "on": 1.0}


class OverrideError(ValueError):
    """A setting that cannot be followed; the message says what was found and expected."""


def apply(params: T, settings: Iterable[str]) -> T:
    """Params with some leaves set, in physical units.

    Args:
        params: the tree.
        settings: `path=value`; a value is a number, `on` or `off` (1 and 0), or comma-separated
            numbers for a vector; one number fills a vector.

    Raises:
        OverrideError: for an unknown path, a value that is not a number, another length, or a value
            outside the leaf's domain.
    """
    leaves, structure = jax.tree.flatten(params)
    names = [path for path, _ in declarations(params)]
    for setting in settings:
        path, found, text = setting.partition("=")
        if not found or path not in names:
            last = path.rpartition(".")[2]
            near = [x for x in names if last and last in x] or names
            raise OverrideError(
                f"--set {setting!r}: no parameter {path!r}; there are {', '.join(near[:12])}"
            )
        at = names.index(path)
        leaves[at] = _value(setting, text, leaves[at])
    new = jax.tree.unflatten(structure, leaves)
    if outside := violations(new):
        raise OverrideError("--set: " + "; ".join(outside))
    return new


def _value(setting: str, text: str, like: jax.Array) -> jax.Array:
    try:
        values = [WORDS[x] if x in WORDS else float(x) for x in text.split(",")]
    except ValueError:
        raise OverrideError(f"--set {setting!r}: {text!r} is no number, nor on or off") from None
    if len(values) not in (1, like.size):
        raise OverrideError(f"--set {setting!r}: {len(values)} values, expected 1 or {like.size}")
    return jnp.broadcast_to(
        jnp.asarray(values, like.dtype).reshape(-1), (max(like.size, 1),)
    ).reshape(like.shape)
