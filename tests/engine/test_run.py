"""The runners on a two-number engine whose answers are known in closed form."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float

from diffmm import engine
from diffmm.core import Stage, where
from diffmm.engine.stepper import compile_program


class Row(eqx.Module):
    x: Float[Array, ""]
    is_valid: Bool[Array, ""]


def observe(params, state, event):
    new = where(event.is_valid, params * state + event.x, state)
    return new, new


def decide(params, state, inputs):
    seen, _ = inputs
    return state + seen, seen * params


ENGINE = engine.Engine(
    Stage(lambda p: jnp.zeros_like(p), observe), Stage(lambda p: jnp.zeros_like(p), decide)
)
PARAMS = jnp.float32(0.5)


def frames():
    x = jnp.array([[1.0, 2.0, 2.0], [3.0, 4.0, 5.0]], jnp.float32)
    valid = jnp.array([[True, True, False], [True, True, True]])
    return jax.vmap(jax.vmap(Row))(x, valid)


def test_replay_folds_valid_rows_only_and_decides_once_a_frame():
    (observing, deciding), out = engine.replay(ENGINE, PARAMS, frames())
    first = 0.5 * 1.0 + 2.0
    second = 0.5 * (0.5 * (0.5 * first + 3.0) + 4.0) + 5.0
    np.testing.assert_allclose(observing, second)
    np.testing.assert_allclose(deciding, first + second)
    np.testing.assert_allclose(out, [0.5 * first, 0.5 * second])


def test_live_steps_equal_replay():
    event = jax.tree.map(lambda x: np.asarray(x[0, 0]), frames())
    observing, deciding = engine.init(ENGINE, PARAMS)
    observe = compile_program(ENGINE.observe.update, PARAMS, observing, event)
    decide = compile_program(ENGINE.decide.update, PARAMS, deciding, (observing, event))
    call = lambda program, *trees: program.outputs.unpack(
        program(program.inputs.pack_host(trees, np.float32))
    )
    outs = []
    for f in range(2):
        for r in range(3):
            event = jax.tree.map(lambda x, f=f, r=r: np.asarray(x[f, r]), frames())
            if event.is_valid:
                observing, seen = call(observe, PARAMS, observing, event)
        deciding, out = call(decide, PARAMS, deciding, (seen, event))
        outs.append(out)
    np.testing.assert_array_equal(outs, engine.replay(ENGINE, PARAMS, frames())[1])


def test_counterfactual_rows_equal_separate_replays():
    batch = jnp.array([0.2, 0.5, 0.9], jnp.float32)
    out = engine.counterfactual(ENGINE, batch, frames())
    for i, p in enumerate(batch):
        np.testing.assert_allclose(out[i], engine.replay(ENGINE, p, frames())[1], rtol=1e-6)


def test_checkpointed_gradient_equals_finite_differences():
    with jax.enable_x64(True):
        tape = jax.tree.map(
            lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, frames()
        )
        run = engine.objective_and_gradient(ENGINE, lambda out, frame: out**2, chunk=1)
        value, grad = run(jnp.float64(0.5), tape)
        h = 1e-6
        fd = (run(jnp.float64(0.5 + h), tape)[0] - run(jnp.float64(0.5 - h), tape)[0]) / (2 * h)
        np.testing.assert_allclose(grad, fd, rtol=1e-8)
        outs = engine.replay(ENGINE, jnp.float64(0.5), tape)[1]
        np.testing.assert_allclose(value, np.sum(np.square(outs)), rtol=1e-12)


def test_a_tape_that_does_not_divide_into_chunks_is_refused():
    run = engine.objective_and_gradient(ENGINE, lambda out, frame: out, chunk=3)
    with pytest.raises(ValueError, match="multiple of chunk"):
        run(PARAMS, frames())


SHARED_OUT = """
import jax, numpy as np
from diffmm.engine import run
fn = lambda theta, x: (theta * x[0] + x[1], jax.numpy.sin(x[0]))
paths = (np.arange(8, dtype=np.float32), np.arange(8, dtype=np.float32)[::-1].copy())
one, two = (run.each_path(fn, 4, d)(np.float32(3), paths) for d in (None, jax.devices()))
assert len(jax.devices()) == 2
for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
    np.testing.assert_array_equal(a, b)
compiled = run.each_path(fn, 4, jax.devices()).lower(np.float32(3), paths).compile()
print(compiled.as_text().count("num_partitions=2"))
try:
    run.each_path(fn, 3, jax.devices())
except ValueError as error:
    print(error)
"""


def test_lanes_are_shared_out_among_devices_and_give_the_same_numbers():
    flags = "--xla_force_host_platform_device_count=2"
    found = subprocess.run(
        [sys.executable, "-c", SHARED_OUT],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    assert found.returncode == 0, found.stderr
    partitions, refusal = found.stdout.splitlines()
    assert int(partitions) >= 1
    assert refusal == "3 lanes, expected a multiple of the 2 devices"
