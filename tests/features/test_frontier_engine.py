"""The frontier in the engine: free where off, without effect as shipped, and felt where on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
from diffmm import core, features
from diffmm.features import frontier, participants
from diffmm.market import Kind


pytestmark = pytest.mark.slow

OFF = bundles.CONFIG
ON = dataclasses.replace(
    OFF, features=dataclasses.replace(OFF.features, frontier=frontier.Config.small())
)
PARTS = ("belief", "risk", "pricing", "allocation", "execution")


def mapping(p, **values):
    """The engine's parameters with the frontier; `values` are its own."""
    given = features.with_frontier(p.features)
    its = dataclasses.replace(
        given.frontier, **{k: jnp.asarray(v, jnp.float32) for k, v in values.items()}
    )
    return dataclasses.replace(p, features=dataclasses.replace(given, frontier=its))


def stream():
    """The standard market, and open interest that grows at a leverage that is soon liquidated."""
    kind = np.where(np.arange(bundles.ROWS) % 2, int(Kind.CONTEXT), int(Kind.BOOK))
    interest = 1e7 * (1 + np.arange(bundles.ROWS) / 5)
    return bundles.replace(
        bundles.stream(), kind=kind.astype(np.int32), context__open_interest_usd=interest
    )


@functools.cache
def off():
    return bundles.trace(bundles.params(), stream())


def on(**values):
    near = {"maintenance": (1e-3, 1e-3), "leverage": (300.0,) * 5, "impact_distance": 500.0}
    return bundles.engine(ON)(mapping(bundles.params(), **near, **values), stream())


def test_switched_off_there_is_no_leaf_of_it_anywhere():
    p = bundles.params()
    assert not any("frontier" in name for name in bundles.names(p))
    assert features.init(p.features, config=OFF.features).frontier is None
    assert off().features.frontier is None


def test_as_declared_every_quote_is_the_same_bit_for_bit_though_a_frontier_is_near():
    mapped, plain = on(), off()
    assert float(mapped.features.frontier.proximity[-1].min()) > 0.3
    for part in PARTS:
        pairs = zip(
            jax.tree.leaves(getattr(mapped, part)),
            jax.tree.leaves(getattr(plain, part)),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_array_equal(a, b, err_msg=part)


def test_a_frontier_that_is_near_moves_mass_to_the_crisis_and_through_it_the_surface():
    plain, wary = on(), on(proximity_tilt=0.9)
    before, after = (np.asarray(x.belief.log_mode)[:, -1] for x in (plain, wary))
    assert (after >= before - 1e-6).all()
    assert after[-1] > before[-1]
    assert not np.array_equal(wary.pricing.epnl_usd, plain.pricing.epnl_usd)


def test_its_tilt_is_added_to_what_the_participants_say():
    config = dataclasses.replace(OFF.features, participants=participants.Config.small())
    both = dataclasses.replace(config, frontier=frontier.Config.small())

    def fold(given, config):
        def step(state, event):
            return features.update(given, state, event, config=config)

        told = jax.lax.scan(step, features.init(given, config=config), stream())[1]
        return told

    p = features.with_participants(mapping(bundles.params(), proximity_tilt=0.9).features)
    gained = dataclasses.replace(p.participants, crisis_gain=jnp.asarray(1.5, jnp.float32))
    p = dataclasses.replace(p, participants=gained)
    told = jax.jit(lambda p: fold(p, both))(p)
    expected = told.participants.crisis_tilt + told.frontier.crisis_tilt
    np.testing.assert_array_equal(told.crisis_tilt, expected)
    assert float(np.abs(told.participants.crisis_tilt).max()) > 0


def test_a_config_without_its_parameters_is_refused_and_so_is_the_reverse():
    p = bundles.params()
    with pytest.raises(ValueError, match="config without parameters"):
        features.init(p.features, config=ON.features)
    with pytest.raises(ValueError, match="the reverse"):
        features.init(mapping(p).features, config=OFF.features)


def test_its_parameters_are_declared_and_survive_the_round_trip():
    p = mapping(bundles.params())
    assert any(name == "features.frontier.leverage_logit" for name in bundles.names(p))
    assert core.violations(p) == []
    again = core.constrain(core.unconstrain(p))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(p), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
