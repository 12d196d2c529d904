"""Value iteration of the unwind problem: against linear algebra, by hand, and as a contraction."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.risk import unwind
from diffmm.risk.unwind import Action, value
from unwinding import problem


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@functools.cache
def solved():
    """The rates of the market of all these tests, and their solution."""
    r = unwind.rates(problem())
    return r, value.solve(r)


def one_state(**values):
    """One mode, funding, shape and phase: inventory alone."""
    alone = {
        "fill_usd_s": [[30.0], [60.0], [90.0], [3000.0]],
        "add_usd_s": [1e-30],
        "sigma_bp": [2.0],
        "drift_bp_s": [0.0],
        "payment_bp": [0.0],
        "mode_rate": [[1.0]],
        "funding_rate": [[1.0]],
        "shape_rate": [[1.0]],
        "phase_s": [1e30],
    }
    return problem(**(alone | values))


def dense(r, policy):
    """Generator, costs and discount of one policy, one row a state."""
    levels, outside = r.running.shape
    at = lambda b, y: b * outside + y
    generator = np.zeros((levels * outside, levels * outside))
    cost = np.asarray(r.running, float).ravel().copy()
    fill, add = np.asarray(r.fill), np.asarray(r.add)
    jumps, mirror = np.asarray(r.jumps), np.asarray(r.mirror)
    for b in range(levels):
        for y in range(outside):
            row, a = at(b, y), int(policy[b, y])
            generator[row, at(b, 0) : at(b, outside)] += jumps[y]
            if b > 0:
                generator[row, at(b - 1, y)] += fill[a, b, y]
                cost[row] += fill[a, b, y] * float(r.extra[a])
            if b == 0:
                generator[row, at(1, y)] += add[b, y] / 2
                generator[row, at(1, int(mirror[y].argmax()))] += add[b, y] / 2
            elif b < levels - 1:
                generator[row, at(b + 1, y)] += add[b, y]
    generator -= np.diag(generator.sum(1))
    return generator, cost


def test_the_product_has_about_1500_states():
    assert solved()[0].running.size == 1485


def test_the_solution_is_the_linear_systems_under_its_own_best_policy():
    r, found = solved()
    policy = np.asarray(value.greedy(r, found.value))
    assert len(np.unique(policy)) > 1
    generator, cost = dense(r, policy)
    rho = float(r.discount)
    exact = np.linalg.solve(rho * np.eye(len(cost)) - generator, cost).reshape(policy.shape)
    np.testing.assert_allclose(found.value, exact, rtol=1e-9, atol=1e-9 * exact.max())


def test_no_other_policy_costs_less_anywhere():
    r, found = solved()
    best = np.asarray(found.value)
    rho = float(r.discount)
    rng = np.random.default_rng(0)
    policies = [np.full(best.shape, int(a)) for a in Action]
    policies.append(rng.integers(0, len(Action), best.shape))
    for policy in policies:
        generator, cost = dense(r, policy)
        other = np.linalg.solve(rho * np.eye(len(cost)) - generator, cost).reshape(best.shape)
        assert (other >= best - 1e-9 * best.max()).all()


def test_the_time_to_flat_is_the_linear_systems_first_passage():
    r, best = solved()
    policy = value.greedy(r, best.value)
    generator, _ = dense(r, np.asarray(policy))
    outside = r.running.shape[1]
    inner = generator[outside:, outside:]
    exact = np.linalg.solve(-inner, np.ones(len(inner))).reshape(-1, outside)
    found = value.time_to_flat(r, policy).value
    np.testing.assert_allclose(found[1:], exact, rtol=1e-9)
    assert (np.asarray(found[0]) == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_sweep_contracts_by_its_modulus(seed):
    r = unwind.rates(problem(discount_rate=10.0 ** -(seed % 3)))
    rng = np.random.default_rng(seed)
    one, two = (rng.normal(0, 10, r.running.shape) for _ in range(2))
    apart = np.abs(value.backup(r, one) - value.backup(r, two)).max()
    assert apart <= float(value.modulus(r)) * np.abs(one - two).max() * (1 + 1e-12)
    assert float(value.modulus(r)) < 1
    # Where both differ by a constant it is met by the fastest state: no smaller one would do.
    shifted = np.abs(value.action_values(r, one + 1.0) - value.action_values(r, one)).max()
    assert shifted == pytest.approx(float(value.modulus(r)), rel=1e-6)


def test_one_level_alone_is_the_cheapest_of_its_actions_by_hand():
    r = unwind.rates(one_state(extra_bp=[0, 0.02, 0.5, 17.0]), levels=1)
    room, rho = 2e4, 1 / 900
    # gamma(q_max) = gamma_0 (1 + beta).
    second = 4e-5 * 4 * room**2 / 2 * (2.0 / 1e4) ** 2
    rate = np.array([30.0, 60.0, 90.0, 3000.0]) / room
    extra = np.array([0, 0.02, 0.5, 17.0]) / 1e4 * room
    by_hand = (second + rate * extra) / (rho + rate)
    found = value.solve(r)
    assert float(found.value[1, 0]) == pytest.approx(by_hand.min(), rel=1e-10)
    assert int(value.greedy(r, found.value)[1, 0]) == by_hand.argmin()
    assert float(found.value[0, 0]) == pytest.approx(0.0, abs=1e-12)


def test_with_steady_fills_and_no_discount_a_level_costs_its_second_over_the_fill_rate():
    """The fluid limit: `J(b) - J(b-1) = c(q_b) / r`."""
    r = unwind.rates(one_state(extra_bp=[0, 90, 90, 90], discount_rate=1e-12), levels=6)
    cost = np.asarray(value.solve(r).value)[:, 0]
    second, rate = np.asarray(r.running)[:, 0], float(r.fill[0, 1, 0])
    np.testing.assert_allclose(np.diff(cost), second[1:] / rate, rtol=1e-6)


def test_a_settlement_that_no_fill_can_beat_costs_the_whole_payment():
    slow = [[1e-9], [1e-9], [1e-9], [1e-9]]
    r = unwind.rates(
        one_state(
            fill_usd_s=slow, sigma_bp=[1e-9], payment_bp=[5.0], phase_s=[20.0], discount_rate=1e-3
        ),
        levels=2,
    )
    # Paid at rate 1/20 for ever, discounted: 5 bp of q, 1 / (20 x 1e-3) times.
    expected = 5e-4 * np.array([1e4, 2e4]) / 20 / 1e-3
    np.testing.assert_allclose(np.asarray(value.solve(r).value)[1:, 0], expected, rtol=1e-6)


def test_a_full_room_costs_the_income_of_the_side_that_it_closes():
    """Two levels, no risk: `J(2) = lost / (rho + r) + r/(rho + r) J(1)`, by hand with arrivals."""
    up, down, rho = 20.0, 30.0, 1e-3
    r = unwind.rates(
        one_state(
            fill_usd_s=[[down]] * 4,
            extra_bp=[0, 0, 0, 0],
            add_usd_s=[up],
            sigma_bp=[1e-12],
            discount_rate=rho,
        ),
        levels=2,
    )
    a, d = up / 1e4, down / 1e4
    lost = 2.5e-4 * up
    system = np.array([[rho + 2 * a, -2 * a, 0], [-d, rho + d + a, -a], [0, -d, rho + d]])
    exact = np.linalg.solve(system, [0, 0, lost])
    np.testing.assert_allclose(np.asarray(value.solve(r).value)[:, 0], exact, rtol=1e-10)


def test_at_flat_the_sides_are_one_and_the_mirror_turns_funding_and_shape():
    r, found = solved()
    mirror = np.asarray(r.mirror)
    np.testing.assert_array_equal(mirror @ mirror, np.eye(len(mirror)))
    cost = np.asarray(found.value)
    np.testing.assert_allclose(cost[0] @ mirror.T, cost[0], rtol=1e-9)
    assert not np.allclose(cost[1] @ mirror.T, cost[1], rtol=1e-3)


def test_single_precision_agrees():
    low = jax.tree.map(lambda x: x.astype(jnp.float32), problem())
    fine, coarse = solved()[1].value, value.solve(unwind.rates(low)).value
    # The sweeps end four rounding units from the last one, and the discount adds those up.
    np.testing.assert_allclose(coarse, fine, rtol=0, atol=1e-3 * float(fine.max()))


def test_what_is_not_finite_is_refused():
    bad = dataclasses.replace(problem(), discount_rate=jnp.float64(np.nan))
    with pytest.raises(ValueError, match="are all rates finite"):
        unwind.tables(bad)
