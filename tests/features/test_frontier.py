"""The liquidation frontier: planted positions, exact conservation, and the laws of every stage."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
import meaning
from diffmm import core
from diffmm.features import frontier
from diffmm.market import Kind
from stage_laws import assert_close, assert_padding_is_left_alone, assert_the_past_stands


CONFIG = frontier.Config(bins=96)
ROWS, DT_S = 240, 1.0
LEVERAGES = (3.0, 5.0, 10.0, 20.0, 40.0)
PLANTED, MAINTENANCE = 2, 0.0125
START_USD, OPENED_USD = 1e7, 1e5
FALLS, BREAKS = 120, 160
"""Row from which the price falls, and from which the planted longs are being liquidated."""
ACTIVE = {"proximity_tilt": 0.8, "cascade_tilt": 0.7, "exhaustion_tilt": -0.5, "funding_gain": 300}
OWN = frontier.LONG


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def dtype():
    return jnp.float64 if jax.config.jax_enable_x64 else jnp.float32


def default(**values):
    p = core.defaults(frontier.Params, dtype())
    given = {k: jnp.asarray(v, dtype()) for k, v in {**ACTIVE, **values}.items()}
    return dataclasses.replace(p, **given)


def known(**values):
    """The planted mixture: one leverage, one tier."""
    logits = np.full(len(LEVERAGES), -60.0)
    logits[PLANTED] = 0.0
    return default(leverage_logit=logits, tier_logit=(0.0, -60.0), funding_gain=0.0, **values)


@dataclasses.dataclass(frozen=True)
class World:
    """Positions of one leverage opened along a path, then a fall through their liquidations."""

    batch: object
    mid_bp: np.ndarray
    entries_bp: np.ndarray
    liquidation_bp: np.ndarray
    standing: np.ndarray
    interest_usd: np.ndarray


@functools.cache
def world(x64=True, opens=True):
    """Longs opened at the mark, and shorts of the same leverage; the venue's rule liquidates."""
    kind = np.float64 if x64 else np.float32
    rng = np.random.default_rng(8)
    quiet = np.cumsum(rng.normal(0, 6.0, FALLS))
    fall = quiet[-1] - np.cumsum(np.full(ROWS - FALLS, 14.0))
    fall[BREAKS + 40 - FALLS :] = fall[BREAKS + 40 - FALLS]
    tick = 0.25
    mid = np.round(np.concatenate([quiet, fall]) / tick) * tick
    margin = 1 / LEVERAGES[PLANTED]
    liquidation = mid + 1e4 * math.log((1 - margin) / (1 - MAINTENANCE))
    opened = np.arange(ROWS) < FALLS if opens else np.zeros(ROWS, bool)
    opened[0] = False
    alive, interest, total = opened & False, np.zeros(ROWS), START_USD
    standing = np.zeros((ROWS, ROWS), bool)
    for i in range(ROWS):
        alive[i] = opened[i]
        total += OPENED_USD * opened[i]
        hit = alive & (mid[i] <= liquidation)
        total -= OPENED_USD * hit.sum()
        alive = alive & ~hit
        interest[i], standing[i] = total, alive
    batch = events.stream(ROWS, dtype=kind, move_bp=0.0)
    first = jax.tree.map(lambda x: np.repeat(np.asarray(x[:1]), ROWS, axis=0), batch.book)
    base = np.asarray(first.price_bp[:, :, 0]).mean(axis=1)[:, None, None]
    ticks = np.round(mid / tick).astype(np.int32)[:, None, None]
    falling = np.arange(ROWS) >= FALLS
    return World(
        bundles.replace(
            batch,
            kind=np.full(ROWS, int(Kind.CONTEXT), np.int32),
            dt_s=np.full(ROWS, DT_S, kind),
            book__ticks=first.ticks + ticks,
            book__price_bp=(first.price_bp - base + mid[:, None, None]).astype(kind),
            book__usd=first.usd,
            context__open_interest_usd=interest.astype(kind),
            context__mark_bp=mid.astype(kind),
            trade__usd=np.full(ROWS, 1e4, kind),
            trade__sign=np.where(falling, -1.0, np.where(np.arange(ROWS) % 2, 1.0, -1.0)),
        ),
        mid,
        mid[opened],
        liquidation[opened],
        standing,
        interest,
    )


SIGMA_BP = 6.0


def scan(p, batch):
    def step(state, event):
        sigma = jnp.full_like(event.dt_s, SIGMA_BP)
        return frontier.update(p, state, (event, sigma), config=CONFIG)

    return jax.lax.scan(step, frontier.init(p, config=CONFIG), batch)


compiled = jax.jit(scan)


def run(p=None, batch=None):
    return compiled(default() if p is None else p, world().batch if batch is None else batch)


close = functools.partial(assert_close, rtol=1e-9, atol=1e-9)


# Oracles of part 22.


def test_a_position_is_liquidated_where_the_reference_says(oracles):
    given = oracles["liquidation_map_leverage_mix"]
    long, short = frontier.liquidation_offset_bp(
        jnp.array([5.0, 10.0, 25.0, 50.0]), jnp.full((4,), 0.005)
    )
    text = str(given)
    expected = [24120.60, 27135.68, 28944.72, 29547.74]
    assert all(f"{int(x)}" in text for x in expected)
    np.testing.assert_allclose(30_000 * np.exp(np.asarray(long) / 1e4), expected, atol=0.01)
    at = 30_000 * math.exp(float(short[1]) / 1e4)
    assert at == pytest.approx(32835.820896, abs=1e-5)


def test_nobody_opens_with_less_than_twice_the_maintenance():
    long, short = frontier.liquidation_offset_bp(jnp.array([900.0]), jnp.array([0.02]))
    at, other = frontier.liquidation_offset_bp(jnp.array([25.0]), jnp.array([0.02]))
    np.testing.assert_allclose(long, at, rtol=1e-12)
    np.testing.assert_allclose(short, other, rtol=1e-12)
    assert float(long[0]) < 0 < float(short[0])


# Planted truth.


def mean_price(told, row, side):
    density = np.asarray(told.density_usd)[row, side]
    return float(density @ np.asarray(told.liquidation_bp)[row] / density.sum())


def test_the_planted_liquidation_prices_are_found_within_a_bin():
    one, told = world(), run(known())[1]
    row, width = FALLS - 1, float(known().bin_bp)
    density = np.asarray(told.density_usd)[row, OWN]
    true, edges = one.liquidation_bp, np.asarray(told.liquidation_bp)[row] - width / 2
    counted = np.histogram(true, np.append(edges, edges[-1] + width))[0] * OPENED_USD
    assert abs(mean_price(told, row, OWN) - true.mean()) < 0.1 * width
    assert abs(int(np.argmax(density)) - int(np.argmax(counted))) <= 1
    # As distributions they are never further apart than one bin's mass moved by one bin.
    apart = np.abs(np.cumsum(density) - np.cumsum(counted)).sum() / counted.sum()
    assert apart < 1.0
    assert density.sum() == pytest.approx(len(true) * OPENED_USD, rel=1e-9)


def test_what_is_left_as_the_price_falls_is_what_has_not_been_liquidated():
    one, told = world(), run(known())[1]
    width = float(known().bin_bp)
    for row in range(FALLS, ROWS, 10):
        left = one.standing[row].sum() * OPENED_USD
        mapped = float(np.asarray(told.density_usd)[row, OWN].sum())
        # At most what stands within a bin of the price is on the other side of its bin's middle.
        near = np.abs(one.liquidation_bp - one.mid_bp[row]) < 1.5 * width
        assert abs(mapped - left) <= OPENED_USD * near.sum() + 0.05 * START_USD, row
    assert np.asarray(told.density_usd)[-1, OWN].sum() < 0.5 * len(one.entries_bp) * OPENED_USD


def test_mass_is_conserved_on_either_side_at_every_row():
    one = world()
    for p in (known(), default()):
        told = run(p)[1]
        total = np.asarray(told.density_usd).sum(axis=2) + told.due_usd + told.far_usd
        np.testing.assert_allclose(total, one.interest_usd[:, None] + np.zeros(2), rtol=1e-12)


def test_past_liquidations_teach_the_mixture():
    one, told = world(), run(default(funding_gain=0.0, tier_logit=(0.0, -60.0)))[1]
    before, after = (np.asarray(told.leverage_share)[row, OWN] for row in (FALLS - 1, -1))
    np.testing.assert_allclose(before[:3], 1 / len(LEVERAGES), atol=0.03)
    assert after[PLANTED] > 1.15 * before[PLANTED]
    # Higher leverages were crossed on the way and nobody was liquidated there.
    assert (after[PLANTED + 1 :] < 0.8 * before[PLANTED + 1 :]).all()
    assert one.interest_usd[-1] < one.interest_usd[FALLS]


def test_proximity_rises_as_the_price_comes_and_a_cascade_is_seen_and_seen_to_end():
    told = run(known())[1]
    near, cascade = np.asarray(told.proximity)[:, OWN], np.asarray(told.cascade)[:, OWN]
    assert near[FALLS - 1] < 0.05
    assert near[FALLS : FALLS + 60].max() > 0.4
    assert (np.asarray(told.cascade)[:FALLS] < 0.05).all()
    assert cascade.max() > 0.5
    assert FALLS + 20 < int(cascade.argmax()) < BREAKS + 60
    assert float(told.exhaustion[-1, OWN]) > 3 * float(cascade[-1])
    assert (np.asarray(told.exhaustion)[: BREAKS + 20, OWN] < 0.01).all()
    assert (np.asarray(told.cascade)[:, frontier.SHORT] < 0.05).all()


def test_the_side_that_pays_funding_is_taken_to_be_levered_more():
    told = run(default(funding_gain=1e4))[1]
    share = np.asarray(told.leverage_share)[1]
    assert share[frontier.LONG, -1] > share[frontier.SHORT, -1]
    assert share.sum(axis=1) == pytest.approx(1)


def test_without_open_interest_nothing_is_known_and_nothing_is_tilted():
    batch = bundles.replace(world().batch, context__is_valid=np.zeros(ROWS, bool))
    told = run(batch=batch)[1]
    for name in ("density_usd", "proximity", "cascade", "exhaustion", "crisis_tilt"):
        assert (np.asarray(getattr(told, name)) == 0).all(), name


def test_a_feed_that_is_lost_leaves_no_alarm_behind():
    told = run(known())[1]
    alarmed = int(np.asarray(told.proximity)[:, OWN].argmax())
    there = np.arange(ROWS) < alarmed
    told = run(known(), bundles.replace(world().batch, context__is_valid=there))[1]
    assert float(told.proximity[alarmed - 1, OWN]) > 0
    for name in ("proximity", "cascade", "exhaustion", "crisis_tilt"):
        assert (np.asarray(getattr(told, name))[alarmed:] == 0).all(), name


def test_what_was_open_before_we_looked_is_far():
    told = run(batch=world(opens=False).batch)[1]
    assert (np.asarray(told.density_usd) == 0).all()
    assert (np.asarray(told.proximity) == 0).all()
    np.testing.assert_allclose(told.far_usd, START_USD)


# The laws of every stage.


@pytest.mark.slow
def test_live_steps_equal_replay():
    step = jax.jit(
        lambda p, s, e: frontier.update(p, s, (e, jnp.full_like(e.dt_s, SIGMA_BP)), config=CONFIG)
    )
    p, batch = default(), world().batch
    out = run()[1]
    state = frontier.init(p, config=CONFIG)
    for i in range(ROWS):
        state, one = step(p, state, events.row(batch, i))
        close(one, events.row(out, i), atol=1e-6)


@pytest.mark.slow
def test_padding_leaves_the_state_bit_identical():
    assert_padding_is_left_alone(run, world().batch)


@pytest.mark.slow
def test_perturbing_the_future_leaves_the_past_bit_identical():
    assert_the_past_stands(run, world().batch, FALLS)


@pytest.mark.parametrize("scale", [(1.0, 3.7, 1.0)])
def test_a_change_of_the_unit_of_size_changes_nothing_but_the_numbers(scale):
    rescaled = jax.vmap(lambda e: meaning.rescaled(e, scale))(world().batch)
    found, expected = run(batch=rescaled)[1], run()[1]
    for (name, x), (_, y) in zip(
        meaning.named_leaves(found), meaning.named_leaves(expected), strict=True
    ):
        by = meaning.factor(meaning.dimension(name), scale)
        np.testing.assert_allclose(x, np.asarray(y) * by, rtol=1e-7, atol=1e-6, err_msg=name)


def test_moving_the_anchor_changes_nothing():
    batch, at = world().batch, np.arange(ROWS) == FALLS
    later = np.arange(ROWS) >= FALLS
    ticks = np.where(later, 300, 0).astype(np.int32)[:, None, None]
    moved = bundles.replace(
        batch,
        shift_bp=at * 75.0,
        shift_ticks=at * 300,
        book__ticks=batch.book.ticks + ticks,
        book__price_bp=batch.book.price_bp + 0.25 * ticks,
        context__mark_bp=batch.context.mark_bp + 75.0 * later,
    )
    found, expected = run(batch=moved)[1], run()[1]
    for field in dataclasses.fields(expected):
        a, b = np.asarray(getattr(found, field.name)), np.asarray(getattr(expected, field.name))
        b = b + 75.0 * later[:, None] if field.name == "liquidation_bp" else b
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-5, err_msg=field.name)


def test_a_mirrored_market_has_the_frontier_of_the_other_side():
    # Longs and shorts of one leverage are mirrored to first order in the margin only, so their
    # grids are compared where there is nothing but the flow and the path.
    other = run(batch=events.mirror(world().batch))[1]
    plain = run()[1]
    np.testing.assert_allclose(
        np.asarray(other.far_usd)[:FALLS], np.asarray(plain.far_usd)[:FALLS, ::-1], rtol=0.05
    )
    assert float(np.asarray(other.cascade)[:, frontier.SHORT].max()) > 0.3
    assert float(np.asarray(other.cascade)[:, frontier.LONG].max()) < 0.05


def objective(p, batch):
    """A smooth function of what leaves the stage."""
    told = scan(p, batch)[1]
    parts = (told.proximity, told.cascade, told.leverage_share, told.crisis_tilt)
    return sum(jnp.sum(jnp.tanh(x)) for x in parts) + jnp.sum(told.density_usd[::40]) / START_USD


value = jax.jit(objective)
gradient = jax.jit(jax.grad(objective))


@pytest.mark.slow
def test_the_gradient_equals_finite_differences_in_every_leaf_that_has_one():
    p, batch = default(), world().batch
    found = jax.tree.leaves(gradient(p, batch))
    leaves, structure = jax.tree.flatten(p)
    silent = []
    for i, ((name, said), x, g) in enumerate(zip(core.declarations(p), leaves, found, strict=True)):
        if not said["trainable"]:
            continue
        for k in range(x.size):
            size = float(abs(x.ravel()[k])) or 1e-2

            def at(c, i=i, k=k, h=1e-5 * size, x=x):
                new = x.ravel().at[k].add(c * h).reshape(x.shape)
                given = [*leaves[:i], new, *leaves[i + 1 :]]
                return float(value(jax.tree.unflatten(structure, given), batch))

            slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12e-5
            mine = float(size * g.ravel()[k])
            np.testing.assert_allclose(mine, slope, rtol=1e-4, atol=1e-6, err_msg=f"{name}[{k}]")
            silent += [name] * (mine == 0)
    assert silent == []


def extremes(batch):
    zero, book = 0 * batch.dt_s, batch.book
    valid = jnp.zeros_like(book.is_valid)
    return {
        "zero time": bundles.replace(batch, dt_s=zero),
        "long gaps": bundles.replace(batch, dt_s=zero + 60.0),
        "empty book": bundles.replace(batch, book__is_valid=valid, book__usd=0 * book.usd),
        "no interest": bundles.replace(batch, context__open_interest_usd=zero),
        "huge interest": bundles.replace(
            batch, context__open_interest_usd=1e5 * batch.context.open_interest_usd
        ),
        "far moves": bundles.replace(
            batch,
            book__price_bp=20 * book.price_bp,
            context__mark_bp=20 * batch.context.mark_bp,
        ),
    }


CASES = ("zero time", "long gaps", "empty book", "no interest", "huge interest", "far moves")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_stay_finite_at_extremes_in_single_precision(name):
    with jax.enable_x64(False):
        batch = extremes(world(False).batch)[name]
        for p in (default(), core.defaults(frontier.Params)):
            state, told = run(p, batch)
            assert bool(core.all_finite((state, told)))
            assert bool(core.all_finite(gradient(p, batch)))


def test_single_and_double_precision_agree():
    with jax.enable_x64(False):
        single = run(default(), world(False).batch)[1]
    double = run()[1]
    for name in ("proximity", "cascade", "leverage_share", "crisis_tilt"):
        np.testing.assert_allclose(
            getattr(single, name), getattr(double, name), rtol=5e-3, atol=5e-3, err_msg=name
        )
