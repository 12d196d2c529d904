"""The engine in its small sizes, in the closed loop on a small tape."""

import functools as ft

import jax

import events
import small_tape
from diffmm.core import defaults
from diffmm.engine import graph, loop
from diffmm.simulation import hard_fills


@ft.cache
def config():
    tape = small_tape.tape()
    return loop.Config(graph.Config.small(), hard_fills.Config(events.SLOTS, False), tape.layout)


def params():
    """Defaults of the engine and of the fill rule."""
    return defaults(graph.Params), defaults(hard_fills.Params)


@ft.cache
def run():
    """`(tape, record)`, stacked by frame."""
    tape = small_tape.tape()
    step = jax.jit(ft.partial(loop.replay, config=config()))
    return tape, step(*params(), tape.frames())[1]
