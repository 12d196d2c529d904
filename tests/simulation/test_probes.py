"""Realised minus predicted PnL of static quotes, in worlds with one cost source at a time."""

import dataclasses
import functools as ft
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest

from diffmm import belief, features, market, pricing, risk
from diffmm.core import defaults
from diffmm.simulation import laws, probes
from diffmm.venues.world_io import load_world


TERMS = probes.Terms(life_s=0.6, holding_s=60.0, maker_fee_bp=1.5, taker_fee_bp=4.5)
DEPTHS_BP = (1.0, 2.0, 4.0, 7.0)
LIVES = 200_000
COST_OF = {"private": "gm", "sniping": "option", "unwinding": "exit", "funding": "carry"}
"""The term that each world's only source is."""
PAID = {"exit": "unwinding_bp", "carry": "funding_bp"}


def world_of(name):
    """A world by name; `all` has every source at once, `jumps` public jumps that are sniped."""
    if name == "jumps":
        base = load_world("sniping")
        market = msgspec.structs.replace(base.market, jump_rate_s=0.03, jump_bp=6.0)
        return msgspec.structs.replace(base, market=market)
    if name != "all":
        return load_world(name)
    one = {x: getattr(load_world(x), x) for x in ("private", "unwinding", "funding")}
    return msgspec.structs.replace(load_world("sniping"), **one)


@pytest.fixture(scope="module")
def surface():
    """`world -> Surface` whose last columns are the probes, with Params at the world's truth."""
    update = jax.jit(ft.partial(pricing.update, config=pricing.Config.small()))

    def evaluate(world):
        with jax.enable_x64(True):
            inputs = truth(world)
            return jax.tree.map(np.asarray, update(inputs[0], pricing.State(), inputs[1])[1])

    return evaluate


def truth(world):
    """Params and inputs of `pricing.update` that state a world's own laws; M = 0, nothing held."""
    f = lambda x: jnp.asarray(x, jnp.float64)
    cast = lambda tree: jax.tree.map(f, tree)
    sigma, half = world.market.volatility_bp, world.makers.half_spread_bp
    unit = half + sigma + 0.5
    at = lambda tree, **values: eqx.tree_at(
        lambda t: [getattr(t, n) for n in values], tree, [f(v) for v in values.values()]
    )
    params = at(
        cast(defaults(pricing.Params)),
        cancel_latency_s=TERMS.life_s / 2,
        wake_interval_s=TERMS.life_s / 2,
        sniping=world.sniping.probability,
        takers_met=1.0,
        # A probe stands from the moment at which the market was seen, and nobody leaves.
        order_latency_s=1e-9,
        queue_erosion=1e-9,
        jump_rate=world.market.jump_rate_s * world.sniping.probability,
        jump_sigmas=world.market.jump_bp / max(sigma, 1.0),
        taking=world.unwinding.share,
        impact=0.0,
    )
    beliefs = at(
        cast(defaults(belief.Params)),
        signal_noise=world.private.noise_bp / unit,
        informed_size=0.0,
    )
    beliefs = eqx.tree_at(lambda b: b.reach.depth_decay, beliefs, f(unit / world.takers.reach_bp))
    share = world.private.informed_share
    logit = math.log(share / (1 - share)) if share > 0 else -60.0
    known = belief.Belief(
        mean=f([0.0, 0.0, 0.0, logit]),
        cov=f(np.diag([world.private.sd_bp**2, 0.0, 0.0, 0.0])),
        log_mode=f([0.0]),
        mode_mean=f(np.zeros((1, 4))),
        mode_var=f([world.private.sd_bp**2]),
        mode_sigma_bp=f([sigma]),
        age_s=f(0.0),
        drift_rate=f(1.0),
        log_scale=f(np.zeros(3)),
        informed=f(share),
        nis=f(0.0),
        log_score=f(0.0),
        is_ready=jnp.array(True),
        health=jnp.zeros((), jnp.uint32),
    )
    seen = features.Features(
        z=f(np.zeros(5)),
        precision=f(np.zeros(5)),
        mid_bp=f(0.0),
        half_spread_bp=f(half),
        index_bp=f(0.0),
        fair_bp=f(0.0),
        sigma_bp=f(sigma),
        move_rate=f(1.0),
        arrival_rate=f([world.takers.rate_s / 2] * 2),
        base_rate=f([world.takers.rate_s / 2] * 2),
        branching=f(0.0),
        arrival_decay=f(1.0),
        trade_usd=f(world.takers.mean_usd),
        volume_usd_s=f(world.takers.mean_usd * world.takers.rate_s),
        has_book=jnp.array(True),
        is_flowing=jnp.array(True),
    )
    budget = risk.RiskBudget(
        position_usd=f(0.0),
        gamma0=f(0.0),
        convexity=f(0.0),
        room_usd=f(1e4),
        variance_bp2=f(0.0),
        holding_s=f(TERMS.holding_s),
        carry_bp=f(1e4 * world.funding.rate_1h * TERMS.holding_s / probes.HOUR_S),
        kelly_usd=f(1e4),
        target_usd=f(0.0),
        flow_log=f(0.0),
        cross_usd=f(0.0),
    )
    return params, (event(world), seen, known, budget, beliefs)


def event(world):
    """A symmetric book about 0 with our probes as our orders, alone in front of everyone."""
    f = lambda x: jnp.asarray(x, jnp.float64)
    n = len(DEPTHS_BP)
    blank = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float64 if x.dtype == np.float32 else x.dtype),
        market.Layout(levels=4, slots=n).blank,
    )
    half = round(world.makers.half_spread_bp)
    out = half + np.arange(4)
    sides = np.stack([-out, out])
    depth = np.stack([-np.array(DEPTHS_BP), np.array(DEPTHS_BP)])
    ones = np.ones((2, n))
    return dataclasses.replace(
        blank,
        book=market.Book(
            jnp.asarray(sides, jnp.int32),
            f(sides),
            f(np.full((2, 4), 1e3)),
            f(np.zeros((2, 4))),
            jnp.ones((2, 4), bool),
        ),
        orders=market.Orders(
            jnp.asarray(np.round(depth), jnp.int32),
            f(depth),
            f(ones),
            f(0 * ones),
            f(0 * ones),
            jnp.ones((2, n), bool),
            jnp.ones((2, n), bool),
        ),
        account=market.Account(
            f(0.0), f(1e5), f(1e4), f(1.0), f(TERMS.maker_fee_bp), f(TERMS.taker_fee_bp), f(0.0)
        ),
        rules=market.Rules(f(1.0), f(1.0), f(10.0)),
    )


def predicted(surface):
    """E[PnL] of every probe in bp of its notional, and its costs as they enter it."""
    last = lambda x: np.broadcast_to(x, surface.fill.shape)[:, -len(DEPTHS_BP) :]
    fill, sniped = last(surface.fill), last(surface.sniped)
    parts = {
        "gm": fill * last(surface.gm_bp),
        "option": last(surface.option_bp),
        "exit": (fill + sniped) * last(surface.exit_bp),
        "carry": (fill + sniped) * last(surface.carry_bp),
        "fee": (fill + sniped) * last(surface.fee_bp),
    }
    pnl = last(surface.epnl_usd) / float(surface.size_usd) * 1e4
    np.testing.assert_allclose(pnl, fill * last(surface.edge_bp) - sum(parts.values()), atol=1e-9)
    return pnl, parts


@pytest.fixture(scope="module")
def outcomes():
    """`name -> {(side, depth): Probes}` of independent lives."""

    @ft.cache
    def run(name):
        return {
            (side, k): probes.probe(world_of(name), TERMS, depth, sign, LIVES, 10 * k + side)
            for side, sign in enumerate((-1, 1))
            for k, depth in enumerate(DEPTHS_BP)
        }

    return run


def errors(values, expected):
    """How far a mean is from what was predicted, in its standard errors."""
    # A source that never struck tells no more than that one bp in one life was not seen.
    spread = max(values.std() / math.sqrt(values.size), 1 / values.size)
    return (values.mean() - expected) / spread


def realised(probe, term):
    """What one cost took, bp of the notional by life."""
    if term == "gm":
        return np.where(probe.filled_by == laws.SNIPER, 0.0, probe.secret_bp)
    if term == "option":
        return np.where(probe.filled_by == laws.SNIPER, probe.moved_bp - probe.edge_bp, 0.0)
    return getattr(probe, PAID[term])


@pytest.mark.parametrize("name", ["none", *COST_OF, "all", "jumps"])
def test_a_static_quote_earns_what_was_predicted(surface, outcomes, name):
    expected, _ = predicted(surface(world_of(name)))
    found = {at: errors(p.pnl_bp, expected[at]) for at, p in outcomes(name).items()}
    assert max(abs(x) for x in found.values()) < 4, found


@pytest.mark.parametrize("name", list(COST_OF))
def test_a_world_s_only_source_is_its_term_and_every_other_term_reads_zero(surface, outcomes, name):
    _, parts = predicted(surface(world_of(name)))
    own = COST_OF[name]
    for term, values in parts.items():
        if term not in (own, "fee"):
            np.testing.assert_allclose(values, 0.0, atol=1e-12, err_msg=term)
    for at, probe in outcomes(name).items():
        for term in COST_OF.values():
            assert abs(errors(realised(probe, term), parts[term][at])) < 4, (term, at)
    # Half of the cost left out would be seen at the depth where it matters most.
    at, probe = (0, 0), outcomes(name)[0, 0]
    assert abs(errors(realised(probe, own), parts[own][at] / 2)) > 4


def test_the_probes_are_the_same_for_the_same_seed_and_differ_by_the_seed():
    run = lambda seed: probes.probe(load_world("private"), TERMS, 2.0, 1, 1000, seed).pnl_bp
    np.testing.assert_array_equal(run(3), run(3))
    assert (run(3) != run(4)).any()
