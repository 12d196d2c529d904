"""What is read of the unwind tables: its laws, and that every cost is in it once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import unwinding
from diffmm.risk import unwind


ROOM = 2e4
QUIET, CRISIS = [0.9, 0.08, 0.02], [0.02, 0.08, 0.9]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def charged(marginal=0.0, carry=0.0, fall=0.0):
    return unwind.Charged(*(jnp.float64(x) for x in (marginal, carry, fall)))


def read(q, modes=QUIET, rate=0.0, settlement_s=1800.0, at=None):
    return unwind.read(
        unwinding.tables(),
        jnp.float64(q),
        jnp.float64(ROOM),
        jnp.log(jnp.array(modes)),
        jnp.float64(rate),
        jnp.float64(settlement_s),
        charged() if at is None else at,
    )


def saving(q, *args, **kwargs):
    return float(read(q, *args, **kwargs).saving)


def test_at_a_node_it_is_the_table():
    p = unwinding.tables()
    for level in (1, 4, 10):
        for phase, clock_s in enumerate(np.asarray(p.clock_s)):
            said = read(level * ROOM / 10, [0, 1, 0], 0.0, clock_s)
            cell = (level - 1, 1, 1, 1, phase)
            assert float(said.marginal) == pytest.approx(float(p.marginal_bp[cell]) / 1e4, rel=1e-9)
            assert float(said.flat_s) == pytest.approx(float(p.flat_s[cell]), rel=1e-9)


@pytest.mark.parametrize("rate", [0.0, 1e-4, -2e-4])
@pytest.mark.parametrize("fall", [0.0, 2e-6, -3e-6])
def test_a_short_is_a_long_in_the_mirror(rate, fall):
    for q in (1.0, 700.0, 9e3, 2.5e4):
        long = read(q, QUIET, rate, 40.0, charged(1e-6, 2e-7, fall))
        short = read(-q, QUIET, -rate, 40.0, charged(-1e-6, -2e-7, -fall))
        for a, b in zip(jax.tree.leaves(long), jax.tree.leaves(short), strict=True):
            assert float(a) == float(b)


@pytest.mark.parametrize("modes", [QUIET, CRISIS])
@pytest.mark.parametrize("settlement_s", [5.0, 600.0])
@pytest.mark.parametrize("rate", [-1e-4, 0.0, 1e-4])
def test_more_inventory_is_more_urgent_and_takes_longer(modes, settlement_s, rate):
    q = np.linspace(0, 2.4e4, 97)
    said = [read(x, modes, rate, settlement_s) for x in q]
    for name in ("saving", "flat_s"):
        found = np.array([float(getattr(x, name)) for x in said])
        assert (np.diff(found) >= -1e-12 * found.max()).all()
        assert found[0] == 0
        assert found[-1] > 0
        # Beyond the room as at it.
        assert found[-1] == found[80]


def test_it_is_continuous_and_leaves_flat_without_a_kink():
    q = np.linspace(-1e4, 1e4, 4001)
    found = np.array([saving(x, CRISIS, 1e-4, 30.0) for x in q[::20]])
    assert np.abs(np.diff(found)).max() < 0.1 * found.max()
    near = [saving(x, CRISIS, 1e-4, 30.0) / x for x in (1e-3, 1.0, 10.0)]
    assert near[0] < near[1] < near[2]
    assert near[0] == pytest.approx(near[1] / 1e3, rel=1e-6)
    slope = float(read(1e-3, CRISIS, 1e-4, 30.0).slope)
    assert slope == pytest.approx(near[0], rel=1e-9)
    assert float(read(0.0, CRISIS, 1e-4, 30.0).slope) == 0


def test_a_crisis_is_more_urgent():
    assert saving(9e3, CRISIS) > 1.02 * saving(9e3, QUIET)


def test_an_adverse_settlement_is_more_urgent_the_nearer_it_is():
    found = [saving(9e3, rate=1e-4, settlement_s=x) for x in (3000.0, 900.0, 120.0, 20.0)]
    assert (np.diff(found) > 0).all()
    # What is received is no reason to hurry.
    assert saving(9e3, rate=-1e-4, settlement_s=20.0) <= saving(9e3, settlement_s=20.0)
    assert saving(-9e3, rate=1e-4, settlement_s=20.0) == saving(9e3, rate=-1e-4, settlement_s=20.0)


def test_an_adverse_drift_is_more_urgent_than_none_or_a_favourable_one():
    p = unwinding.tables()
    bp = float(p.drift_bp) / 1e4
    value = lambda fall: float(read(9e3, at=charged(fall=fall)).marginal)
    assert value(bp) > value(0.0) > value(-bp)
    assert value(2 * bp) == value(bp)


def test_the_reducing_side_feels_the_larger_of_both_never_the_sum():
    """Every cost once: what is charged already comes off, to the last bit."""
    whole = saving(9e3)
    for part in (0.2, 0.7):
        for at in (
            charged(marginal=part * whole),
            charged(carry=part * whole),
        ):
            assert saving(9e3, at=at) == pytest.approx((1 - part) * whole, rel=1e-12)
    assert saving(9e3, at=charged(marginal=1.5 * whole)) == 0
    assert saving(9e3, at=charged(0.3 * whole, 0.3 * whole)) == pytest.approx(0.4 * whole)
    # A carry that is received stays in the edge; it neither adds here nor hides a cost.
    assert saving(9e3, at=charged(carry=-whole)) == pytest.approx(whole, rel=1e-12)


def test_what_drift_charges_is_taken_off_what_the_table_says_of_it():
    p = unwinding.tables()
    fall = 0.5 * float(p.drift_bp) / 1e4
    said = read(9e3, at=charged(fall=fall))
    assert float(said.saving) == pytest.approx(float(said.marginal) - fall, rel=1e-12)


def test_no_more_modes_are_read_than_run():
    two = unwind.read(
        unwinding.tables(),
        *(jnp.float64(x) for x in (9e3, ROOM)),
        jnp.log(jnp.array([0.4, 0.6])),
        jnp.float64(0.0),
        jnp.float64(1800.0),
        charged(),
    )
    assert float(two.saving) == pytest.approx(saving(9e3, [0.4, 0.6, 0.0]), rel=1e-9)


@pytest.mark.parametrize("q", [-1.3e4, -450.0, 3.1, 5.3e3])
def test_its_gradient_is_the_difference_quotient(q):
    at = charged(np.sign(q) * 1e-6, np.sign(q) * 1e-7, np.sign(q) * 3e-7)

    def of(q, rate, settlement_s, tilt):
        modes = jax.nn.log_softmax(jnp.log(jnp.array(QUIET)) + jnp.array([0.0, 0.0, 1.0]) * tilt)
        return unwind.read(
            unwinding.tables(), q, jnp.float64(ROOM), modes, rate, settlement_s, at
        ).saving

    x = [jnp.float64(v) for v in (q, np.sign(q) * 1.3e-4, 47.0, 0.3)]
    slopes = jax.grad(of, argnums=(0, 1, 2, 3))(*x)
    for k, step in enumerate((1e-3, 1e-9, 1e-4, 1e-5)):
        up, down = (list(x), list(x))
        up[k], down[k] = x[k] + step, x[k] - step
        quotient = (of(*up) - of(*down)) / (2 * step)
        assert float(slopes[k]) == pytest.approx(float(quotient), rel=2e-5, abs=1e-14)


@pytest.mark.parametrize("q", [0.0, -0.0, 1e-30, 1e30, 2000.0, 2e4])
@pytest.mark.parametrize("rate", [0.0, 1e3, -1e-30])
def test_gradients_are_finite_at_the_extremes(q, rate):
    def of(p, q, rate, settlement_s):
        modes = jnp.array([0.0, -700.0, -700.0])
        said = unwind.read(p, q, jnp.float64(ROOM), modes, rate, settlement_s, charged(1e-9))
        return said.saving + said.slope + said.flat_s

    given = (unwinding.tables(), *(jnp.float64(x) for x in (q, rate, 0.0)))
    for one in jax.tree.leaves(jax.grad(of, argnums=(0, 1, 2, 3))(*given)):
        assert np.isfinite(one).all()


def test_the_running_maximum_does_nothing_where_no_action_is_better_and_little_elsewhere():
    """Without a choice the value is convex; where the best action changes it may not be."""
    same = {"fill_usd_s": [[25, 25, 22]] * 4, "extra_bp": [0] * 4}
    same |= {"drift_bp_s": [0] * 3, "payment_bp": [0] * 3}
    for values, most in ((same, 1e-9), ({}, 0.05)):
        p = unwinding.problem(**values)
        cost = unwind.value.solve(unwind.rates(p)).value
        held, table = 1e4 * np.diff(cost, axis=0) / 2e3, np.asarray(unwind.marginal_bp(p, cost))
        raised = table - np.maximum(held, np.finfo(float).eps)
        assert raised.min() >= 0
        assert raised.max() <= most * table.max()
        assert (np.diff(table, axis=0) >= 0).all()


def test_its_leaves_are_declared_and_a_table_below_zero_is_none():
    from diffmm import core

    p = unwinding.tables()
    assert core.violations(p) == []
    assert core.violations(dataclasses.replace(p, marginal_bp=-p.marginal_bp))
