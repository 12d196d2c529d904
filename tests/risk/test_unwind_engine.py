"""The unwind policy in the engine: absent where it is off, on the reducing side only where on."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
import unwinding
from diffmm import core, risk
from diffmm.allocation import model as allocation
from diffmm.evaluation.costs import take
from diffmm.market import ASK, BID, SIDE_SIGN
from diffmm.risk import unwind
from diffmm.training import restore, save, target, with_unwind


SHARED = ("position_usd", "gamma0", "convexity", "room_usd", "variance_bp2", "carry_bp")


def tables(dtype=jnp.float32, times=1.0):
    """The market's, its marginal value a multiple."""
    p = jax.tree.map(np.asarray, unwinding.tables())
    p = dataclasses.replace(p, marginal_bp=times * p.marginal_bp)
    return jax.tree.map(lambda x: jnp.asarray(x.astype(dtype)), p)


def unwound(p, times=1.0):
    return with_unwind(p, tables(times=times))


@functools.cache
def trace(times=None):
    """The standard market, with a multiple of the tables or without."""
    p = bundles.params()
    return bundles.trace(p if times is None else unwound(p, times), bundles.stream())


def budget(q, saving=2e-4):
    f = jnp.float64
    values = {"gamma0": 4e-5, "convexity": 3.0, "room_usd": 2e4, "variance_bp2": 150.0}
    values |= {"position_usd": q, "holding_s": 60.0, "carry_bp": 0.0, "kelly_usd": 1e9}
    values |= {"target_usd": 0.0, "flow_log": 0.0, "cross_usd": 0.0}
    size = abs(q)
    said = unwind.Unwind(*map(f, (saving, saving / size if size else 0.0, saving, 100.0)))
    return risk.RiskBudget(**{k: f(v) for k, v in values.items()}, unwind=said)


def test_switched_off_there_is_no_leaf_of_it_anywhere():
    p = bundles.params()
    assert not any("unwind" in name for name in bundles.names(p))
    assert trace().risk.unwind is None
    budget = dataclasses.replace(trace().risk, unwind=None)
    assert risk.reducing(budget, jnp.float32(1.0)) is None


def test_a_record_without_the_part_is_scored_as_before():
    some = take(jax.tree.map(np.asarray, trace().risk), np.arange(2))
    assert some.unwind is None
    assert some.position_usd.shape == (2,)


def test_a_read_is_four_slices_and_no_call_out_of_the_kernel_and_none_where_it_is_off():
    """Two rows of two tables; the weights of the other axes are arithmetic."""
    given = tuple(events.row(x, 5) for x in (bundles.stream(), trace().features, trace().belief))
    lower = lambda p: (
        jax.jit(
            lambda p, *x: risk.update(
                p, risk.init(p, config=risk.Config()), x, config=risk.Config()
            )[1]
        )
        .lower(p, *given)
        .as_text()
    )
    off, on = (lower(p.risk) for p in (bundles.params(), unwound(bundles.params())))
    picked = re.compile(r"stablehlo\.(dynamic_slice|gather)")
    # One function of one slice, called for each row.
    assert len(picked.findall(on)) == 1
    name = re.findall(r"func private @(\w+)\(", on[: picked.search(on).start()])[-1]
    assert len(re.findall(rf"call @{name}\(", on)) == 4
    assert not re.findall(r"stablehlo\.(custom_call|sort|dot_general|while)", on)
    assert not picked.findall(off)


@pytest.mark.slow
def test_tables_that_say_nothing_change_no_quote():
    """To the last bit: a saving of zero is subtracted from numbers that stay what they are."""
    plain, nothing = trace(), trace(1e-9)
    assert np.abs(np.asarray(nothing.risk.unwind.saving)).max() < 1e-12
    np.testing.assert_array_equal(plain.execution.lots, nothing.execution.lots)
    np.testing.assert_array_equal(plain.execution.ticks, nothing.execution.ticks)
    np.testing.assert_allclose(plain.pricing.epnl_usd, nothing.pricing.epnl_usd, rtol=1e-5)


@pytest.mark.slow
def test_it_reaches_the_reducing_side_only():
    plain, on = trace(), trace(30.0)
    saving = np.asarray(on.risk.unwind.saving)
    q = np.asarray(on.risk.position_usd)
    assert (saving > 0).sum() > 5
    less = np.asarray(plain.pricing.inventory_bp) - np.asarray(on.pricing.inventory_bp)
    for side in (BID, ASK):
        adds = SIDE_SIGN[side] * q <= 0
        np.testing.assert_array_equal(less[adds, side], 0)
        np.testing.assert_array_equal(
            np.asarray(plain.pricing.epnl_usd)[adds, side],
            np.asarray(on.pricing.epnl_usd)[adds, side],
        )
    row = int(saving.argmax())
    side = ASK if q[row] > 0 else BID
    size = float(on.pricing.size_usd[row])
    expected = 1e4 * saving[row] * (1 - size / (2 * abs(q[row])))
    np.testing.assert_allclose(less[row, side], expected, rtol=1e-3)
    for name in SHARED:
        np.testing.assert_array_equal(getattr(plain.risk, name), getattr(on.risk, name))


@pytest.mark.slow
def test_what_would_get_rid_of_inventory_is_quoted_larger_and_what_would_turn_it_is_not():
    plain, on = (np.asarray(x.allocation.size_usd, float).sum(2) for x in (trace(), trace(30.0)))
    q = np.asarray(trace().risk.position_usd)
    row, size = np.arange(len(q)), np.abs(q)
    side = np.where(q > 0, ASK, BID)
    held = np.asarray(trace(30.0).risk.unwind.saving) > 1e-5
    assert held.any()
    before, after = plain[row, side], on[row, side]
    rid = np.minimum(after, size) - np.minimum(before, size)
    turned = np.maximum(after - size, 0) - np.maximum(before - size, 0)
    assert (rid[held] >= -1e-3 * size[held]).all()
    assert (turned[held] <= 1e-3 * size[held]).all()
    assert turned[held].sum() < 0


@pytest.mark.parametrize("q", [-1.7e4, -300.0, 0.0, 1e3, 8e3])
def test_the_programme_pays_for_what_a_sale_takes_off_both_costs_and_no_more(q):
    """`K'(N)` is the slope of `C(q - s N) - (saving N - slope N^2 / 2)`, on either side."""
    with jax.enable_x64(True):
        at, unit = budget(q, 2e-4 if q else 0.0), jnp.float64(2e4)
        sign = jnp.array(SIDE_SIGN)
        cubic = allocation._marginal_cost(at, sign, unit)
        rid = risk.reducing(at, sign)
        for side, s in enumerate(SIDE_SIGN):

            def cost(n, s=s, side=side):
                saved = rid[0][side] * n - rid[1][side] * n**2 / 2
                return risk.cost_usd(at, jnp.float64(q) - s * n) - saved

            for n in (0.0, 100.0, 2e3, 9e3):
                found = sum(float(c) * (n / 2e4) ** k for k, c in enumerate(cubic[side]))
                assert found == pytest.approx(1e4 * float(jax.grad(cost)(n)), rel=1e-9, abs=1e-12)
            # The programme stays concave.
            assert float(cubic[side, 1]) > 0
        adds = np.array(SIDE_SIGN) * q <= 0
        bare = dataclasses.replace(at, unwind=None)
        np.testing.assert_array_equal(
            cubic[adds], allocation._marginal_cost(bare, sign, unit)[adds]
        )


@pytest.mark.slow
def test_the_first_unit_of_a_reducing_quote_feels_the_larger_of_both_costs():
    """`C'` and the term are `J'` where that is larger: the whole way through the stage."""
    on = trace(30.0)
    at, said = on.risk, on.risk.unwind
    own = np.abs(np.asarray(risk.marginal_cost(at, at.position_usd)))
    whole, marginal = own + np.asarray(said.saving), np.asarray(said.marginal)
    assert (whole <= np.maximum(own, marginal) * (1 + 1e-5) + 1e-12).all()
    held = np.asarray(said.saving) > 0
    assert (whole[held] <= marginal[held] * (1 + 1e-5)).all()


def test_the_quotes_move_continuously_through_flat():
    with jax.enable_x64(True):
        p = with_unwind(bundles.params(jnp.float64), tables(jnp.float64, 30.0))
        batch = bundles.stream()
        at = functools.partial(jax.tree.map, lambda x: x[20])
        given = trace()
        seen, belief = (
            jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, at(y))
            for y in (given.features, given.belief)
        )

        def saving(q):
            event = bundles.replace(at(batch), account__position_usd=jnp.float64(q))
            told = risk.update(
                p.risk,
                risk.init(p.risk, config=risk.Config()),
                (event, seen, belief),
                config=risk.Config(),
            )
            return float(told[1].unwind.saving), float(told[1].unwind.slope)

        assert saving(0.0) == (0.0, 0.0)
        for q in (1e-6, 1e-3, 1.0):
            for side in (q, -q):
                value, slope = saving(side)
                assert 0 <= value <= 1e-6
                assert 0 <= slope <= 1e-6


def test_it_is_declared_and_a_checkpoint_of_it_comes_back(tmp_path):
    p = unwound(core.defaults(type(bundles.params())))
    assert "risk.unwind.marginal_bp" in bundles.names(p)
    assert core.violations(p) == []
    save(tmp_path / "with", p, {})
    again, _ = restore(tmp_path / "with", target(tmp_path / "with"))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(p), strict=True):
        np.testing.assert_array_equal(a, b)
    plain = core.defaults(type(p))
    save(tmp_path / "without", plain, {})
    assert target(tmp_path / "without").risk.unwind is None
    assert target(tmp_path / "nowhere").risk.unwind is None
