"""Failures inside a compiled step are bits of one word, never exceptions.

The boundary decides: live discards the step and pulls the quotes; replay raises with the event
index.
"""

import enum

import jax.numpy as jnp
from jaxtyping import Array, Bool, UInt32


class Health(enum.IntFlag):
    """What went wrong in a step; zero is healthy."""

    OK = 0
    NONFINITE_FEATURES = 1
    NONFINITE_BELIEF = 2
    NONFINITE_SURFACE = 4
    NONFINITE_ALLOCATION = 8
    NO_BOOK = 16
    CROSSED_BOOK = 32
    TRADE_OVERFLOW = 64

    @property
    def is_fatal(self) -> bool:
        """Whether the step must be discarded: a number that should be finite is not."""
        return bool(self & FATAL)


FATAL = (
    Health.NONFINITE_FEATURES
    | Health.NONFINITE_BELIEF
    | Health.NONFINITE_SURFACE
    | Health.NONFINITE_ALLOCATION
)


def flag(condition: Bool[Array, ""], bit: Health) -> UInt32[Array, ""]:
    """The bit where the condition holds, else zero."""
    return jnp.where(condition, jnp.uint32(int(bit)), jnp.uint32(0))
