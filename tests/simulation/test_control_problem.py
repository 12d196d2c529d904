"""Estimators of gradients through fills against problems that are solved exactly."""

import functools as ft
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.simulation import soft_fills
from diffmm.simulation.control_problem import AvellanedaStoikov, TwoStep


DRAWN = np.random.default_rng(11)
TWO_STEPS = [
    TwoStep(),
    *(TwoStep(*DRAWN.uniform((0.8, 0.0, 0.05), (2.5, 0.3, 0.4))) for _ in range(2)),
]
MARKETS = [
    AvellanedaStoikov(),
    AvellanedaStoikov(*DRAWN.uniform((0.05, 1.2, 90.0, 1.5), (0.2, 2.0, 150.0, 2.5))),
]
TABLES = {
    (0.1, True): (65.0, 6.6, 2.9),
    (0.1, False): (68.4, 12.7, 8.4),
    (0.01, True): (68.6, 8.7, 5.1),
    (0.01, False): (68.8, 12.8, 8.7),
    (1.0, True): (31.4, 5.0, 1.7),
    (1.0, False): (44.0, 11.0, 5.1),
}
"""Mean and standard deviation of profit, and of final inventory: Avellaneda & Stoikov (2008)."""


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def by_outcomes(problem, distance):
    """Expected utility of the two steps, outcome by outcome."""
    p, total = np.exp(-problem.k * distance), 0.0
    for one, two in itertools.product((0, 1), repeat=2):
        chance = (p if one else 1 - p) * (p if two else 1 - p)
        n = one + two
        total += chance * (n * (distance - problem.cost) - problem.aversion * n**2)
    return total


def by_recursion(at, extra):
    """Mean profit by the value of each inventory, backward in time, in plain numpy."""
    q, spread = np.arange(-60, 61), np.log1p(at.gamma / at.k) / at.gamma
    value = np.zeros(q.size)
    for step in reversed(range(at.steps)):
        left = at.sigma**2 * (at.horizon - step * at.horizon / at.steps)
        half = extra + at.gamma * left / 2 + spread
        bid, ask = half + q * at.gamma * left, half - q * at.gamma * left
        p, r = (np.minimum(at.A * at.horizon / at.steps * np.exp(-at.k * d), 1) for d in (bid, ask))
        up, down = np.append(value[1:], value[-1]), np.append(value[0], value[:-1])
        value = (
            p * bid
            + r * ask
            + (p * (1 - r)) * up
            + (r * (1 - p)) * down
            + (p * r + (1 - p) * (1 - r)) * value
        )
    return value[60]


def slope(fn, x, h=1e-4):
    return (fn(x + h) - fn(x - h)) / (2 * h)


def uniform_grid(n):
    u = (np.arange(n) + 0.5) / n
    return jnp.asarray(np.log(u) - np.log1p(-u))


@pytest.mark.parametrize("problem", TWO_STEPS)
def test_flips_over_all_outcomes_give_the_exact_gradient_of_two_steps(problem):
    told = lambda d: soft_fills.enumerated(problem.play, d, (2,), jnp.float64)
    value, found = jax.value_and_grad(told)(jnp.float64(0.7))
    np.testing.assert_allclose(value, by_outcomes(problem, 0.7), atol=1e-12)
    np.testing.assert_allclose(found, slope(ft.partial(by_outcomes, problem), 0.7), atol=1e-7)


def test_the_two_steps_are_those_of_the_oracle(oracles):
    expected = oracles["gradient_nonlinear_two_step"]["expected"]
    told = lambda d: soft_fills.enumerated(TwoStep().play, d, (2,), jnp.float64)
    np.testing.assert_allclose(jax.grad(told)(jnp.float64(0.7)), expected["true_grad"], atol=1e-7)


@pytest.mark.parametrize("problem", TWO_STEPS)
def test_relaxed_fills_are_within_a_small_bias_of_two_steps(problem):
    rule = soft_fills.relaxed(jnp.float64(0.1))
    grid = uniform_grid(800)

    def mean(d):
        pair = lambda a: jax.vmap(lambda b: problem.play(d, jnp.stack([a, b]), rule)[0])(grid)
        return jnp.mean(jax.vmap(pair)(grid))

    found = jax.jit(jax.grad(mean))(jnp.float64(0.7))
    exact = slope(ft.partial(by_outcomes, problem), 0.7)
    np.testing.assert_allclose(found, exact, atol=0.0025)
    assert abs(found - exact) > 1e-6


def test_a_relaxed_path_becomes_the_hard_one_as_the_temperature_goes_to_zero():
    at = AvellanedaStoikov(steps=50, horizon=0.25)
    draws = soft_fills.noise(jax.random.key(3), (20, 50, 2), jnp.float64)
    play = lambda rule: jax.vmap(lambda x: at.play(jnp.zeros(50))(0.0, x, rule)[0])(draws)
    gaps = [
        float(jnp.max(jnp.abs(play(soft_fills.relaxed(jnp.float64(t))) - play(soft_fills.hard))))
        for t in (1e-1, 1e-7)
    ]
    assert gaps[0] > 0.1
    assert gaps[1] < 1e-9


@pytest.mark.parametrize("at", MARKETS)
def test_integrating_inventory_out_gives_the_exact_gradient_of_200_steps(at):
    value, found = jax.value_and_grad(at.mean)(jnp.float64(0.0))
    np.testing.assert_allclose(value, by_recursion(at, 0.0), rtol=1e-10)
    np.testing.assert_allclose(found, slope(ft.partial(by_recursion, at), 0.0), rtol=1e-6)


def test_the_200_steps_are_those_of_the_oracle(oracles):
    expected = oracles["as_control_gradient_estimators"]["expected"]
    value, found = jax.value_and_grad(AvellanedaStoikov().mean)(jnp.float64(0.0))
    np.testing.assert_allclose(value, expected["exact_mean"], rtol=1e-8)
    np.testing.assert_allclose(found, expected["exact_dmean_dx"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("at", MARKETS)
def test_flipping_one_fill_with_the_same_draws_after_it_has_no_bias_over_200_steps(at):
    play = at.play(jnp.zeros(at.steps))

    @jax.jit
    def gradients(key):
        noise, select = jax.random.split(key)
        draws = soft_fills.noise(noise, (8000, at.steps, 2), jnp.float64)
        one = lambda x, draw, key: soft_fills.two_branch(play, x, draw, key, 8)
        keys = jax.random.split(select, 8000)
        return jax.vmap(jax.grad(one), (None, 0, 0))(jnp.float64(0.0), draws, keys)

    found = np.asarray(gradients(jax.random.key(5)))
    error = found.std() / np.sqrt(found.size)
    # Straight-through is 3.2 from the truth here, and fills held fixed 98.
    assert error < 0.45
    assert abs(found.mean() - slope(ft.partial(by_recursion, at), 0.0)) < 2 * error


@pytest.mark.parametrize(("gamma", "skews"), TABLES)
def test_the_published_tables_are_found_again(gamma, skews):
    at, paths, published = AvellanedaStoikov(gamma=gamma, skews=skews), 2000, 1000

    @jax.jit
    def simulate(key):
        noise, sign = jax.random.split(key)
        draws = soft_fills.noise(noise, (paths, at.steps, 2), jnp.float64)
        up = jax.random.rademacher(sign, (paths, at.steps)).astype(jnp.float64)
        moves = at.sigma * np.sqrt(at.dt) * up

        def one(draw, move):
            gained, odds = at.play(move)(0.0, draw, soft_fills.hard)
            fills = soft_fills.hard(odds, draw)
            return gained, jnp.sum(fills[:, 0] - fills[:, 1])

        return jax.vmap(one)(draws, moves)

    gained, held = (np.asarray(x) for x in simulate(jax.random.key(1)))
    mean, sd, sd_q = TABLES[gamma, skews]
    both = np.sqrt(1 / paths + 1 / published)
    # The article rounds to one decimal.
    assert abs(gained.mean() - mean) < 3 * sd * both + 0.05
    assert abs(gained.std() - sd) < 3.5 * sd * both / np.sqrt(2) + 0.05
    assert abs(held.std() - sd_q) < 3.5 * sd_q * both / np.sqrt(2) + 0.05
