"""The propagation's stage: what a move is, how it is taken in, and the laws of every stage."""

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
from diffmm.features import propagation
from stage_laws import assert_close, assert_padding_is_left_alone, assert_the_past_stands


CONFIG = propagation.Config.small()
ROWS, DT_S = 240, 0.1
HALF = ROWS // 2
JUMP = HALF
ACTIVE = {
    "informed_gain": 0.7,
    "noise_gain": 0.4,
    "step_tilt": 0.6,
    "gradual_tilt": 0.5,
    "reversal_tilt": 0.9,
}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def dtype():
    return jnp.float64 if jax.config.jax_enable_x64 else jnp.float32


def default(**values):
    p = core.defaults(propagation.Params, dtype())
    given = {k: jnp.asarray(v, dtype()) for k, v in {**ACTIVE, **values}.items()}
    return dataclasses.replace(p, **given)


def market(reference_bp, response_bp, x64=True):
    """Regular rows with a given reference and a mid of our own."""
    kind = np.float64 if x64 else np.float32
    batch = events.stream(ROWS, seed=5, dtype=kind, move_bp=0.0)
    tick = float(batch.rules.tick_bp[0])
    ticks = np.round(np.asarray(response_bp) / tick).astype(np.int32)[:, None, None]
    first = jax.tree.map(lambda x: np.repeat(np.asarray(x[:1]), ROWS, axis=0), batch.book)
    return bundles.replace(
        batch,
        dt_s=np.full(ROWS, DT_S, kind),
        book__ticks=first.ticks + ticks,
        book__price_bp=first.price_bp + (tick * ticks).astype(kind),
        book__usd=first.usd,
        reference__mid_bp=np.asarray(reference_bp, kind),
        reference__half_spread_bp=np.full(ROWS, 0.05, kind),
    )


@functools.cache
def stream(x64=True):
    """A quiet reference that jumps in the middle, and a mid that overshoots and comes back."""
    rng = np.random.default_rng(2)
    after = np.maximum(np.arange(ROWS) - JUMP, 0) * DT_S
    reference = np.cumsum(rng.normal(0, 0.05, ROWS)) + 8.0 * (np.arange(ROWS) >= JUMP)
    response = 8.0 * -np.expm1(-after / 1.5) * (1 - 0.5 * -np.expm1(-after / 6.0))
    return market(reference, response, x64)


def scan(p, batch):
    update = lambda s, e: propagation.update(p, s, e, config=CONFIG)
    return jax.lax.scan(update, propagation.init(p, config=CONFIG), batch)


compiled = jax.jit(scan)


def run(p=None, batch=None):
    return compiled(default() if p is None else p, stream() if batch is None else batch)


close = functools.partial(assert_close, rtol=1e-10, atol=1e-12)


# What it is.


def test_a_jump_of_the_reference_is_one_move_and_small_steps_are_none():
    told = run()[1]
    onset = np.flatnonzero(told.is_onset)
    assert list(onset) == [JUMP]
    assert 7.0 < float(told.size_bp[JUMP]) < 9.0


def test_it_is_taken_in_as_the_sum_of_the_classes_says():
    p = default(delay_s=(0.35, 1.0), rate=(0.8, 0.3))
    told = run(p)[1]
    assert (np.asarray(told.absorbed)[:JUMP] == 1).all()
    for after in range(60):
        t = after * DT_S
        hazard = 0.8 * max(t - 0.35, 0) + 0.3 * max(t - 1.0, 0)
        assert float(told.absorbed[JUMP + after]) == pytest.approx(1 - math.exp(-hazard), abs=1e-9)


def test_without_a_reference_all_is_absorbed_and_nothing_is_moved():
    silent = bundles.replace(stream(), reference__is_valid=np.zeros(ROWS, bool))
    told = run(batch=silent)[1]
    assert (np.asarray(told.absorbed) == 1).all()
    for name in ("informed_shift", "noise_bp2", "step", "gradual", "reversal", "mode_tilt"):
        assert (np.asarray(getattr(told, name)) == 0).all(), name


def test_a_reference_that_returns_from_an_outage_elsewhere_has_made_no_move():
    there = (np.arange(ROWS) < JUMP - 30) | (np.arange(ROWS) > JUMP + 3)
    told = run(batch=bundles.replace(stream(), reference__is_valid=there))[1]
    assert not np.asarray(told.is_onset).any()


def test_a_second_move_starts_the_clock_anew_and_carries_what_the_first_left():
    at = np.arange(ROWS)
    rng = np.random.default_rng(2)
    quiet = np.cumsum(rng.normal(0, 0.02, ROWS))
    second = JUMP + 15
    told = run(batch=market(quiet + 8.0 * (at >= JUMP) + 12.0 * (at >= second), 0 * quiet))[1]
    assert list(np.flatnonzero(told.is_onset)) == [JUMP, second]
    t = (second - JUMP) * DT_S
    p = default()
    pairs = zip(p.rate, p.delay_s, strict=True)
    left = math.exp(-sum(float(r) * max(t - float(d), 0) for r, d in pairs))
    deviation = float(told.deviation_bp[second])
    carried = float(told.size_bp[second]) - deviation
    assert carried == pytest.approx(left * float(told.size_bp[second - 1]), rel=1e-6)
    assert float(told.absorbed[second]) == 0.0


def test_shapes_tell_a_step_from_a_gradual_rise_and_see_a_reversal():
    at = np.arange(ROWS)
    quiet = np.cumsum(np.random.default_rng(2).normal(0, 0.05, ROWS))
    reference = quiet + 8.0 * (at >= JUMP)
    later = slice(JUMP + 2, JUMP + 15)
    step = run(batch=market(reference, 8.0 * (at > JUMP)))[1]
    slow = run(batch=market(reference, 0.0 * at))[1]
    back = run(batch=market(reference, 8.0 * ((at > JUMP) & (at < JUMP + 5))))[1]
    assert (np.asarray(step.step) > 10 * np.asarray(step.gradual))[later].all()
    assert (np.asarray(slow.step)[later] == 0).all()
    assert (np.asarray(slow.gradual)[later] > 0).all()
    assert np.asarray(back.reversal)[JUMP + 6] > 0.5
    assert np.abs(np.asarray(step.reversal)).max() < 0.05


# The laws of every stage.


def test_a_mirrored_market_has_the_same_news_of_the_other_sign():
    plain, other = run()[1], run(batch=events.mirror(stream()))[1]
    for field in dataclasses.fields(plain):
        sign = -1 if field.name in ("size_bp", "deviation_bp", "response_bp") else 1
        a, b = getattr(plain, field.name), getattr(other, field.name)
        np.testing.assert_allclose(b, sign * a if sign < 0 else a, atol=1e-10, err_msg=field.name)


@pytest.mark.slow
def test_live_steps_equal_replay_and_are_traced_once():
    traces = []

    def counted(p, state, event):
        traces.append(1)
        return propagation.update(p, state, event, config=CONFIG)

    step, p, batch = jax.jit(counted), default(), stream()
    end, out = run()
    state = propagation.init(p, config=CONFIG)
    for i in range(ROWS):
        state, one = step(p, state, events.row(batch, i))
        close(one, events.row(out, i))
    close(state, end)
    assert len(traces) == 1


def test_padding_leaves_the_state_bit_identical():
    assert_padding_is_left_alone(run, stream())


def test_perturbing_the_future_leaves_the_past_bit_identical():
    assert_the_past_stands(run, stream(), HALF)


UNITS = {"price": (3.7, 1.0, 1.0), "size": (1.0, 3.7, 1.0), "time": (1.0, 1.0, 3.7)}


@pytest.mark.parametrize("unit", UNITS)
def test_a_change_of_unit_changes_nothing_but_the_numbers(unit):
    scale, p = UNITS[unit], default()
    scaled = meaning.rescaled_params(p, list(core.declarations(p)), scale)
    rescaled = jax.vmap(lambda e: meaning.rescaled(e, scale))(stream())
    found, expected = run(scaled, rescaled)[1], run()[1]
    for (name, x), (_, y) in zip(
        meaning.named_leaves(found), meaning.named_leaves(expected), strict=True
    ):
        by = meaning.factor(meaning.dimension(name), scale)
        np.testing.assert_allclose(x, np.asarray(y) * by, rtol=1e-6, atol=1e-9, err_msg=name)


def test_a_reference_that_is_lost_after_a_move_leaves_no_doubt_behind():
    there = np.arange(ROWS) < JUMP + 5
    told = run(batch=bundles.replace(stream(), reference__is_valid=there))[1]
    assert float(told.absorbed[JUMP + 4]) < 1
    assert (np.asarray(told.absorbed)[JUMP + 5 :] == 1).all()
    for name in ("informed_shift", "noise_bp2", "mode_tilt", "reversal"):
        assert (np.asarray(getattr(told, name))[JUMP + 5 :] == 0).all(), name


@pytest.mark.parametrize("has_book", [True, False])
def test_moving_the_anchor_changes_nothing(has_book):
    batch, at = stream(), np.arange(ROWS) == HALF + 3
    if not has_book:
        valid = (
            np.asarray(batch.book.is_valid)
            & (np.abs(np.arange(ROWS) - HALF - 3) > 1)[:, None, None]
        )
        batch = bundles.replace(batch, book__is_valid=valid)
    later = np.arange(ROWS) >= HALF + 3
    ticks = np.where(later, 32, 0).astype(np.int32)[:, None, None]
    moved = bundles.replace(
        batch,
        shift_bp=at * 8.0,
        shift_ticks=at * 32,
        book__ticks=batch.book.ticks + ticks,
        book__price_bp=batch.book.price_bp + 0.25 * ticks,
    )
    close(run(batch=moved)[1], run(batch=batch)[1], rtol=1e-7, atol=1e-9)


def objective(p, batch):
    """A smooth function of everything that leaves the stage."""
    told = scan(p, batch)[1]
    parts = (told.absorbed, told.informed_shift, told.noise_bp2 / 10, told.mode_tilt)
    return sum(jnp.sum(jnp.tanh(x)) for x in parts)


value = jax.jit(objective)
gradient = jax.jit(jax.grad(objective))


@pytest.mark.slow
def test_the_gradient_equals_finite_differences_in_every_leaf_that_has_one():
    # A delay of no whole number of rows, where the law has a kink.
    p, batch = default(delay_s=(0.13, 0.97)), stream()
    found = jax.tree.leaves(gradient(p, batch))
    leaves, structure = jax.tree.flatten(p)
    silent = []
    for i, ((name, said), x, g) in enumerate(zip(core.declarations(p), leaves, found, strict=True)):
        for k in range(x.size):
            size = float(abs(x.ravel()[k])) or 1e-2

            def at(c, i=i, k=k, h=1e-5 * size, x=x):
                new = x.ravel().at[k].add(c * h).reshape(x.shape)
                given = [*leaves[:i], new, *leaves[i + 1 :]]
                return float(value(jax.tree.unflatten(structure, given), batch))

            slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12e-5
            mine = float(size * g.ravel()[k])
            np.testing.assert_allclose(mine, slope, rtol=1e-5, atol=1e-7, err_msg=f"{name}[{k}]")
            silent += [name] * (mine == 0 and said["trainable"])
    assert silent == []


def extremes(batch):
    zero = 0 * batch.dt_s
    book = batch.book
    valid = jnp.zeros_like(book.is_valid)
    return {
        "zero time": bundles.replace(batch, dt_s=zero),
        "long gaps": bundles.replace(batch, dt_s=zero + 60.0),
        "empty book": bundles.replace(batch, book__is_valid=valid, book__usd=0 * book.usd),
        "huge moves": bundles.replace(batch, reference__mid_bp=1e4 * batch.reference.mid_bp),
        "no spread": bundles.replace(
            batch, reference__half_spread_bp=zero, rules__tick_bp=zero, reference__mid_bp=zero
        ),
    }


@pytest.mark.parametrize(
    "name", ["zero time", "long gaps", "empty book", "huge moves", "no spread"]
)
def test_outputs_and_gradients_stay_finite_at_extremes_in_single_precision(name):
    with jax.enable_x64(False):
        batch = extremes(stream(False))[name]
        for p in (default(), core.defaults(propagation.Params)):
            state, told = run(p, batch)
            assert bool(core.all_finite((state, told)))
            assert bool(core.all_finite(gradient(p, batch)))


def test_single_and_double_precision_agree():
    with jax.enable_x64(False):
        single = run(default(), stream(False))[1]
    double = run()[1]
    for name in ("absorbed", "step", "gradual", "reversal", "size_bp"):
        np.testing.assert_allclose(
            getattr(single, name), getattr(double, name), rtol=1e-3, atol=1e-3, err_msg=name
        )
