"""Reference policies in the engine's place: same tape, same fill rule, same latencies."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import small_run
import small_tape
from diffmm import core
from diffmm.engine import loop
from diffmm.policies import glft, quoting


SIZE_USD, MOST = 300.0, 8


def wide(depth_bp):
    """A fixed distance from the mid on both sides."""

    def quote(seen, event):
        depth = jnp.full_like(seen.features.mid_bp, depth_bp)
        size = jnp.full_like(depth, SIZE_USD)
        return quoting.place(event, seen.features.mid_bp, depth, depth, size)

    return quote


def by_glft(aversion):
    p = core.defaults(glft.Params)
    p = dataclasses.replace(
        p,
        rate=jnp.float32(0.5),
        decay=jnp.float32(0.6),
        sigma=jnp.float32(1.0),
        aversion=jnp.float32(aversion),
    )
    table = glft.depths(p, MOST)

    def quote(seen, event):
        size = jnp.full_like(seen.features.mid_bp, SIZE_USD)
        bid, ask = quoting.at_inventory(table, event.account.position_usd, size)
        return quoting.place(event, seen.features.mid_bp, bid, ask, size)

    return quote


@functools.cache
def run(policy):
    params, rule = small_run.params()
    frames = small_tape.tape().frames()
    out = loop.rival(params, rule, frames, policy=policy, config=small_run.config())
    return jax.tree.map(np.asarray, out)


NEAR, FAR, CALM, AFRAID = wide(0.5), wide(40.0), by_glft(0.001), by_glft(0.5)


def held(policy):
    lots = run(policy)[0].lots
    return np.cumsum((lots[..., 0] - lots[..., 1]).ravel())


def test_a_quote_nearer_to_the_mid_trades_more_and_one_far_away_never():
    assert run(NEAR)[0].lots.sum() > 0
    assert run(FAR)[0].lots.sum() == 0
    ticks, lots = run(FAR)[1]
    assert (lots[5:, :, 0] > 0).mean() > 0.9
    assert (lots[..., 1:] == 0).all()
    quoted = (lots[:, :, 0] > 0).all(axis=1)
    assert (ticks[quoted, 0, 0] < ticks[quoted, 1, 0]).all()


def test_a_maker_who_fears_inventory_holds_less_of_it():
    assert run(CALM)[0].lots.sum() > 0
    # On average: the most either holds is an order or two, whole or cut short.
    assert np.abs(held(AFRAID)).mean() < 0.6 * np.abs(held(CALM)).mean()
    # A fill may come while the cancel of another flies, never more than that.
    tape = small_tape.tape()
    lot_usd = float(tape.events().rules.lot_usd[-1])
    assert np.abs(held(CALM)).max() * lot_usd <= (MOST + 2) * SIZE_USD


def test_the_same_policy_twice_trades_the_same_to_the_last_lot():
    params, rule = small_run.params()
    frames = small_tape.tape().frames()
    again = loop.rival(params, rule, frames, policy=NEAR, config=small_run.config())
    np.testing.assert_array_equal(again[0].lots, run(NEAR)[0].lots)


@pytest.mark.parametrize("cut", [20])
def test_the_future_leaves_its_past_as_it_was(cut):
    params, rule = small_run.params()
    frames = np.array(small_tape.tape().frames())
    frames[cut:] = frames[cut : cut + 1]
    other = loop.rival(params, rule, frames, policy=NEAR, config=small_run.config())
    np.testing.assert_array_equal(other[0].lots[:cut], run(NEAR)[0].lots[:cut])
    np.testing.assert_array_equal(other[1][0][:cut], run(NEAR)[1][0][:cut])
