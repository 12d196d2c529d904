"""The one shape every subsystem has."""

import dataclasses
from collections.abc import Callable
from typing import Generic, TypeVar


P = TypeVar("P")
S = TypeVar("S")
In = TypeVar("In")
Out = TypeVar("Out")


@dataclasses.dataclass(frozen=True)
class Stage(Generic[P, S, In, Out]):
    """A pair of pure functions with their static choices bound.

    **Attributes:**

    - `init`: `params -> state`.
    - `update`: `(params, state, inputs) -> (state, out)`.
    """

    init: Callable[[P], S]
    update: Callable[[P, S, In], tuple[S, Out]]
