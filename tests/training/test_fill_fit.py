"""The fill model by likelihood: planted parameters are found from what became of probes."""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.core import defaults
from diffmm.engine import graph, probe_run
from diffmm.market import AccountInputs, EncoderConfig, Layout
from diffmm.simulation import generative, hard_fills
from diffmm.training import apply, fill_fit
from diffmm.venues import world_io


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ENGINE, RULE = graph.Config.small(), defaults(hard_fills.Params)
CONFIG = fill_fit.Config(probes=probe_run.Config(every_s=1.0, splits=(0.5,), on_touch=(False,)))
PLANTED = ("pricing.takers_met=0.4", "pricing.sniping=0.15", "pricing.jump_rate=0.2")


@ft.cache
def tape():
    market = generative.simulate(world_io.load_world("thin"), 3, 400.0)
    config = EncoderConfig(layout=Layout(4, 2))
    return generative.tape(market, AccountInputs(), config)[0]


@ft.cache
def sampled(to=1.0):
    return fill_fit.sample(
        tape(), defaults(graph.Params), RULE, to, CONFIG, ENGINE, takers_have_limits=True
    )


def chances(params, one):
    lives = jnp.asarray(fill_fit.lives_of(params, CONFIG), jnp.float32)
    depths = one.weight.shape[-1]
    fn = lambda asked: fill_fit.chance(params, lives, asked, depths, ENGINE)
    return np.asarray(jax.jit(jax.vmap(fn))(one.asked))


def test_planted_parameters_are_found_from_what_became_of_the_probes():
    start = defaults(graph.Params)
    planted = apply(start, PLANTED)
    rng, samples = np.random.default_rng(0), []
    for _ in range(6):
        p = chances(planted, sampled())
        samples.append(dataclasses.replace(sampled(), is_filled=rng.random(p.shape) < p))
    # The optimiser counts its steps in integers and raises floats to them.
    with jax.numpy_dtype_promotion("standard"):
        new, told = fill_fit.fit(start, samples, CONFIG, ENGINE)
    assert told["end"]["fitted"] > told["start"]["fitted"] + 0.01
    assert told["end"]["left_out"] > told["start"]["left_out"] + 0.01
    assert float(new.pricing.takers_met) == pytest.approx(0.4, rel=0.25)
    assert float(new.pricing.sniping) == pytest.approx(0.15, abs=0.05)
    assert float(new.pricing.jump_rate) == pytest.approx(0.2, rel=0.4)
    gap = np.abs(chances(new, sampled()) - chances(planted, sampled()))
    assert (gap * sampled().weight[:, None]).max() < 0.1
    same = [x for x in jax.tree.leaves(jax.tree.map(jnp.array_equal, new, start)) if not x]
    assert len(same) <= len(fill_fit.NAMES)


def test_what_became_of_probes_makes_likelier_what_it_moves():
    with jax.numpy_dtype_promotion("standard"):
        new, told = fill_fit.fit(defaults(graph.Params), [sampled()], CONFIG, ENGINE)
    assert told["end"]["fitted"] > told["start"]["fitted"]
    came = float((sampled().is_filled * sampled().weight[:, None]).sum())
    weight = sampled().weight[:, None]
    said = [float((chances(x, sampled()) * weight).sum()) for x in (defaults(graph.Params), new)]
    assert abs(said[1] - came) < abs(said[0] - came)


def test_nothing_after_the_fitting_part_is_read():
    whole, cut = sampled(), sampled(0.5)
    n = len(cut.is_filled)
    assert 0.4 < n / len(whole.is_filled) < 0.6
    changed = tape().rows.copy()
    half = int(np.searchsorted(np.cumsum(tape().events().dt_s), 210.0))
    changed[half:] = changed[half:][::-1]
    with_changed = dataclasses.replace(tape(), rows=changed)
    dt_s = int(tape().layout.views(np.arange(tape().layout.width, dtype=np.float32)).dt_s)
    changed[:, dt_s] = tape().rows[:, dt_s]
    other = fill_fit.sample(
        with_changed, defaults(graph.Params), RULE, 0.5, CONFIG, ENGINE, takers_have_limits=True
    )
    np.testing.assert_array_equal(other.is_filled, cut.is_filled)
    for a, b in zip(jax.tree.leaves(other.asked), jax.tree.leaves(cut.asked), strict=True):
        np.testing.assert_array_equal(a, b)
