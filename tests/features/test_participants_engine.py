"""Participants in the engine: free where they are off, and nothing without evidence where on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
from diffmm import belief, core, features
from diffmm.features import participants


pytestmark = pytest.mark.slow

OFF = bundles.CONFIG
ON = dataclasses.replace(
    OFF,
    features=dataclasses.replace(OFF.features, participants=participants.Config.small()),
)


def watching(p, **values):
    """The engine's parameters with participants; `values` are theirs."""
    given = features.with_participants(p.features)
    theirs = dataclasses.replace(
        given.participants,
        **{k: jnp.asarray(v, jnp.float32) for k, v in values.items()},
    )
    return dataclasses.replace(p, features=dataclasses.replace(given, participants=theirs))


@functools.cache
def standard():
    return bundles.trace(bundles.params(), bundles.stream())


def on(**values):
    return bundles.engine(ON)(watching(bundles.params(), **values), bundles.stream())


def test_switched_off_there_is_no_leaf_of_them_anywhere():
    p = bundles.params()
    assert not any("participants" in name for name in bundles.names(p))
    state = features.init(p.features, config=OFF.features)
    assert state.participants is None
    assert standard().features.participants is None


def test_with_zero_precision_every_quote_is_the_same_bit_for_bit():
    watched, plain = on(), standard()
    for part in ("belief", "risk", "pricing", "allocation", "execution"):
        pairs = zip(
            jax.tree.leaves(getattr(watched, part)),
            jax.tree.leaves(getattr(plain, part)),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_array_equal(a, b, err_msg=part)


def test_given_precision_a_withdrawal_makes_the_next_taker_more_suspect():
    calm = on(withdrawal_precision=0.9, withdrawal_gain=0.0).belief
    alarmed = on(withdrawal_precision=0.9, withdrawal_gain=5.0).belief
    assert float(alarmed.informed[-1]) > float(calm.informed[-1])
    assert (np.asarray(alarmed.informed) >= np.asarray(calm.informed)).all()


def test_given_precision_a_widening_moves_the_volatility_that_quotes_are_made_of():
    plain = on(widening_precision=0.9, widening_gain=0.0).belief
    wide = on(widening_precision=0.9, widening_gain=3.0)
    towards = np.asarray(wide.features.participants.widening)
    moved = np.asarray(wide.belief.mean[:, belief.dynamics.LOG_SIGMA])
    moved = moved - np.asarray(plain.mean[:, belief.dynamics.LOG_SIGMA])
    # The last observation pulls towards itself; early rows have little to say.
    assert np.corrcoef(np.cumsum(towards), moved)[0, 1] > 0.5


def test_a_withdrawal_tilts_the_modes_towards_the_crisis():
    plain, tilted = on().belief, on(crisis_gain=2.5).belief
    assert (np.asarray(tilted.log_mode[:, -1]) >= np.asarray(plain.log_mode[:, -1]) - 1e-6).all()
    assert float(tilted.log_mode[-1, -1]) > float(plain.log_mode[-1, -1])


def test_a_config_without_its_parameters_is_refused_and_so_is_the_reverse():
    p = bundles.params()
    with pytest.raises(ValueError, match="config without parameters"):
        features.init(p.features, config=ON.features)
    with pytest.raises(ValueError, match="the reverse"):
        features.init(watching(p).features, config=OFF.features)


def test_their_parameters_are_declared_and_survive_the_round_trip():
    p = watching(bundles.params())
    assert any(name == "features.participants.mixture.memory_s" for name in bundles.names(p))
    assert core.violations(p) == []
    again = core.constrain(core.unconstrain(p))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(p), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
