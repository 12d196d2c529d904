"""The surface: a probability, costs that enter once, and floors that are read off it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm import belief, features, pricing, risk
from diffmm.core import numerics
from diffmm.market import Fill
from diffmm.pricing.candidates import candidates, queue_ahead


BP = 1e4
CONFIG = bundles.CONFIG
COLUMNS = CONFIG.pricing.candidates.total


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def surface():
    return bundles.standard(True).pricing


SIGN = np.array([-1.0, 1.0])[None, :, None]


def test_the_chance_of_a_fill_is_a_probability_and_falls_with_depth_and_queue():
    at = surface()
    fill = np.asarray(at.fill)
    assert ((fill > 0) & (fill < 1)).all()
    out = SIGN * np.asarray(at.ticks)[:, :, :COLUMNS]
    for t in range(fill.shape[0]):
        for side in (0, 1):
            order = np.argsort(out[t, side], kind="stable")
            assert (np.diff(fill[t, side, order]) <= 1e-15).all()


def test_the_net_edge_is_the_edge_less_every_cost_once():
    at = surface()
    costs = at.gm_bp + at.exit_bp[:, None, None] + at.carry_bp + at.fee_bp[:, None, None]
    fixed = at.edge_bp - costs - at.offset_bp[:, None, None]
    shown = np.asarray(at.log_fill) > -40
    paid = at.exit_bp[:, None, None] + at.carry_bp + at.fee_bp[:, None, None]
    outside = at.option_bp + at.sniped * paid
    net = np.asarray(fixed - outside / at.fill)
    np.testing.assert_allclose(np.asarray(at.net_bp)[shown], net[shown], rtol=1e-9)
    bracket = fixed - at.inventory_bp - at.impact_bp
    epnl = (at.fill * bracket - outside) * at.size_usd[:, None, None] / BP
    np.testing.assert_allclose(at.epnl_usd, epnl, rtol=1e-9, atol=1e-15)


def test_where_a_quote_is_worth_something_it_rests_beyond_every_floor():
    at = surface()
    free = (np.asarray(at.carry_bp) >= 0) & (np.asarray(at.inventory_bp) >= 0)
    good = (np.asarray(at.epnl_usd) > 0) & free & np.asarray(at.is_valid)
    # The fee is a rebate here; what it pays may be given away.
    fee = at.fee_bp[:, None, None] * (1 + at.sniped / at.fill)
    edge = np.asarray(at.edge_bp - fee)[good]
    assert edge.size > 10
    option = np.asarray(at.option_bp / at.fill)[good]
    for floor in (np.asarray(at.gm_bp)[good], option, np.asarray(at.inventory_bp)[good]):
        assert (edge >= floor).all()
    for cost in (at.gm_bp, at.option_bp, at.impact_bp, at.gamma_bp):
        assert (np.asarray(cost) >= -1e-12).all()


def price(**values):
    """The surface of one row after other inputs; prices and belief as they were."""
    i = 5
    batch, t = bundles.stream(), bundles.standard(True)
    p = bundles.params(jnp.float64, **values)
    event, seen, told = (events.row(x, i) for x in (batch, t.features, t.belief))
    budget = risk.update(
        p.risk, risk.init(p.risk, config=CONFIG.risk), (event, seen, told), config=CONFIG.risk
    )[1]
    given = (event, seen, told, budget, p.belief)
    return pricing.update(p.pricing, pricing.State(), given, config=CONFIG.pricing)[1]


@pytest.mark.parametrize(
    ("leaf", "value"),
    [("pricing__offset_bp", 1.05), ("pricing__taking", 0.6), ("pricing__sniping", 0.1)],
)
def test_a_cost_moves_its_own_term_and_no_other(leaf, value):
    own = {"offset_bp": "offset_bp", "taking": "exit_bp", "sniping": "option_bp"}
    before, after = price(), price(**{leaf: value})
    moved = own[leaf.removeprefix("pricing__")]
    terms = [f"{x}_bp" for x in ("gm", "option", "exit", "inventory", "carry", "fee", "offset")]
    for term in [*terms, "edge_bp", "impact_bp", "fill"]:
        same = np.array_equal(getattr(before, term), getattr(after, term))
        assert same == (term != moved), term


def test_the_adverse_selection_of_the_surface_is_the_move_that_the_fill_then_makes():
    """The same function and the same pi price the fill and learn from it."""
    batch = bundles.stream()
    p = bundles.params(jnp.float64, belief__informed_size=0.3)
    fold = lambda s, e: bundles.step(p, s, e)
    state, _ = jax.lax.scan(fold, bundles.init(p), jax.tree.map(lambda x: x[:10], batch))
    # One mode twice, so that the mixture is one Gaussian; and a row without time or fills.
    held = state[0].belief
    modes = jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), held.modes)
    held = dataclasses.replace(held, modes=modes)
    event = bundles.replace(
        events.row(batch, 10), dt_s=0.0, fill__usd=jnp.zeros(2), trade__usd=0.0, age_s=0.0
    )
    _, seen = features.update(p.features, state[0].features, event, config=CONFIG.features)
    look = lambda e: belief.update(p.belief, held, (e, seen), config=CONFIG.belief)[1]
    before = look(event)
    budget = risk.update(
        p.risk, risk.init(p.risk, config=CONFIG.risk), (event, seen, before), config=CONFIG.risk
    )[1]
    given = (event, seen, before, budget, p.belief)
    at = pricing.update(p.pricing, pricing.State(), given, config=CONFIG.pricing)[1]
    for side, sign in ((0, -1.0), (1, 1.0)):
        column = 3
        one = lambda x, s=side: jnp.zeros(2).at[s].set(x)
        event_filled = dataclasses.replace(
            event,
            fill=Fill(
                one(at.price_bp[side, column]),
                one(at.size_usd),
                one(at.ahead_usd[side, column]),
            ),
        )
        move = sign * float(look(event_filled).mean[belief.V] - before.mean[belief.V])
        assert move == pytest.approx(float(at.gm_bp[side, column]), rel=1e-5)
        assert move > 1e-4


def test_with_no_one_informed_nothing_is_lost_to_the_informed():
    t = bundles.standard(True)
    batch = bundles.stream()
    event, seen, told = (events.row(x, 5) for x in (batch, t.features, t.belief))
    told = dataclasses.replace(told, mean=told.mean.at[belief.INFORMED].set(-60.0))
    p = bundles.params(jnp.float64)
    budget = events.row(t.risk, 5)
    given = (event, seen, told, budget, p.belief)
    at = pricing.update(p.pricing, pricing.State(), given, config=CONFIG.pricing)[1]
    np.testing.assert_allclose(at.gm_bp, 0, atol=1e-12)


def test_an_older_book_makes_every_quote_beyond_fair_value_worth_less():
    t, batch, p = bundles.standard(True), bundles.stream(), bundles.params(jnp.float64)
    event, seen, told, budget = (events.row(x, 5) for x in (batch, t.features, t.belief, t.risk))
    # While takers come as always: where fewer came just now, more may come by then.
    seen = dataclasses.replace(seen, arrival_rate=seen.base_rate)
    value = []
    for age in (0.0, 0.5, 5.0):
        # Who is sniped by a hair's breadth for a rebate, or was to be sniped anyway, may gain.
        old = bundles.replace(event, age_s=age, account__maker_fee_bp=1.5)
        given = (old, seen, told, budget, p.belief)
        at = pricing.update(p.pricing, pricing.State(), given, config=CONFIG.pricing)[1]
        value.append(np.asarray(at.epnl_usd)[np.asarray(at.edge_bp) > 0])
    assert (np.diff(value, axis=0) <= 0).all()
    assert (np.diff(value, axis=0) < 0).any()


def grid(event, **kwargs):
    config = pricing.candidates.Config(**kwargs) if kwargs else CONFIG.pricing.candidates
    return candidates(event.book, event.rules.tick_bp, jnp.float64(8.0), config)


@pytest.mark.parametrize("sizes", [{}, {"inside": 6, "near": 10, "deep": 16}])
def test_candidates_grow_outwards_never_cross_and_lie_on_the_grid(sizes):
    batch = bundles.stream()
    for i in range(bundles.ROWS):
        event = events.row(batch, i)
        at = grid(event, **sizes)
        ticks, valid = np.asarray(at.ticks), np.asarray(at.is_valid)
        touch = np.asarray(event.book.ticks[:, 0])
        for side, sign in ((0, -1), (1, 1)):
            out = (sign * ticks[side])[valid[side]]
            assert (np.diff(out) > 0).all()
            assert (out > sign * touch[1 - side]).all()
            # One tick is the same price everywhere, so its bp shrink as the price rises.
            first = float(event.book.price_bp[side, 0])
            step = np.expm1(float(event.rules.tick_bp) / BP) * np.exp(-first / BP)
            expected = first + BP * np.log1p((ticks[side] - touch[side]) * step)
            np.testing.assert_allclose(at.price_bp[side], expected, rtol=1e-9, atol=1e-9)


def test_the_queue_ahead_is_all_that_is_displayed_at_better_or_equal_prices():
    event = events.row(bundles.stream(), 3)
    at = grid(event)
    ticks, usd = np.asarray(event.book.ticks), np.asarray(event.book.usd)
    for side, sign in ((0, -1), (1, 1)):
        for tick, ahead in zip(at.ticks[side], at.ahead_usd[side], strict=True):
            expected = usd[side][sign * ticks[side] <= sign * int(tick)].sum()
            assert float(ahead) == pytest.approx(expected, rel=1e-12)


def test_an_absent_level_stands_in_no_queue():
    book = events.row(bundles.stream(), 3).book
    gone = bundles.replace(book, is_valid=book.is_valid.at[:, 1:].set(False))
    far = jnp.full((2, 1), 10_000, book.ticks.dtype)
    np.testing.assert_allclose(queue_ahead(gone, far)[:, 0], book.usd[:, 0], rtol=1e-12)


def test_the_logarithm_of_the_fill_is_that_of_the_fill():
    at = surface()
    shown = np.asarray(at.log_fill) > -100
    np.testing.assert_allclose(
        np.asarray(at.log_fill)[shown], np.log(np.asarray(at.fill))[shown], rtol=1e-9
    )
    assert numerics.LOG_WEIGHT_FLOOR < float(np.min(at.log_fill))
