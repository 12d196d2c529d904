"""The smooth law of a fill against the takers that a world draws."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from diffmm.simulation import laws, taker_law
from diffmm.simulation.world import Makers, Market, Private, Takers, Unwinding, World


N = 200_000
WORLD = World(
    title="x",
    market=Market(volatility_bp=1.0, jump_rate_s=0.01, jump_bp=5.0),
    makers=Makers(half_spread_bp=6.0),
    takers=Takers(rate_s=1.0, mean_usd=1000.0, reach_bp=9.0),
    private=Private(informed_share=0.5, sd_bp=3.0, delay_s=10.0, noise_bp=2.0),
    unwinding=Unwinding(share=0.1),
)
LAW = taker_law.Law.of(WORLD, taker_fee_bp=4.0)
F = jnp.float32


def chance(kind, sign, price, public, value, usd=1e9, ahead=0.0, least=10.0):
    who = (kind == laws.INFORMED, kind == laws.SNIPER)
    taker = taker_law.Taker(
        F(sign), *(jnp.array(bool(x)) for x in who), public_bp=F(public), value_bp=F(value)
    )
    odds = taker_law.fill_log_odds(LAW, taker, F(price), F(usd), F(ahead), F(least))
    return float(expit(odds)), taker


@pytest.mark.parametrize("kind", [laws.UNINFORMED, laws.INFORMED])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("depth", "value"), [(4.0, 3.0), (1.0, -1.0), (8.0, 6.0), (-2.0, 1.0)])
def test_a_taker_reaches_a_price_as_often_as_the_world_draws_it(kind, sign, depth, value):
    rng = np.random.default_rng(4)
    public, price, value = 2.0, 2.0 + sign * depth, 2.0 + sign * value
    signs, limit = laws.limits(WORLD, rng, np.full(N, kind), np.full(N, public), np.full(N, value))
    mine = signs == sign
    drawn = np.mean(sign * limit[mine] >= sign * price)
    found, _ = chance(kind, sign, price, public, value)
    assert abs(found - drawn) < 4 * np.sqrt(drawn * (1 - drawn) / mine.sum()) + 1e-4


def test_the_queue_in_front_is_passed_as_often_as_sizes_are_drawn():
    sizes = laws.sizes(WORLD.takers, np.random.default_rng(5), N)
    found, taker = chance(laws.UNINFORMED, 1, 0.0, 0.0, 0.0, ahead=700.0)
    assert abs(found - np.mean(sizes > 700.0)) < 0.005
    rest = sizes[sizes > 700.0] - 700.0
    taken = taker_law.filled_usd(LAW, taker, F(390.0), F(10.0))
    assert abs(float(taken) - np.minimum(rest, 400.0).mean()) < 2.0


def test_an_order_is_sent_as_often_as_makes_its_mean_size_right():
    found, _ = chance(laws.UNINFORMED, 1, 0.0, 0.0, 0.0, usd=30.0)
    np.testing.assert_allclose(found * (30.0 + 10.0), 30.0, rtol=1e-5)
    none, _ = chance(laws.UNINFORMED, 1, 0.0, 0.0, 0.0, usd=0.0)
    assert none < 1e-6


def test_nobody_fills_nothing():
    assert chance(laws.UNINFORMED, 0, 0.0, 0.0, 0.0)[0] == 0.0


def test_the_variance_of_value_is_that_of_its_moves():
    expected = 1.0 + 2 * 0.01 * 5.0**2 + 3.0**2 / 10.0
    np.testing.assert_allclose(LAW.variance_bp2_s, expected, rtol=1e-6)
    np.testing.assert_allclose(LAW.cost_bp, 0.1 * (6.0 + 4.0), rtol=1e-6)
