"""Reference policies: published numbers, an ODE solver, and the invariants of part 11."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from diffmm import core
from diffmm.policies import avellaneda_stoikov, cartea_jaimungal, glft, inventories


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def market(given, **more):
    names = {"A": "rate", "k": "decay", "gamma": "aversion", "sigma": "sigma", "T": "horizon"}
    values = {names[k]: given[k] for k in names if k in given} | more
    declared = core.defaults(glft.Params, jnp.float64)
    return dataclasses.replace(declared, **{k: jnp.float64(x) for k, x in values.items()})


def at(found, most, q):
    return float(found.bid[most + q]), float(found.ask[most + q])


@pytest.mark.parametrize("name", ["glft_quotes_tick_params", "glft_quotes_as_params"])
def test_the_exact_quotes_and_their_closed_form_are_the_published_ones(oracles, name):
    given, expected = oracles[name]["inputs"], oracles[name]["expected"]
    p, most = market(given), given["Q"]
    exact, first = glft.depths(p, most), avellaneda_stoikov.depths(p, most)
    assert float(glft.half_spread(p)) == pytest.approx(expected["c1"], rel=1e-9)
    assert float(glft.fill_weight(p)) == pytest.approx(expected["eta"], rel=1e-9)
    for row in expected["rows"]:
        q = row["q"]
        assert at(exact, most, q) == pytest.approx((row["bid_expm"], row["ask_expm"]), rel=1e-7)
        closed = glft.closed_form(p, jnp.float64(q))
        found = float(closed.bid), float(closed.ask)
        assert found == pytest.approx((row["bid_closed"], row["ask_closed"]), rel=1e-8)
        if "bid_AS" in row:
            assert at(first, most, q) == pytest.approx((row["bid_AS"], row["ask_AS"]), rel=1e-9)


def test_drift_and_a_convex_aversion_give_the_published_quotes(oracles):
    given, expected = oracles["glft_drift_shift"]["inputs"], oracles["glft_drift_shift"]["expected"]
    p = market(given, drift=given["mu"])
    found = at(glft.depths(p, given["Q"]), given["Q"], 0)
    assert found == pytest.approx((expected["bid"], expected["ask"]), rel=1e-8)
    closed = glft.closed_form(p, jnp.float64(0))
    assert float(closed.bid) == pytest.approx(expected["bid_closed"], rel=1e-8)
    assert float(closed.ask) == pytest.approx(expected["ask_closed"], rel=1e-8)
    given, expected = oracles["convex_gamma"]["inputs"], oracles["convex_gamma"]["expected"]
    p = market(
        given,
        aversion=given["gamma0"],
        convexity=given["kappa"],
        convexity_lots=given["qbar"],
    )
    assert float(glft.running_cost(p, jnp.float64(5))) == pytest.approx(expected["C_at_5"])
    slope = jax.grad(lambda q: glft.running_cost(p, q))(jnp.float64(10))
    assert float(slope) == pytest.approx(expected["marginal_at_10"])
    found = glft.depths(p, given["Q"])
    for row in expected["quotes"]:
        quoted = at(found, given["Q"], row["q"])
        assert quoted == pytest.approx((row["bid"], row["ask"]), rel=1e-7)


def test_its_gradient_is_the_published_one(oracles):
    case = oracles["glft_autodiff_ask_q1"]
    given, most = case["inputs"], case["inputs"]["Q"]

    def ask(p):
        return glft.depths(p, most).ask[most + given["q"]]

    value, slope = jax.value_and_grad(ask)(market(given))
    assert float(value) == pytest.approx(case["expected"]["ask"], rel=1e-9)
    found = [float(x) for x in (slope.aversion, slope.decay, slope.rate, slope.sigma)]
    # By the rate alone little changes: there the oracle's own two methods are 4e-8 apart.
    expected = case["expected"]["grad_gamma_k_A_sigma"]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=4e-8)


@pytest.mark.parametrize("seed", range(3))
def test_at_fresh_parameters_it_agrees_with_an_ode_solver(seed):
    """Of the Bellman equation itself, which is not linear; nothing of the substitution is used."""
    rng = np.random.default_rng(seed)
    k, gamma, a, sigma = rng.uniform([0.5, 0.02, 0.3, 0.3], [2.0, 0.4, 2.0, 1.5])
    mu, horizon, most = rng.normal() * 0.02, rng.uniform(2.0, 8.0), 6
    p = market({"k": k, "gamma": gamma, "A": a, "sigma": sigma, "T": horizon}, drift=mu)
    q = np.arange(-most, most + 1)

    # theta(q): certainty equivalent of inventory; the maximum over depths has a closed form.
    def back(_, theta):
        gain = np.zeros_like(theta)
        best = a / (k + gamma) * (1 + gamma / k) ** (-k / gamma)
        gain[:-1] += best * np.exp(k * (theta[1:] - theta[:-1]))
        gain[1:] += best * np.exp(k * (theta[:-1] - theta[1:]))
        return mu * q - gamma * sigma**2 * q**2 / 2 + gain

    solved = integrate.solve_ivp(
        back, (0, horizon), np.zeros(len(q)), method="DOP853", rtol=1e-12, atol=1e-13
    )
    theta = solved.y[:, -1]
    base = np.log1p(gamma / k) / gamma
    found = glft.depths(p, most)
    np.testing.assert_allclose(found.bid[:-1], base + theta[:-1] - theta[1:], atol=1e-9)
    np.testing.assert_allclose(found.ask[1:], base + theta[1:] - theta[:-1], atol=1e-9)
    assert np.isinf(found.bid[-1])
    assert np.isinf(found.ask[0])


def test_quotes_that_takers_orders_move_are_the_published_ones(oracles):
    case = oracles["cjp_adverse_selection_quotes"]
    given, most = case["inputs"], case["inputs"]["Qmax"]
    f = lambda *x: jnp.array(x if len(x) > 1 else x[0], jnp.float64)
    p = cartea_jaimungal.Params(
        f(given["lambda_minus"], given["lambda_plus"]),
        f(given["kappa"]),
        f(given["eps_minus"], given["eps_plus"]),
        f(given["phi"]),
        f(given["alpha_terminal"]),
        f(given["T"]),
    )
    found = cartea_jaimungal.depths(p, most)
    for row in case["expected"]["quotes"]:
        expected = row["bid_depth"], row["ask_depth"]
        assert at(found, most, row["q"]) == pytest.approx(expected, rel=1e-7)
    # Takers that know more, on both sides alike, stand in the half spread one for one but for what
    # inventory is then worth.
    moved = cartea_jaimungal.depths(dataclasses.replace(p, move=p.move + 0.002), most)
    for new, old in zip(moved, found, strict=True):
        assert float(new[most] - old[most]) == pytest.approx(0.002, abs=2e-4)


def test_bids_grow_deeper_and_asks_nearer_with_inventory_and_mirror_each_other():
    p = market({"k": 0.8, "gamma": 0.05, "A": 1.2, "sigma": 0.7, "T": 30.0}, convexity=0.5)
    found = glft.depths(p, 10)
    assert np.all(np.diff(found.bid[:-1]) > 0)
    assert np.all(np.diff(found.ask[1:]) < 0)
    np.testing.assert_allclose(found.bid, found.ask[::-1], rtol=1e-9)


def test_without_fear_the_half_spread_is_that_of_a_monopolist_and_units_cancel():
    p = market({"k": 0.8, "gamma": 1e-9, "A": 1.2, "sigma": 0.7, "T": 10.0})
    found = glft.closed_form(p, inventories(5, jnp.float64))
    np.testing.assert_allclose(found.bid, 1 / 0.8, rtol=1e-3)
    price, time = 100.0, 60.0
    one = market({"k": 0.8, "gamma": 0.05, "A": 1.2, "sigma": 0.7, "T": 30.0}, drift=0.01)
    other = dataclasses.replace(
        one,
        rate=one.rate * time,
        decay=one.decay / price,
        sigma=one.sigma * price * time**0.5,
        drift=one.drift * price * time,
        aversion=one.aversion / price,
        horizon=one.horizon / time,
    )
    mine, its = glft.depths(one, 8), glft.depths(other, 8)
    np.testing.assert_allclose(its.bid, price * mine.bid, rtol=1e-9)
