"""The Hawkes recursion against the published likelihood, its gradient and its intensity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.features import hawkes


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def published(case):
    given = case["inputs"]
    numbers = [jnp.float64(given[k]) for k in ("T", "mu", "alpha_jump", "beta")]
    return jnp.array(given["t"], jnp.float64), *numbers


def test_the_log_likelihood_and_its_gradient_are_the_published_ones(oracles):
    case = oracles["hawkes_exp_loglik"]
    times, end, *theta = published(case)
    value, gradient = jax.value_and_grad(hawkes.log_likelihood, argnums=(2, 3, 4))(
        times, end, *theta
    )
    np.testing.assert_allclose(value, case["expected"]["loglik"], rtol=1e-10)
    np.testing.assert_allclose(gradient, case["expected"]["grad_mu_alpha_beta"], rtol=1e-8)


def test_compensators_and_the_present_intensity_are_the_published_ones(oracles):
    case = oracles["hawkes_exp_loglik"]
    times, end, mu, alpha, beta = published(case)
    excitation, last, total, seen = jnp.float64(0), jnp.float64(0), 0.0, []
    for time in times:
        total += hawkes.compensator(mu, excitation, alpha, beta, time - last)
        excitation = hawkes.decay(excitation, beta, time - last) + 1
        last = time
        seen.append(float(total))
    np.testing.assert_allclose(seen, case["expected"]["compensator_at_events"], rtol=1e-10)
    # Branching n = alpha / beta; the base of `intensity` is the long-run rate mu / (1 - n).
    n = alpha / beta
    now = hawkes.intensity(mu / (1 - n), hawkes.decay(excitation, beta, end - last), n, beta)
    np.testing.assert_allclose(now, case["expected"]["intensity_at_T"], rtol=1e-10)


def test_without_excitation_the_likelihood_is_that_of_a_poisson_process():
    times, end = jnp.array([0.3, 0.9, 2.0]), jnp.float64(4.0)
    value = hawkes.log_likelihood(times, end, jnp.float64(0.7), jnp.float64(0.0), jnp.float64(1.5))
    np.testing.assert_allclose(value, 3 * np.log(0.7) - 0.7 * 4.0, rtol=1e-12)


def test_another_unit_of_time_moves_the_likelihood_by_the_jacobian_alone():
    times, end, c = jnp.array([0.3, 0.9, 2.0]), jnp.float64(4.0), 7.0
    mu, alpha, beta = jnp.float64(0.5), jnp.float64(0.6), jnp.float64(1.5)
    direct = hawkes.log_likelihood(times, end, mu, alpha, beta)
    other = hawkes.log_likelihood(c * times, c * end, mu / c, alpha / c, beta / c)
    np.testing.assert_allclose(other, direct - 3 * np.log(c), rtol=1e-12)


@pytest.mark.parametrize(
    ("after", "off"),
    # Counted from later, those who came in between have drawn others in numbers that differ from
    # history to history: with their mean in their place the chance is said too small.
    [(0.0, 0.0), (0.8, 0.03)],
)
def test_the_chance_that_nobody_comes_is_that_of_simulated_histories(after, off):
    # After two events just now, by thinning.
    base, branching, beta, span = 0.4, 0.6, 1.5, 2.0
    calm, rate = (1 - branching) * base, (1 - branching) * base + branching * beta * 2.0
    with jax.enable_x64(True):
        given = (base, branching, jnp.float64(beta), jnp.float64(after), jnp.float64(span))
        said = float(jnp.exp(-hawkes.expected(rate, *given)))
    rng, nobody, runs = np.random.default_rng(4), 0, 20_000
    for _ in range(runs):
        t, excess = 0.0, rate - calm
        while True:
            top = calm + excess
            wait = rng.exponential(1 / top)
            t, excess = t + wait, excess * np.exp(-beta * wait)
            if t >= after + span:
                nobody += 1
                break
            if rng.random() * top <= calm + excess:
                if t >= after:
                    break
                excess += branching * beta
    error = 3 * np.sqrt(said / runs)
    assert said - error <= nobody / runs <= said + off + error
    assert nobody / runs >= said + off / 3


def test_long_after_the_last_taker_the_rate_is_the_base_again():
    with jax.enable_x64(True):
        f = jnp.float64
        late = hawkes.expected(f(9.0), f(0.4), f(0.6), f(1.5), f(60.0), f(1e-3))
        now = hawkes.expected(f(9.0), f(0.4), f(0.6), f(1.5), f(0.0), f(1e-3))
    np.testing.assert_allclose([late, now], [0.4e-3, 9e-3], rtol=1e-2)
