import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.core import all_finite, flag, Health, numerics, where


@pytest.mark.parametrize("fn", [numerics.safe_sqrt, numerics.safe_log])
@pytest.mark.parametrize("x", [-1.0, 0.0, 1e-30, 1e30])
def test_value_and_gradient_are_finite_at_extremes(fn, x):
    value, grad = jax.value_and_grad(fn)(jnp.float32(x))
    assert np.isfinite(value)
    assert np.isfinite(grad)


def test_log_weights_sum_to_one_and_keep_gradients_when_one_is_impossible():
    logs = jnp.array([0.0, -jnp.inf, -1.0], jnp.float32)
    np.testing.assert_allclose(jnp.sum(jnp.exp(numerics.log_normalise(logs))), 1.0, rtol=1e-6)
    grad = jax.grad(lambda x: numerics.log_normalise(logs + x)[2])(jnp.zeros(3, jnp.float32))
    assert np.isfinite(grad).all()


def test_smooth_abs_is_zero_at_zero_and_tends_to_abs():
    scale = jnp.float32(0.1)
    assert float(numerics.smooth_abs(jnp.float32(0.0), scale)) == 0.0
    np.testing.assert_allclose(numerics.smooth_abs(jnp.float32(-50.0), scale), 49.9, rtol=1e-4)


def test_health_bits_combine_and_only_nonfinite_numbers_are_fatal():
    word = flag(jnp.array(True), Health.NO_BOOK) | flag(jnp.array(False), Health.CROSSED_BOOK)
    assert Health(int(word)) == Health.NO_BOOK
    assert not Health(int(word)).is_fatal
    assert Health(int(word) | Health.NONFINITE_BELIEF).is_fatal


def test_a_tree_with_one_nan_is_not_finite_and_select_keeps_structure():
    good = {"a": jnp.ones(2), "n": jnp.array(3)}
    bad = {"a": jnp.array([1.0, jnp.nan]), "n": jnp.array(3)}
    assert bool(all_finite(good))
    assert not bool(all_finite(bad))
    assert bool(all_finite(where(jnp.array(True), good, bad)))
