"""Keep or replace, integer targets, and limits that hold for the whole set."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm import allocation, execution
from diffmm.core import Health


BP = 1e4
ROW = 6
M = bundles.CONFIG.pricing.candidates.total
SLOTS = events.SLOTS
LEVELS = (2, 4)


@functools.cache
def compiled():
    def decide(event, budget, surface, sizes):
        given = (event, budget, surface, sizes)
        config = execution.Config.small()
        return execution.update(execution.Params(), execution.State(), given, config=config)[1]

    return jax.jit(decide)


@pytest.fixture
def given():
    """One decision: 100 and 200 USD wanted at two levels a side, nothing on the book."""
    batch, t = bundles.stream(), bundles.standard(False)
    event, budget, surface = (events.row(x, ROW) for x in (batch, t.risk, t.pricing))
    size = jnp.zeros((2, M)).at[:, LEVELS[0]].set(100.4).at[:, LEVELS[1]].set(200.9)
    ticks = np.stack([-np.arange(1, M + 1), np.arange(1, M + 1)]).astype(np.int32)
    own = np.full((2, SLOTS), 10_000, np.int32)
    every = lambda value: np.full((2, M + SLOTS), value)
    surface = bundles.replace(
        surface,
        ticks=np.concatenate([ticks, own], axis=1),
        fill=every(0.1),
        net_bp=every(2.0),
        epnl_usd=every(0.1 * 2.0 / BP),
        size_usd=1.0,
        gamma_bp=every(0.5),
        has_book=True,
    )
    event = bundles.replace(
        event,
        orders__is_live=np.zeros((2, SLOTS), bool),
        orders__ticks=own,
        account__position_usd=0.0,
        account__gamma_limit_usd=0.2,
    )
    budget = bundles.replace(budget, position_usd=0.0, room_usd=2e4, kelly_usd=2e4, cross_usd=0.0)
    sizes = events.row(t.allocation, ROW)
    sizes = dataclasses.replace(
        sizes, size_usd=size, gain_usd=0.1 * 2.0 * size / BP, message_usd=jnp.float32(1e-4)
    )
    return {"event": event, "budget": budget, "surface": surface, "sizes": sizes}


def decide(given):
    return compiled()(*(given[k] for k in ("event", "budget", "surface", "sizes")))


def resting(given, slot, tick, usd, **surface):
    """The same with one live order of ours a side; its surface columns by keyword."""
    event, at = given["event"], given["surface"]
    outward = jnp.array([-tick, tick], jnp.int32)
    event = bundles.replace(
        event,
        orders__ticks=event.orders.ticks.at[:, slot].set(outward),
        orders__usd=event.orders.usd.at[:, slot].set(usd),
        orders__is_live=event.orders.is_live.at[:, slot].set(True),
    )
    new = {k: getattr(at, k).at[:, M + slot].set(v) for k, v in surface.items()}
    at = bundles.replace(at, ticks=at.ticks.at[:, M + slot].set(outward), **new)
    return given | {"event": event, "surface": at}


def orders(targets, side):
    return sorted(
        (int(t), int(n))
        for t, n in zip(targets.ticks[side], targets.lots[side], strict=True)
        if int(n)
    )


def test_sizes_are_rounded_down_to_lots_and_placed_in_free_slots(given):
    out = decide(given)
    assert orders(out, 1) == [(3, 100), (5, 200)]
    assert orders(out, 0) == [(-5, 200), (-3, 100)]
    assert not np.asarray(out.keep).any()
    assert bool(out.is_valid)
    assert float(out.gamma_usd) == pytest.approx(600 * 0.5 / BP, rel=1e-5)


def test_below_the_minimum_notional_there_is_no_order(given):
    sizes = given["sizes"]
    small = dataclasses.replace(sizes, size_usd=sizes.size_usd.at[:, LEVELS[0]].set(9.9))
    assert orders(decide(given | {"sizes": small}), 1) == [(5, 200)]


def test_with_more_levels_than_slots_the_most_valuable_are_quoted(given):
    sizes = given["sizes"]
    size = sizes.size_usd.at[:, 6].set(500.0)
    more = dataclasses.replace(sizes, size_usd=size, gain_usd=0.1 * 2.0 * size / BP)
    assert orders(decide(given | {"sizes": more}), 1) == [(5, 200), (7, 500)]


def test_an_order_at_its_target_is_kept_and_no_slot_is_used_twice(given):
    out = decide(resting(given, 1, 3, 100.0))
    np.testing.assert_array_equal(out.keep, [[False, True], [False, True]])
    assert orders(out, 1) == [(3, 100), (5, 200)]
    assert int(out.ticks[1, 1]) == 3


@pytest.mark.parametrize(("price", "kept"), [(1e-4, True), (3e-3, True), (1e-6, False)])
def test_a_worse_order_stays_while_it_loses_less_than_a_message_costs(given, price, kept):
    """100 USD at tick 3 for 95: 5 USD at a tenth of 2 bp are 1e-4 USD."""
    sizes = dataclasses.replace(given["sizes"], message_usd=jnp.float32(price * 1.01))
    out = decide(resting(given | {"sizes": sizes}, 0, 3, 95.0))
    assert bool(out.keep[1, 0]) is kept
    assert orders(out, 1) == [(3, 95 if kept else 100), (5, 200)]


def test_an_order_on_the_wrong_side_of_its_worth_is_cancelled_whatever_a_message_costs(given):
    out = decide(resting(given, 0, 1, 100.0, epnl_usd=-5e-4))
    assert not bool(out.keep[1, 0])


def test_where_nothing_is_wanted_an_order_that_inventory_makes_worthless_goes(given):
    """Its edge alone is positive; what holding more would cost is not paid by it."""
    sizes = given["sizes"]
    none = dataclasses.replace(sizes, size_usd=0 * sizes.size_usd, gain_usd=0 * sizes.gain_usd)
    at = given | {"sizes": none}
    assert bool(decide(resting(at, 0, 3, 100.0)).keep[1, 0])
    assert not bool(decide(resting(at, 0, 3, 100.0, epnl_usd=-1e-5)).keep[1, 0])


@pytest.mark.parametrize("limit", ["gamma", "room", "kelly"])
def test_keeping_never_breaks_a_limit(given, limit):
    at = resting(given, 0, 3, 110.0)
    sizes = dataclasses.replace(at["sizes"], message_usd=jnp.float32(1.0))
    at = at | {"sizes": sizes}
    assert bool(decide(at).keep[1, 0])
    if limit == "gamma":
        least = 600 * 0.5 / BP
        at["event"] = bundles.replace(at["event"], account__gamma_limit_usd=least * 1.001)
    else:
        at["budget"] = bundles.replace(at["budget"], **{f"{limit}_usd": 301.0})
    out = decide(at)
    assert not np.asarray(out.keep).any()
    assert orders(out, 1) == [(3, 100), (5, 200)]
    assert float(out.gamma_usd) <= float(at["event"].account.gamma_limit_usd)


@pytest.mark.parametrize("bit", [Health.NONFINITE_SURFACE, Health.NONFINITE_ALLOCATION])
def test_a_step_that_failed_pulls_everything(given, bit):
    at = resting(given, 0, 3, 100.0)
    surface = dataclasses.replace(at["surface"], health=jnp.uint32(int(bit)))
    out = decide(at | {"surface": surface})
    assert not bool(out.is_valid)
    assert not np.asarray(out.lots).any()
    assert not np.asarray(out.keep).any()


def test_without_a_book_everything_is_pulled(given):
    at = resting(given, 0, 3, 100.0)
    surface = bundles.replace(at["surface"], has_book=False)
    out = decide(at | {"surface": surface})
    assert not bool(out.is_valid)
    assert not np.asarray(out.lots).any()


def test_targets_never_share_a_price_and_kept_orders_keep_their_size():
    t, batch = bundles.standard(False), bundles.stream()
    for i in range(bundles.ROWS):
        out, event = events.row(t.execution, i), events.row(batch, i)
        keep, lots = np.asarray(out.keep), np.asarray(out.lots)
        usd = np.asarray(event.orders.usd)
        np.testing.assert_array_equal(lots[keep], np.round(usd[keep]))
        for side in (0, 1):
            ticks = np.asarray(out.ticks[side])[lots[side] > 0]
            assert len(set(ticks)) == len(ticks)


def test_the_exposure_of_the_targets_is_within_the_limit_as_the_host_recomputes_it():
    """In float64, by code that shares nothing with the allocator; twice the sizes would breach."""
    t, batch = bundles.standard(False), bundles.stream()
    life = 0.35 + 0.25
    worst = 0.0
    for i in range(bundles.ROWS):
        out, event = events.row(t.execution, i), events.row(batch, i)
        belief = events.row(t.belief, i)
        tick = float(event.rules.tick_bp)
        quotes = [
            (tick * int(k), float(n) * float(event.rules.lot_usd))
            for k, n in zip(np.ravel(out.ticks), np.ravel(out.lots), strict=True)
        ]
        used = lambda scale, q=quotes, b=belief, e=event: execution.gamma_exposure_usd(
            [(p, scale * n) for p, n in q],
            float(b.mean[0]),
            [float(x) for x in b.mode_sigma_bp],
            [float(x) for x in jnp.exp(b.log_mode)],
            life + float(e.age_s),
        )
        limit = float(event.account.gamma_limit_usd)
        assert used(1.0) <= limit * 1.001 + 1e-4
        assert used(1.0) == pytest.approx(float(out.gamma_usd), rel=2e-3, abs=1e-6)
        worst = max(worst, used(2.0) / limit)
    assert worst > 1


def test_the_exposure_of_one_quote_at_fair_value_is_the_closed_form():
    used = execution.gamma_exposure_usd([(0.0, 1e4)], 0.0, [2.0], [1.0], 4.0)
    assert used == pytest.approx(1e4 * 4.0 / np.sqrt(2 * np.pi) / 2 / BP)
    assert execution.gamma_exposure_usd([], 0.0, [2.0], [1.0], 4.0) == 0
    mixed = execution.gamma_exposure_usd([(0.0, 1e4)], 0.0, [2.0, 6.0], [0.5, 0.5], 4.0)
    assert mixed == pytest.approx(2 * used)


def test_the_allocation_that_is_rounded_is_the_public_one():
    assert {f.name for f in dataclasses.fields(allocation.Allocation)} >= {"size_usd", "gain_usd"}
