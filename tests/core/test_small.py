import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from diffmm.core import small


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def spd(n, seed):
    a = np.random.default_rng(seed).normal(size=(n, n + 2))
    return a @ a.T


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_cholesky_and_both_substitutions_agree_with_the_library(n):
    a, b = spd(n, n), np.arange(1.0, n + 1)
    factor = small.cholesky(jnp.asarray(a))
    np.testing.assert_allclose(factor, np.linalg.cholesky(a), rtol=1e-12, atol=1e-14)
    x = small.solve_upper(factor, small.solve_lower(factor, jnp.asarray(b)))
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-9)


def test_square_root_of_columns_equals_the_sign_fixed_qr_factor():
    columns = np.random.default_rng(3).normal(size=(4, 12))
    r = np.linalg.qr(columns.T, mode="r")
    expected = (r * np.sign(np.diagonal(r))[:, None]).T
    np.testing.assert_allclose(small.square_root(jnp.asarray(columns)), expected, rtol=1e-10)


@pytest.mark.parametrize("dt_s", [0.0, 1e-3, 0.25, 3.0, 60.0])
def test_transition_equals_expm_and_two_halves_make_one(dt_s):
    g = np.array([[-0.02, 0.015, 0.005], [0.1, -0.12, 0.02], [0.05, 0.25, -0.3]])
    full = small.transition(jnp.asarray(g), jnp.asarray(dt_s))
    half = small.transition(jnp.asarray(g), jnp.asarray(dt_s / 2))
    np.testing.assert_allclose(full, scipy.linalg.expm(g * dt_s), atol=1e-9)
    np.testing.assert_allclose(half @ half, full, atol=1e-9)
    np.testing.assert_allclose(np.sum(full, axis=1), 1.0, atol=1e-14)


def test_transition_of_no_exits_is_the_identity_with_a_finite_gradient():
    zero = jnp.zeros((3, 3))
    np.testing.assert_allclose(small.transition(zero, jnp.asarray(1.0)), np.eye(3))
    grad = jax.grad(lambda g: small.transition(g, jnp.asarray(1.0))[0, 1])(zero)
    assert np.isfinite(grad).all()


def test_a_matrix_that_is_not_positive_definite_gives_nan_not_a_wrong_number():
    assert np.isnan(small.cholesky(jnp.array([[1.0, 2.0], [2.0, 1.0]]))).any()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_gradient_of_running_sums_is_the_one_of_a_plain_sum(reverse):
    x, weight = (jax.random.normal(jax.random.key(k), (2, 7)) for k in range(2))
    turn = (lambda y: jnp.flip(y, 1)) if reverse else (lambda y: y)
    ours = jax.grad(lambda x: jnp.sum(weight * small.running(x, 1, reverse=reverse)))(x)
    plain = jax.grad(lambda x: jnp.sum(weight * turn(jnp.cumsum(turn(x), axis=1))))(x)
    np.testing.assert_allclose(ours, plain, rtol=1e-5)
