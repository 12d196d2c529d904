"""Where the mid will be: moments, the chance of staying, and what each part does to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm import core
from diffmm.belief import predictive


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def ahead(horizon_s=1.0, v=(0.3, 0.5), var=(0.04, 0.09), weight=(0.7, 0.3), **values):
    mean = jnp.zeros((2, 4)).at[:, 0].set(jnp.array(v))
    given = {
        "mode_mean": mean,
        "mode_var": jnp.array(var),
        "log_mode": jnp.log(jnp.array(weight)),
        "mode_sigma_bp": jnp.array([0.4, 1.1]),
        "drift_rate": jnp.float64(0.3),
        "mid_bp": jnp.float64(0.0),
        "fair_bp": jnp.dot(jnp.array(v), jnp.array(weight)),
        "move_rate": jnp.float64(0.6),
        "horizon_s": jnp.float64(horizon_s),
        "scale": jnp.float64(1.0),
    } | {name: jnp.asarray(x, jnp.float64) for name, x in values.items()}
    return predictive.mid_ahead(core.defaults(predictive.Params, jnp.float64), **given)


def test_mean_variance_and_distribution_agree_with_samples():
    found = ahead()
    rng = np.random.default_rng(0)
    n = 400_000
    mode = rng.choice(2, size=n, p=np.asarray(found.weight))
    drawn = np.asarray(found.mean_bp)[mode] + rng.normal(size=n) * np.sqrt(found.var_bp2)[mode]
    drawn = np.where(rng.uniform(size=n) < float(found.move), drawn, 0.0)
    assert drawn.mean() == pytest.approx(float(found.mean), abs=4 * drawn.std() / n**0.5)
    assert drawn.var() == pytest.approx(float(found.var), rel=0.02)
    for x in (-0.5, 0.2, 1.0):
        assert (drawn < x).mean() == pytest.approx(float(found.cdf(jnp.float64(x))), abs=0.004)


def test_densities_of_moves_and_the_chance_of_staying_make_one():
    found = ahead()
    x = jnp.linspace(-15.0, 15.0, 20_001)
    density = jax.vmap(lambda y: found.log_density(y, jnp.array(True)))(x)
    stay = jnp.exp(found.log_density(jnp.float64(0.0), jnp.array(False)))
    total = jnp.sum(jnp.exp(density)) * (x[1] - x[0]) + stay
    assert float(total) == pytest.approx(1, abs=1e-6)


def test_the_mid_goes_to_v_and_reaches_it():
    near, far = ahead(1.0), ahead(60.0)
    v = 0.7 * 0.3 + 0.3 * 0.5
    share = 1 - np.exp(-1 / 1.6)
    assert float(near.mean) == pytest.approx(v * share, rel=1e-9)
    assert float(far.mean) == pytest.approx(v, rel=1e-9)


def test_it_is_less_sure_of_later_mids_and_of_a_v_that_is_less_sure():
    variances = [float(ahead(h).var) for h in (0.1, 1.0, 5.0, 10.0)]
    assert np.all(np.diff(variances) > 0)
    assert float(ahead(var=(0.4, 0.9)).var) > float(ahead().var)


def test_a_v_away_from_the_mid_makes_a_move_likelier_on_both_sides_alike():
    here, up, down = (ahead(v=(x, x)) for x in (0.0, 0.8, -0.8))
    assert float(up.move) == pytest.approx(float(down.move), rel=1e-12)
    assert float(up.mean) == pytest.approx(-float(down.mean), rel=1e-12)
    assert float(here.move) < float(up.move) < 1
    assert float(ahead(move_rate=1.2).move) > float(ahead().move)


def test_its_gradient_is_finite_where_v_is_the_mid():
    def score(v):
        return ahead(v=(v, v), horizon_s=1.0).log_density(jnp.float64(0.1), jnp.array(True))

    assert np.isfinite(float(jax.grad(score)(jnp.float64(0.0))))
