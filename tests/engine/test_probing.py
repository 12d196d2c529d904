"""Probes are priced by the surface itself, and the market is watched as if they were not there."""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np

import small_run
import small_tape
from diffmm import pricing, risk
from diffmm.engine import chunks, graph, loop, probe_run, probing, run
from diffmm.evaluation import forecast
from diffmm.simulation import hard_fills


GRID = probing.Grid((0.5,), (0.0, 1.0, 3.0))
LIVES_S = (0.6, 2.0)


@ft.cache
def watched():
    params, rule = small_run.params()
    stage = probing.build(small_run.config(), GRID)
    asked = probing.Params(params, rule, jnp.asarray(LIVES_S, jnp.float32))
    rows = small_tape.tape().rows
    return jax.tree.map(np.asarray, run.watch(stage, asked, rows, unpack=lambda x: x))


def test_wakes_are_priced_and_nothing_else():
    wake = np.asarray(small_tape.tape().events().wake)
    found = watched()
    assert (found.is_priced == wake)[20:].all()
    assert not found.fill[~wake].any()


def test_a_probe_has_the_terms_of_an_order_of_ours_at_its_price():
    params, rule = small_run.params()
    config, tape = small_run.config(), small_tape.tape()
    pair, last = (hard_fills.init(rule, config=config.fills), None), None
    pair = (pair[0], graph.init_observing(params, config=config.engine))
    step = jax.jit(ft.partial(loop.observe_row, config=config))
    n = 203
    for vector in tape.rows[: n + 1]:
        pair, (seen, last, _) = step(params, rule, pair, vector)
    assert bool(last.wake)
    found = watched()
    ours = dataclasses.replace(
        last.orders,
        ticks=jnp.asarray(found.ticks[n][:, :2]),
        price_bp=jnp.asarray(found.price_bp[n][:, :2]),
        ahead_usd=jnp.asarray(found.ahead_usd[n][:, :2]),
        is_live=jnp.ones((2, 2), bool),
        age_s=jnp.zeros((2, 2)),
    )
    event = dataclasses.replace(last, orders=ours)
    inputs = event, seen.features, seen.belief
    budget = risk.update(
        params.risk,
        risk.init(params.risk, config=config.engine.risk),
        inputs,
        config=config.engine.risk,
    )[1]
    longer = dataclasses.replace(
        params.pricing, wake_interval_s=LIVES_S[1] - params.pricing.cancel_latency_s
    )
    for k, p in enumerate((params.pricing, longer)):
        _, s = pricing.update(
            p, pricing.State(), (*inputs, budget, params.belief), config=config.engine.pricing
        )
        np.testing.assert_allclose(s.tau_s, LIVES_S[k], rtol=1e-5)
        for name in ("fill", "sniped", "edge_bp", "gm_bp", "option_bp"):
            mine = np.asarray(getattr(s, name))[:, -2:]
            np.testing.assert_allclose(
                getattr(found, name)[n, k][:, :2], mine, rtol=2e-3, atol=1e-5, err_msg=name
            )
        epnl = 1e4 * np.asarray(s.epnl_usd)[:, -2:] / float(s.size_usd)
        np.testing.assert_allclose(found.epnl_bp[n, k][:, :2], epnl, rtol=5e-3, atol=1e-4)


def test_prices_go_outwards_from_inside_the_spread_and_repeat_only_where_marked():
    event, found = small_tape.tape().events(), watched()
    at = found.is_priced
    out = np.stack([-found.ticks[at][:, 0], found.ticks[at][:, 1]], axis=1)
    touch = np.asarray(event.book.ticks)[at][:, :, 0]
    assert (out[:, :, 1] == np.stack([-touch[:, 0], touch[:, 1]], axis=1)).all()
    assert (np.diff(out, axis=2) >= 0).all()
    assert (found.is_valid[at][:, :, 1:] == (np.diff(out, axis=2) > 0)).all()
    # None crosses the opposite touch.
    assert (out[:, :, 0] > -np.stack([touch[:, 1], -touch[:, 0]], axis=1) * [1, 1]).all()
    assert (np.diff(found.ahead_usd[at], axis=2) >= 0).all()


def test_a_longer_life_is_filled_more_often():
    found = watched()
    at = found.is_priced
    assert (found.fill[at][:, 1] >= found.fill[at][:, 0]).all()


def test_a_tape_in_chunks_is_the_tape():
    params, rule = small_run.params()
    stage = probing.build(small_run.config(), GRID)
    asked = probing.Params(params, rule, jnp.asarray(LIVES_S, jnp.float32))
    parts = chunks.fold(stage, asked, small_tape.tape(), unpack=chunks.as_packed(), rows=150)
    for a, b in zip(jax.tree.leaves(chunks.whole(parts)), jax.tree.leaves(watched()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_run_over_a_tape_keeps_the_parts_apart_and_every_probe_whole():
    params, rule = small_run.params()
    tape = small_tape.tape(800)
    known = forecast.path(tape)
    config = probe_run.Config(GRID, warm_s=5.0, splits=(0.5,), on_touch=(False,))
    window = probe_run.Window(40.0, 70.0)
    marks = probe_run.marks_at_mid(known, 5.0)
    out, told = probe_run.run_probes(
        tape,
        params,
        rule,
        marks,
        LIVES_S,
        window,
        config=config,
        engine=small_run.config().engine,
        takers_have_limits=False,
    )
    assert told["size_usd"] > 0
    for life_s in LIVES_S:
        o = out[probe_run.Rule(life_s, False, 0.5)]
        assert 0 < o.is_filled.sum() < len(o.p)
        known_s = o.time_s + 0.35 + life_s + config.slack_s + 5.0
        assert known_s[o.is_scored].max() <= 70
        assert known_s[~o.is_scored].max() <= 40
        assert o.time_s[o.is_scored].min() >= 40
        assert (o.share <= 1).all()
        assert ((o.share > 0) == (o.is_filled > 0)).all()
