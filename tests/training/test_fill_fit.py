"""The fill model by likelihood: planted parameters are found from what became of probes."""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.core import defaults
from diffmm.engine import graph, probe_run
from diffmm.evaluation import forecast
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
    return sample_of(tape(), to)


def sample_of(some, to):
    """A world's sample; its mid stands for V, of which only the law of the edges speaks."""
    truth = forecast.path(some).mid_bp
    return fill_fit.sample(some, defaults(graph.Params), RULE, to, CONFIG, ENGINE, truth_bp=truth)


def chances(params, one):
    lives = jnp.asarray(fill_fit.lives_of(params, CONFIG), jnp.float32)
    depths = one.weight.shape[-1]
    fn = lambda asked: fill_fit.outcome(params, lives, asked, depths, ENGINE)[0]
    return np.asarray(jax.jit(jax.vmap(fn))(one.asked))


def test_planted_parameters_are_found_from_what_became_of_the_probes():
    start = defaults(graph.Params)
    planted = apply(start, PLANTED)
    rng, samples = np.random.default_rng(0), []
    for _ in range(6):
        p = chances(planted, sampled())
        filled = rng.random(p.shape) < p
        samples.append(dataclasses.replace(sampled(), is_filled=filled, has_truth=False))
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


def test_planted_edges_are_found_from_what_fills_were_worth():
    start = defaults(graph.Params)
    planted = apply(start, ("belief.dynamics.informed_mean=0.5", "belief.signal_noise=0.6"))
    lives = jnp.asarray(fill_fit.lives_of(start, CONFIG), jnp.float32)
    depths = sampled().weight.shape[-1]
    told = lambda asked: fill_fit.outcome(
        planted, lives, fill_fit._told(asked, start, planted), depths, ENGINE
    )
    p, worth = map(np.asarray, jax.jit(jax.vmap(told))(sampled().asked))
    rng, samples = np.random.default_rng(1), []
    for _ in range(6):
        filled = rng.random(p.shape) < p
        edge = np.where(filled, worth + 0.3 * rng.standard_normal(p.shape), 0.0)
        one = dataclasses.replace(sampled(), is_filled=filled, edge_bp=edge.astype(np.float32))
        samples.append(one)
    with jax.numpy_dtype_promotion("standard"):
        new, _ = fill_fit.fit(start, samples, CONFIG, ENGINE)
    p_new, worth_new = map(
        np.asarray,
        jax.jit(
            jax.vmap(
                lambda asked: fill_fit.outcome(
                    new, lives, fill_fit._told(asked, start, new), depths, ENGINE
                )
            )
        )(sampled().asked),
    )
    counts = (sampled().weight > 0)[:, None] & (p > 0.05)
    off = lambda x: np.sqrt(np.mean(np.square(x - worth)[counts]))
    with_start = np.asarray(
        jax.jit(jax.vmap(lambda asked: fill_fit.outcome(start, lives, asked, depths, ENGINE)[1]))(
            sampled().asked
        )
    )
    assert off(worth_new) < off(with_start) / 4
    assert np.abs(p_new - p)[counts].max() < 0.1


def test_recordings_and_worlds_are_not_fitted_together():
    recorded = dataclasses.replace(sampled(), has_truth=False)
    with pytest.raises(ValueError, match="fit them apart"):
        fill_fit.fit(defaults(graph.Params), [sampled(), recorded], CONFIG, ENGINE)


def test_what_became_of_probes_makes_likelier_what_it_moves():
    with jax.numpy_dtype_promotion("standard"):
        one = dataclasses.replace(sampled(), has_truth=False)
        new, told = fill_fit.fit(defaults(graph.Params), [one], CONFIG, ENGINE)
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
    other = sample_of(with_changed, 0.5)
    np.testing.assert_array_equal(other.is_filled, cut.is_filled)
    for a, b in zip(jax.tree.leaves(other.asked), jax.tree.leaves(cut.asked), strict=True):
        np.testing.assert_array_equal(a, b)
