"""Parameters live in physical units; only the optimiser sees the unconstrained line.

Each `Params` field states its domain, unit and trainability once, where it is declared.
`unconstrain` returns the same class in unconstrained values; `constrain` undoes it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array


T = TypeVar("T", bound=eqx.Module)


class Domain(NamedTuple):
    """A smooth bijection from the real line onto a set, applied elementwise.

    **Attributes:**

    - `name`: how the set is written in a report.
    - `forward`: unconstrained value to physical value.
    - `inverse`: physical value to unconstrained value.
    - `contains`: elementwise membership of a physical value (open sets; NaN is in none).
    """

    name: str
    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]
    contains: Callable[[Array], Array]


REAL = Domain("real", lambda x: x, lambda y: y, jnp.isfinite)
POSITIVE = Domain(
    "positive",
    jax.nn.softplus,
    lambda y: y + jnp.log(-jnp.expm1(-y)),
    lambda y: (y > 0) & jnp.isfinite(y),
)


def interval(low: float, high: float) -> Domain:
    """The open interval `(low, high)` by a scaled logistic; `low < high` or `ValueError`."""
    if not low < high:
        raise ValueError(f"interval needs low < high; found ({low}, {high}); swap the two ends")
    width = high - low
    return Domain(
        f"({low:g}, {high:g})",
        lambda x: low + width * jax.nn.sigmoid(x),
        lambda y: jnp.log(y - low) - jnp.log(high - y),
        lambda y: (y > low) & (y < high),
    )


UNIT = interval(0.0, 1.0)


def _inner(y: Array) -> Array:
    edge = jnp.finfo(y.dtype).eps
    return jnp.clip(y, edge, 1 - edge)


SHARE = Domain(
    "[0, 1]",
    jax.nn.sigmoid,
    lambda y: jnp.log(_inner(y)) - jnp.log1p(-_inner(y)),
    lambda y: (y >= 0) & (y <= 1),
)
"""A share that may be switched off: its ends are legal values, not legal optima."""


NON_NEGATIVE = Domain(
    "non-negative",
    jax.nn.softplus,
    lambda y: POSITIVE.inverse(jnp.maximum(y, jnp.finfo(y.dtype).eps)),
    lambda y: (y >= 0) & jnp.isfinite(y),
)
"""A scale that may be switched off, the same way."""


def param(
    domain: Domain = REAL,
    default: float | tuple[Any, ...] | None = None,
    *,
    unit: str = "1",
    trainable: bool = True,
    level: bool = False,
) -> Any:
    """Declare a parameter field.

    Args:
        domain: the set of its physical values.
        default: the value a run starts from where no checkpoint gives another.
        unit: physical unit, `"1"` when dimensionless.
        trainable: whether an optimiser may move it; a frozen leaf carries no gradient.
        level: whether it is a price level, which re-anchoring shifts.
    """
    return eqx.field(
        metadata={
            "domain": domain,
            "default": default,
            "unit": unit,
            "trainable": trainable,
            "level": level,
        }
    )


def defaults(params_class: type[T], dtype: Any = jnp.float32) -> T:
    """The declared starting values of a `Params` class, nested classes included.

    Raises:
        TypeError: for a leaf that was declared without a default.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(params_class):
        if field.default is None:
            # A part that is left out has no leaves, and a checkpoint none of it.
            values[field.name] = None
        elif "domain" not in field.metadata:
            values[field.name] = defaults(cast(Any, field.type), dtype)
        elif field.metadata["default"] is None:
            raise TypeError(f"{params_class.__name__}.{field.name} has no default; give one")
        else:
            values[field.name] = jnp.asarray(field.metadata["default"], dtype)
    return params_class(**values)


def declarations(params: eqx.Module, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Dotted path and declaration of every leaf, in leaf order.

    Raises:
        TypeError: for a field that was not declared with `param`.
    """
    for field in dataclasses.fields(params):
        path, value = f"{prefix}{field.name}", getattr(params, field.name)
        if value is None:
            continue
        if isinstance(value, eqx.Module):
            yield from declarations(value, f"{path}.")
        elif "domain" in field.metadata:
            yield path, field.metadata
        else:
            raise TypeError(
                f"{type(params).__name__}.{field.name} has no domain and unit; "
                "declare it with param(DOMAIN, unit=...)"
            )


def _map(fn: Callable[[Array, Mapping[str, Any]], Any], params: T) -> T:
    leaves, structure = jax.tree.flatten(params)
    pairs = zip(leaves, declarations(params), strict=True)
    return jax.tree.unflatten(structure, [fn(x, declared) for x, (_, declared) in pairs])


def unconstrain(params: T) -> T:
    """Physical units to the unconstrained line."""
    return _map(lambda x, declared: declared["domain"].inverse(x), params)


def constrain(raw: T) -> T:
    """The unconstrained line to physical units; a frozen leaf carries no gradient."""

    def leaf(x: Array, declared: Mapping[str, Any]) -> Array:
        y = declared["domain"].forward(x)
        return y if declared["trainable"] else jax.lax.stop_gradient(y)

    return _map(leaf, raw)


def trainable(params: T) -> T:
    """The same structure holding `True` where the optimiser may move the leaf."""
    return _map(lambda x, declared: declared["trainable"], params)


def violations(params: eqx.Module) -> list[str]:
    """One sentence for each leaf outside its domain; empty when all are inside."""
    found = []
    for leaf, (path, declared) in zip(jax.tree.leaves(params), declarations(params), strict=True):
        if not bool(jnp.all(declared["domain"].contains(leaf))):
            found.append(
                f"{path} = {leaf} {declared['unit']}: expected a {declared['domain'].name} value"
            )
    return found
