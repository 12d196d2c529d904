"""What keeps a live step in one compiled kernel; without it a decision is a hundred calls."""

import functools as ft
import re

import jax
import pytest

import bundles
import events
import small_run
import small_tape
from diffmm.engine import loop


CALLS_OUT = re.compile(r"stablehlo\.(custom_call|sort)|chlo\.top_k")
"""Operations that the compiler hands to a library."""


def lowered(what):
    p, event = bundles.params(), events.row(bundles.stream(), 0)
    observing, deciding = bundles.init(p)
    seen = bundles.step(p, (observing, deciding), event)[1][0]
    programs = {
        "observe": (bundles.graph.observe, (p, observing, event)),
        "decide": (bundles.graph.decide, (p, deciding, (seen, event))),
    }
    fn, given = programs[what]
    return jax.jit(lambda *x: fn(*x, config=bundles.CONFIG)).lower(*given).as_text()


@pytest.mark.parametrize("what", ["observe", "decide"])
def test_a_live_step_calls_no_library(what):
    assert not CALLS_OUT.findall(lowered(what))


def test_a_frame_of_the_closed_loop_calls_no_library():
    tape, config = small_tape.tape(), small_run.config()
    state = loop.init(*small_run.params(), config=config)
    step = ft.partial(loop.fold_frame, config=config)
    text = jax.jit(step).lower(*small_run.params(), state, tape.frames()[0]).as_text()
    assert not CALLS_OUT.findall(text)
