"""The ladder as one order, and the smooth choice between it and what stands."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
from diffmm.execution import soft


AROUND = 3.0


@pytest.fixture
def given():
    """Prices of the candidates and of one order of ours, and sizes on two levels a side."""
    t = bundles.standard(False)
    surface, sizes = (jax.tree.map(lambda x: x[6], x) for x in (t.pricing, t.allocation))
    zero = jnp.zeros_like(sizes.size_usd)
    sizes = dataclasses.replace(
        sizes,
        size_usd=zero.at[:, 1].set(100.0).at[:, 3].set(400.0),
        gain_usd=zero.at[:, 1].set(3.0).at[:, 3].set(1.0),
    )
    worth = jnp.ones_like(surface.epnl_usd).at[:, zero.shape[1]].set(0.5)
    return dataclasses.replace(surface, epnl_usd=worth * surface.size_usd), sizes


def standing(usd):
    one = jnp.ones(2, jnp.float64) if jax.config.jax_enable_x64 else jnp.ones(2, jnp.float32)
    return soft.Standing(AROUND + 5 * one, usd * one)


def test_the_order_is_the_mean_of_the_levels_by_their_gain(given):
    surface, sizes = given
    new = soft.replace(surface, sizes, standing(0.0), jnp.float32(AROUND), None)
    price = 0.75 * surface.price_bp[:, 1] + 0.25 * surface.price_bp[:, 3]
    np.testing.assert_allclose(new.usd, 175.0, rtol=1e-5)
    np.testing.assert_allclose(new.price_bp, price, rtol=1e-5, atol=1e-4)


def test_levels_that_do_not_pay_a_message_leave_no_order(given):
    surface, sizes = given
    poor = dataclasses.replace(sizes, gain_usd=sizes.gain_usd * sizes.message_usd * 1e-4)
    new = soft.replace(surface, poor, standing(0.0), jnp.float32(AROUND), None)
    assert float(jnp.max(new.usd)) < 0.1


@pytest.mark.parametrize(("usd", "stays"), [(300.0, False), (400.0, True)])
def test_an_order_stays_while_what_it_loses_is_below_a_message(given, usd, stays):
    """The target is worth 175 USD, and half of the standing order's size is its worth."""
    surface, sizes = given
    new = soft.replace(surface, sizes, standing(usd), jnp.float32(AROUND), None)
    np.testing.assert_allclose(new.usd, usd if stays else 175.0, rtol=1e-5)
    assert bool(jnp.all(jnp.abs(new.price_bp - AROUND - 5) < 1e-4)) == stays


def test_the_choice_becomes_the_hard_one_as_the_temperature_goes_to_zero():
    loss = jnp.array([-1.0, 0.0, 0.9e-3, 1.1e-3, 5.0], jnp.float32)
    message = jnp.float32(1e-3)
    old = jnp.full_like(loss, 1e-3)
    hard = soft.kept(message, old + loss, old, None)
    np.testing.assert_array_equal(hard, [1, 1, 1, 0, 0])
    np.testing.assert_allclose(
        soft.kept(message, old + loss, old, jnp.float32(1e-3)), hard, atol=1e-6
    )
    gap = jnp.abs(soft.kept(message, old + loss, old, jnp.float32(0.1)) - hard)
    assert 0.1 < float(jnp.max(gap)) < 0.5
