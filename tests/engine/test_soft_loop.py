"""The closed loop with soft fills: its hard limit, and a gradient in every stage."""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from diffmm.core import declarations, defaults
from diffmm.engine import graph, run, soft_loop
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.simulation import paths, soft_fills, taker_law
from diffmm.simulation.taker_law import Law
from diffmm.venues import world_io


pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
CONFIG, PATHS, FRAMES = soft_loop.Config.small(), 8, 16
ACCOUNT = AccountInputs(wealth_usd=3000.0, room_usd=3000.0)
EVERYONE = "features belief risk pricing allocation".split()


@ft.cache
def given(dtype):
    """World's law, and runs with draws."""
    world = world_io.load_world("busy")
    found = paths.draw(world, 3, PATHS, FRAMES, ACCOUNT, EncoderConfig(layout=CONFIG.layout))
    is_number = lambda x: np.issubdtype(x.dtype, np.floating)
    found = jax.tree.map(lambda x: x.astype(dtype) if is_number(x) else x, found)
    draws = np.random.default_rng(0).logistic(size=found.frames.shape[:3]).astype(dtype)
    return Law.of(world, ACCOUNT.taker_fee_bp, dtype), (found, draws)


def utility(theta, path, law, is_relaxed, temperature):
    """Of one run at either rule, in one program."""
    asked = defaults(soft_loop.Params, theta.belief.tail.dtype)
    soft = soft_fills.relaxed(temperature)
    fill = lambda odds, draw: jnp.where(is_relaxed, soft(odds, draw), soft_fills.hard(odds, draw))
    return soft_loop.play(theta, asked, law, *path, fill, asked.replace.temperature, config=CONFIG)


@ft.cache
def played():
    law, given_paths = given(np.float32)
    fn = lambda x, path: utility(x[0], path, law, x[1], x[2])
    each = run.each_path(fn, PATHS)
    call = lambda is_relaxed, t: each(
        (defaults(graph.Params), jnp.array(is_relaxed), jnp.float32(t)), given_paths
    )
    return {"hard": call(False, 1.0), "cold": call(True, 1e-6), "soft": call(True, 0.1)}


def test_relaxed_runs_become_the_hard_ones_as_the_temperature_goes_to_zero():
    hard, cold, soft = (np.asarray(played()[x][0]) for x in ("hard", "cold", "soft"))
    np.testing.assert_allclose(cold, hard, rtol=1e-3, atol=1e-5)
    assert np.abs(soft - hard).max() > 1e-2


def test_quotes_are_filled_and_not_always():
    odds = np.asarray(played()["hard"][1])
    p = expit(odds[odds > taker_law.NOBODY])
    assert 0.01 < p.mean() < 0.9


def test_every_leaf_has_a_finite_gradient_and_every_stage_some_that_are_not_zero():
    law, given_paths = given(np.float32)
    fn = lambda theta, path: utility(theta, path, law, jnp.array(True), jnp.float32(0.1))[0]
    found = run.each_path(jax.grad(fn), PATHS)(defaults(graph.Params), given_paths)
    named = zip(declarations(defaults(graph.Params)), jax.tree.leaves(found), strict=True)
    moved = []
    for (name, _), x in named:
        assert bool(jnp.all(jnp.isfinite(x))), name
        moved += [name] if bool(jnp.any(x != 0)) else []
    assert len(moved) >= 20
    assert {name.split(".")[0] for name in moved} == set(EVERYONE)
