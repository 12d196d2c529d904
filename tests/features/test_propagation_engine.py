"""Propagation in the engine: free where it is off, without effect as shipped, and felt where on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
from diffmm import core, features
from diffmm.engine import graph
from diffmm.features import propagation
from diffmm.market import ASK


pytestmark = pytest.mark.slow

OFF = bundles.CONFIG
ON = dataclasses.replace(
    OFF, features=dataclasses.replace(OFF.features, propagation=propagation.Config.small())
)
JUMP, JUMP_BP = 8, -1.0
PARTS = ("belief", "risk", "pricing", "allocation", "execution")


def following(p, **values):
    """The engine's parameters with propagation; `values` are its own."""
    given = features.with_propagation(p.features)
    its = dataclasses.replace(
        given.propagation, **{k: jnp.asarray(v, jnp.float32) for k, v in values.items()}
    )
    return dataclasses.replace(p, features=dataclasses.replace(given, propagation=its))


def stream():
    """The standard market with a jump of the reference, on which our own mid goes half the way."""
    batch = bundles.stream()
    after = np.arange(bundles.ROWS) >= JUMP
    ref = np.asarray(batch.reference.mid_bp) * 0.02 + JUMP_BP * after
    return bundles.replace(batch, reference__mid_bp=ref)


@functools.cache
def off():
    return bundles.trace(bundles.params(), stream())


def on(**values):
    return bundles.engine(ON)(following(bundles.params(), **values), stream())


def edge(trace):
    """Expected edge of what may rest, after the jump and before it is taken in."""
    surface = trace.pricing
    return np.where(surface.is_valid, surface.epnl_usd, 0.0)[JUMP:].sum()


def test_switched_off_there_is_no_leaf_of_it_anywhere():
    p = bundles.params()
    assert not any("propagation" in name for name in bundles.names(p))
    assert features.init(p.features, config=OFF.features).propagation is None
    told = off().features
    assert told.propagation is None
    assert told.informed_shift is None
    assert told.mode_tilt is None


def test_as_declared_every_quote_is_the_same_bit_for_bit_though_there_is_a_move():
    followed, plain = on(), off()
    assert np.asarray(followed.features.propagation.is_onset)[JUMP]
    assert np.asarray(followed.features.propagation.absorbed)[JUMP] == 0
    for part in PARTS:
        pairs = zip(
            jax.tree.leaves(getattr(followed, part)),
            jax.tree.leaves(getattr(plain, part)),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_array_equal(a, b, err_msg=part)


def test_untaken_news_makes_the_next_taker_more_suspect_and_quotes_worth_less():
    plain, wary = on(), on(informed_gain=1.0)
    left = 1 - np.asarray(wary.features.propagation.absorbed)
    more = np.asarray(wary.belief.informed) - np.asarray(plain.belief.informed)
    assert (more[left > 0.05] > 0).all()
    assert edge(wary) < edge(plain)
    # Only fills in between can leave a trace in the filtered state itself.
    assert np.abs(more[:JUMP]).max() == 0


def test_a_fill_amid_untaken_news_says_more_about_v():
    plain, wary = on(), on(informed_gain=1.0)
    apart = np.asarray(wary.belief.mean)[:, 0] - np.asarray(plain.belief.mean)[:, 0]
    assert (apart[: JUMP + 1] == 0).all()
    filled = np.asarray(stream().fill.usd) > 0
    row = next(r for r in range(JUMP + 1, bundles.ROWS) if filled[r].sum() == 1)
    towards = 1.0 if filled[row, ASK] else -1.0
    assert towards * (apart[row] - apart[row - 1]) > 0


def test_untaken_news_makes_local_prices_weigh_less_and_v_less_certain():
    plain, vague = on(), on(noise_gain=1.0)
    after, before = (np.asarray(x.features.precision) for x in (vague, plain))
    np.testing.assert_array_equal(after[:JUMP], before[:JUMP])
    np.testing.assert_array_equal(after[:, 2:], before[:, 2:])
    assert (after[JUMP : JUMP + 3, :2] < 0.99 * before[JUMP : JUMP + 3, :2]).all()
    var = lambda x: np.asarray(x.belief.cov)[JUMP + 1 : JUMP + 6, 0, 0]
    assert (var(vague) > var(plain)).all()
    assert not np.array_equal(vague.pricing.epnl_usd, plain.pricing.epnl_usd)


@pytest.mark.parametrize(("name", "mode"), [("step_tilt", 0), ("reversal_tilt", -1)])
def test_a_shape_tilts_the_modes_and_through_them_the_surface(name, mode):
    plain, tilted = on(), on(**{name: 3.0})
    shape = np.asarray(getattr(plain.features.propagation, name.removesuffix("_tilt")))
    assert shape[JUMP:].max() > 0
    more = np.asarray(tilted.belief.log_mode)[:, mode] - np.asarray(plain.belief.log_mode)[:, mode]
    assert more[-1] > 0
    assert (more[:JUMP] == 0).all()
    assert not np.array_equal(tilted.pricing.epnl_usd, plain.pricing.epnl_usd)


def test_a_gradual_rise_tilts_towards_trending_where_that_mode_runs():
    config = dataclasses.replace(ON, belief=dataclasses.replace(ON.belief, modes=3))

    def fold(p, batch):
        def step(state, event):
            state, seen = graph.observe(p, state, event, config=config)
            return state, seen.belief.log_mode

        return jax.lax.scan(step, graph.init_observing(p, config=config), batch)[1]

    modes = jax.jit(fold)
    plain = np.asarray(modes(following(bundles.params()), stream()))
    tilted = np.asarray(modes(following(bundles.params(), gradual_tilt=3.0), stream()))
    assert tilted[-1, 1] > plain[-1, 1]
    assert tilted[-1, 2] < plain[-1, 2]


def test_a_config_without_its_parameters_is_refused_and_so_is_the_reverse():
    p = bundles.params()
    with pytest.raises(ValueError, match="config without parameters"):
        features.init(p.features, config=ON.features)
    with pytest.raises(ValueError, match="the reverse"):
        features.init(following(p).features, config=OFF.features)


def test_its_parameters_are_declared_and_survive_the_round_trip():
    p = following(bundles.params())
    assert any(name == "features.propagation.delay_s" for name in bundles.names(p))
    assert core.violations(p) == []
    again = core.constrain(core.unconstrain(p))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(p), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
