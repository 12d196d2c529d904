"""What only some takers know: without effect as declared, and nearer to V than the mid is."""

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm import belief, core, features, market
from diffmm.belief import private
from diffmm.cli import markets
from diffmm.core import defaults
from diffmm.engine import chunks, graph, loop, probing
from diffmm.simulation import hard_fills
from diffmm.training import apply, restore, save, target, with_private


KNOWN = ("belief.private.follow=1", "belief.private.prints=1", "belief.private.volatility=0.7")
WORLD = (
    *(f"features.{name}=0" for name in ("queue", "flow", "thin", "depth")),
    "features.fair_noise_spread=10",
    "features.mid_noise_spread=10",
    "belief.dynamics.informed_mean=0",
)


def folded(params, stream):
    """Beliefs over a stream, in double precision."""
    see = features.build(bundles.CONFIG.features)
    think = belief.build(bundles.CONFIG.belief)

    def step(carry, event):
        seen_state, seen = see.update(params.features, carry[0], event)
        state, said = think.update(params.belief, carry[1], (event, seen))
        return (seen_state, state), said

    start = see.init(params.features), think.init(params.belief)
    return jax.lax.scan(step, start, stream)[1]


def test_as_declared_it_changes_nothing():
    with jax.enable_x64(True):
        stream = events.stream(200, dtype=np.float64)
        plain = defaults(graph.Params, jnp.float64)
        off = folded(plain, stream)
        on = folded(with_private(plain), stream)
        np.testing.assert_allclose(on.mean, off.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(on.cov, off.cov, rtol=1e-7, atol=1e-9)
        moved = folded(apply(with_private(plain), KNOWN), stream)
        assert np.abs(np.asarray(moved.mean - off.mean))[:, belief.V].max() > 1e-3


def one_event(**trade):
    """A trade beside a resting ask of ours at 5 bp and nothing on the bid."""
    event = jax.tree.map(lambda x: jnp.asarray(x[0]), events.stream(1))
    resting = jnp.zeros_like(event.orders.is_resting).at[market.ASK, 0].set(True)
    orders = dataclasses.replace(
        event.orders, is_resting=resting, price_bp=jnp.full_like(event.orders.price_bp, 5.0)
    )
    trade = dataclasses.replace(event.trade, **{k: jnp.float32(x) for k, x in trade.items()})
    return dataclasses.replace(event, orders=orders, trade=trade, dt_s=jnp.float32(0.1))


@pytest.mark.parametrize(
    ("sign", "price_bp", "usd", "counts"),
    [
        (1.0, 4.0, 100.0, True),
        (1.0, 5.0, 100.0, False),
        (1.0, 6.0, 100.0, False),
        (-1.0, 6.0, 100.0, True),
        (1.0, 4.0, 0.0, False),
    ],
)
def test_a_print_that_came_as_far_as_our_order_is_left_to_the_fill(sign, price_bp, usd, counts):
    event = one_event(sign=sign, price_bp=price_bp, usd=usd)
    assert bool(belief.evidence.short(event)[-1]) == counts


def test_a_move_of_the_mid_is_followed_once_and_anchors_do_not_matter():
    params = apply(with_private(defaults(graph.Params)), KNOWN).belief.private
    modes = belief.gaussian.Gaussian(jnp.zeros((2, 4)), jnp.stack([jnp.eye(4)] * 2))
    event = dataclasses.replace(one_event(), shift_bp=jnp.float32(-30.0))
    at = lambda mid: argparse.Namespace(mid_bp=jnp.float32(mid), has_book=jnp.array(True))
    start = private.State(jnp.float32(31.0), jnp.array(True))
    state, moved = private.carry(params, start, modes, event, at(3.0))
    np.testing.assert_allclose(moved.mean[:, belief.V], 2.0, rtol=1e-6)
    assert float(state.mid_bp) == 3.0
    _, first = private.carry(params, private.init(params), modes, event, at(3.0))
    np.testing.assert_array_equal(first.mean, modes.mean)


def test_a_checkpoint_keeps_it(tmp_path):
    params = apply(with_private(defaults(graph.Params)), KNOWN)
    save(tmp_path / "it", params, {})
    again, _ = restore(tmp_path / "it", target(tmp_path / "it"))
    assert float(again.belief.private.volatility) == pytest.approx(0.7)
    assert not core.violations(again)


@pytest.mark.slow
def test_in_an_informed_market_v_is_nearer_than_the_mid_and_as_near_as_it_says():
    asked = argparse.Namespace(path="informed", seed=100, seeds=1, for_s=1800.0)
    found = markets.find(asked, market.AccountInputs())[0]
    tape, rule = found.tape, defaults(hard_fills.Params)
    fills = hard_fills.Config(tape.layout.slots, takers_have_limits=True)
    config = loop.Config(graph.Config.default(), fills, tape.layout, tape.frame_rows)
    stage = probing.build(config, probing.Grid(), is_priced=False)
    v = found.truth_bp + np.cumsum(np.asarray(tape.events().shift_bp, np.float64))

    def errors(*sets):
        params = apply(with_private(defaults(graph.Params)), sets)
        given = probing.Params(params, rule, jnp.asarray([0.6], jnp.float32))
        pick = lambda out: (
            out.belief.mean[:, 0],
            out.belief.cov[:, 0, 0],
            out.features.mid_bp,
            out.event.wake,
        )
        parts = [pick(x) for _, x in chunks.fold(stage, given, tape, unpack=chunks.as_packed())]
        mean, var, mid, wake = (np.concatenate(x) for x in zip(*parts, strict=True))
        late = wake & (np.arange(len(wake)) > len(wake) // 20)
        square = lambda x: np.square(v - x)[late]
        return square(mean).mean(), square(mid).mean(), np.mean(square(mean) / var[late])

    known, of_mid, normalised = errors(*WORLD, *KNOWN)
    without, _, _ = errors(*WORLD)
    assert known < 0.85 * of_mid
    assert known < 0.85 * without
    assert 0.6 < normalised < 1.6
