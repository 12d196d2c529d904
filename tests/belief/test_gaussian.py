"""The square-root filter against published Kalman numbers and textbook algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.belief.gaussian import condition, from_points, Gaussian, measure, points
from diffmm.belief.imm import mix, moments


NORMAL = 1e13
"""Degrees of freedom at which the Student-t weight is one to working precision."""


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def gaussian(mean, cov):
    return Gaussian(jnp.array(mean, jnp.float64), jnp.linalg.cholesky(jnp.array(cov, jnp.float64)))


def predict(g, transition, noise):
    root = jnp.linalg.cholesky(jnp.array(noise, jnp.float64))
    return from_points(jnp.array(transition, jnp.float64) @ points(g), root)


def log_density(log_likelihood, r):
    """Ours leaves out the constant `log(2 pi R) / 2`."""
    return log_likelihood - jnp.log(2 * jnp.pi * r) / 2


def observe(g, z, r):
    g, value, nis = measure(g, 0, jnp.float64(z), jnp.float64(1 / r), jnp.float64(NORMAL))
    return g, log_density(value, r), nis


def test_the_filter_is_the_kalman_filter_on_a_linear_model(oracles):
    case = oracles["kf_equals_ukf_linear"]
    given, expected = case["inputs"], case["expected"]
    g, total = gaussian(given["x0"], np.diag(given["P0"])), 0.0
    for z in given["z"]:
        g, value, _ = observe(predict(g, given["F"], given["Q"]), z, given["R"])
        total += value
    np.testing.assert_allclose(g.mean, expected["x"], rtol=1e-9)
    np.testing.assert_allclose(g.cov, expected["P"], rtol=1e-9)
    np.testing.assert_allclose(total, expected["loglik"], rtol=1e-9)


def test_two_interacting_modes_are_the_published_ones(oracles):
    case = oracles["imm_two_mode"]
    given, expected = case["inputs"], case["expected"]
    one = gaussian(given["x0"], np.diag(given["P0"]))
    modes = jax.tree.map(lambda x: jnp.stack([x, x]), one)
    log_mode, total = jnp.log(jnp.array(given["mu0"], jnp.float64)), 0.0
    for z, path in zip(given["z"], expected["mu_path"], strict=True):
        modes, predicted = mix(modes, log_mode, jnp.array(given["M"], jnp.float64))
        each = []
        for j, noise in enumerate(given["Q_modes"]):
            g = jax.tree.map(lambda x, j=j: x[j], modes)
            each.append(observe(predict(g, given["F"], noise), z, given["R"])[:2])
        modes = jax.tree.map(lambda a, b: jnp.stack([a, b]), each[0][0], each[1][0])
        joint = predicted + jnp.stack([value for _, value in each])
        step = jax.nn.logsumexp(joint)
        log_mode, total = joint - step, total + step
        np.testing.assert_allclose(jnp.exp(log_mode), path, rtol=1e-9)
    mean, cov = moments(modes, log_mode)
    np.testing.assert_allclose(mean, expected["x"], rtol=1e-9)
    np.testing.assert_allclose(cov, expected["P"], rtol=1e-9)
    np.testing.assert_allclose(total, expected["loglik"], rtol=1e-9)


def test_identical_modes_are_one_filter():
    one = gaussian([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]])
    modes = jax.tree.map(lambda x: jnp.stack([x, x]), one)
    move = jnp.array([[0.9, 0.1], [0.3, 0.7]])
    mixed, log_mode = mix(modes, jnp.log(jnp.array([0.2, 0.8])), move)
    np.testing.assert_allclose(mixed.mean, modes.mean, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(lambda g: g.cov)(mixed)[0], one.cov, rtol=1e-12)
    np.testing.assert_allclose(jnp.exp(log_mode), [0.2 * 0.9 + 0.8 * 0.3, 0.2 * 0.1 + 0.8 * 0.7])


def test_conditioning_one_component_is_joseph_s_form_for_the_others():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(4, 4))
    g = gaussian(rng.normal(size=4), half @ half.T + 0.1 * np.eye(4))
    for i, wanted in ((0, 0.3), (2, 5.0)):
        new = condition(g, i, jnp.float64(1.5), jnp.float64(wanted))
        gain = np.asarray(g.cov[:, i] / g.cov[i, i])
        mean = np.asarray(g.mean) + gain * (1.5 - float(g.mean[i]))
        cov = np.asarray(g.cov) - np.outer(gain, gain) * (float(g.cov[i, i]) - wanted)
        np.testing.assert_allclose(new.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(new.cov, cov, rtol=1e-10, atol=1e-12)


def test_no_precision_changes_nothing_and_much_precision_takes_the_observation():
    g = gaussian([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]])
    tail = jnp.float64(5.0)
    same, value, nis = measure(g, 0, jnp.float64(9.0), jnp.float64(0.0), tail)
    np.testing.assert_array_equal(same.mean, g.mean)
    np.testing.assert_allclose(same.cov, g.cov, rtol=1e-15)
    assert (float(value), float(nis)) == (0, 0)
    taken, _, _ = measure(g, 0, jnp.float64(9.0), jnp.float64(1e12), jnp.float64(NORMAL))
    np.testing.assert_allclose(taken.mean[0], 9.0, rtol=1e-9)
    assert float(taken.cov[0, 0]) < 1e-11


def test_an_outlier_weighs_less_than_a_normal_filter_would_give_it():
    g = gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    far = jnp.float64(20.0)
    robust, _, _ = measure(g, 0, far, jnp.float64(1.0), jnp.float64(5.0))
    plain, _, _ = measure(g, 0, far, jnp.float64(1.0), jnp.float64(NORMAL))
    assert float(plain.mean[0]) == pytest.approx(10.0)
    assert 0 < float(robust.mean[0]) < 2.0


def test_a_single_precision_covariance_stays_positive_where_the_naive_update_does_not(oracles):
    """The stiff case of Joseph's form: variances 1e6 and 1, noise 1e-4, fifty updates."""
    given = oracles["joseph_float32"]["inputs"]
    with jax.enable_x64(False):
        turn = jnp.array([[0.6, -0.8], [0.8, 0.6]], jnp.float32)
        g = Gaussian(jnp.zeros(2), turn @ jnp.diag(jnp.sqrt(jnp.array(given["P0"], jnp.float32))))
        naive = np.asarray(g.cov)
        for _ in range(given["steps"]):
            one = jnp.float32
            g, _, _ = measure(g, 0, one(0), one(1 / given["R"]), one(1e9))
            gain = naive[:, :1] / (naive[0, 0] + np.float32(given["R"]))
            naive = naive - gain @ naive[:1]
    root = np.asarray(g.root, float)
    assert np.linalg.eigvalsh(root @ root.T).min() > 0
    assert np.linalg.eigvalsh(naive.astype(float)).min() <= 0


def test_three_nodes_give_the_published_moments_of_a_lognormal(oracles):
    from diffmm.belief.evidence import NODES, WEIGHTS

    case = oracles["ukf_exp_transform"]
    m, p = case["inputs"]["m"], case["inputs"]["P"]
    values = np.exp(m + np.sqrt(p) * np.array(NODES))
    mean = np.dot(WEIGHTS, values)
    np.testing.assert_allclose(mean, case["expected"]["mean"], rtol=1e-10)
    np.testing.assert_allclose(
        np.dot(WEIGHTS, (values - mean) ** 2), case["expected"]["var"], rtol=1e-9
    )
