"""The participants' stage: oracles, the invariants of part 4, and the laws of every stage."""

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
from diffmm.features import participants
from diffmm.features.participants import cycles, mixture, statistics
from stage_laws import assert_close, assert_padding_is_left_alone, assert_the_past_stands


CONFIG = participants.Config.small()
ROWS = 40
HALF = ROWS // 2


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def dtype():
    return jnp.float64 if jax.config.jax_enable_x64 else jnp.float32


def default(**values):
    p = core.defaults(participants.Params, dtype())
    active = {"withdrawal_precision": 0.5, "widening_precision": 0.5, "crisis_gain": 1.0}
    given = {k: jnp.asarray(v, dtype()) for k, v in {**active, **values}.items()}
    return dataclasses.replace(p, **given)


@functools.cache
def stream(x64=True):
    """Books that share levels from row to row, so that sizes change in place too."""
    kind = np.float64 if x64 else np.float32
    batch = events.stream(ROWS, seed=3, dtype=kind, move_bp=0.1)
    hold = np.arange(ROWS) // 3 * 3
    book = jax.tree.map(lambda x: x[hold], batch.book)
    grown = 1 + 0.2 * (np.arange(ROWS) % 3)[:, None, None] * np.array([1.0, 0.0, 1.0, -1.0])
    return bundles.replace(
        batch,
        book__ticks=book.ticks,
        book__price_bp=book.price_bp,
        book__usd=book.usd * grown.astype(kind),
        trade__ticks=book.ticks[:, 1, 0],
        trade__sign=np.ones(ROWS, kind),
    )


def scan(p, batch):
    update = lambda s, e: participants.update(p, s, e, config=CONFIG)
    return jax.lax.scan(update, participants.init(p, config=CONFIG), batch)


compiled = jax.jit(scan)


def run(p=None, batch=None):
    return compiled(default() if p is None else p, stream() if batch is None else batch)


close = functools.partial(assert_close, rtol=1e-8, atol=1e-10)


# Oracles.


def test_the_dirichlet_multinomial_is_the_oracles(oracles):
    one = oracles["fingerprint_dirichlet_multinomial"]
    given, told = one["inputs"], one["expected"]
    log = lambda prior: float(
        mixture.log_dirichlet_multinomial(
            jnp.asarray(given["counts"], jnp.float64), jnp.asarray(given[prior], jnp.float64)
        )
    )
    generic, bot = log("alpha_generic"), log("alpha_bot")
    np.testing.assert_allclose(generic, told["logml_generic"], rtol=1e-9)
    np.testing.assert_allclose(bot, told["logml_bot"], rtol=1e-9)
    np.testing.assert_allclose(bot - generic, told["log_bayes_factor"], rtol=1e-9)
    shares = mixture.responsibilities(
        mixture.Log(jnp.log(jnp.full((1, 2), 0.25)), jnp.log(jnp.full((1, 2), 0.25))),
        mixture.Log(jnp.array([[generic, bot]]), jnp.array([[generic, bot]])),
    )
    np.testing.assert_allclose(shares.both[0, 1], told["posterior_bot"], rtol=1e-9)


def test_the_marginal_is_what_events_one_by_one_are_predicted_with():
    prior, sequence = np.array([8.0, 1.0, 1.0]), [0, 0, 1, 0, 2, 1, 0, 0, 0, 0]
    counts, log = prior.copy(), 0.0
    for k in sequence:
        log += math.log(counts[k] / counts.sum())
        counts[k] += 1
    found = mixture.log_dirichlet_multinomial(jnp.asarray(counts - prior), jnp.asarray(prior))
    np.testing.assert_allclose(found, log, rtol=1e-12)


def test_the_rayleigh_statistic_is_the_oracles(oracles):
    one = oracles["fingerprint_rayleigh_phase"]
    angle = cycles.TAU * np.array(one["inputs"]["phases_of_update_mod_period"])
    blank = statistics.prior(default().mixture, jnp.zeros((), jnp.float64), 2, 3)
    wide = lambda x: jnp.full_like(blank.cosine, x)
    of = dataclasses.replace(
        blank,
        cosine=wide(np.cos(angle).sum()),
        sine=wide(np.sin(angle).sum()),
        phases=wide(float(len(angle))),
    )
    z = cycles.rayleigh(of)
    np.testing.assert_allclose(z, one["expected"]["z"], rtol=1e-9)
    np.testing.assert_allclose(jnp.exp(-z), one["expected"]["p_first_order"], rtol=1e-9)
    np.testing.assert_allclose(jnp.sqrt(z / 6), one["expected"]["R"], rtol=1e-9)


# The invariants of part 4; (2), conservation, is in `test_participants_changes`.


def test_exchanging_the_classes_labels_exchanges_what_is_said_of_them_and_nothing_else():
    p = default()
    order = np.array([2, 0, 1])
    offset = p.mixture.size_offset
    mixed = dataclasses.replace(p.mixture, size_offset=offset.at[:3].set(offset[order]))
    plain, other = run()[1], run(dataclasses.replace(p, mixture=mixed))[1]
    for name in ("size_usd", "share", "stability", "quotes", "expected_quotes", "rayleigh"):
        np.testing.assert_allclose(
            getattr(other, name), getattr(plain, name)[:, order], rtol=1e-7, atol=1e-9
        )
    np.testing.assert_allclose(other.withdrawal, plain.withdrawal, rtol=1e-7, atol=1e-10)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(other.size_usd, plain.size_usd, rtol=1e-3)


def some_marks(n=4, seed=0):
    rng = np.random.default_rng(seed)
    k, bins, periods = 3, 3, default().mixture.period_s.shape[0]
    shares = lambda m: rng.dirichlet(np.ones(m), n)
    f = lambda x: jnp.asarray(x, jnp.float64)
    return statistics.Marks(
        weight=f(np.ones(n)),
        log_size=f(rng.normal(3, 1, n)),
        log_order=f(rng.normal(3, 1, (n, k))),
        has_order=jnp.ones((n, k), bool),
        depth=f(shares(bins)),
        kind=f(shares(3)),
        symmetry=f(shares(2)),
        is_add=f(np.ones(n)),
        log_latency=f(-1.0),
        has_latency=f(1.0),
        log_interval=f(np.zeros(k)),
        cosine=f(np.ones(periods)),
        sine=f(np.zeros(periods)),
    )


def learnt():
    """Classes after some events, so that they differ in everything."""
    p = default().mixture
    of = statistics.prior(p, jnp.asarray(3.0, jnp.float64), 3, 3)
    for seed in range(20):
        seen = some_marks(seed=seed)
        even = jnp.full((4, 3), 1 / 6, jnp.float64)
        like = mixture.log_likelihood(p, of, seen)
        shares = mixture.responsibilities(mixture.Log(jnp.log(even), jnp.log(even)), like)
        of = mixture.learn(p, of, seen, shares)
    return p, of


def test_every_event_twice_doubles_the_log_odds_of_whose_they_are():
    p, of = learnt()
    seen = some_marks(seed=99)
    twice = dataclasses.replace(
        seen,
        **{
            name: jnp.concatenate([getattr(seen, name)] * 2)
            for name in (
                *("weight", "log_size", "log_order", "has_order", "depth"),
                *("kind", "symmetry", "is_add"),
            )
        },
    )
    odds = lambda marks: np.asarray(mixture.log_likelihood(p, of, marks).order.sum(axis=0))
    once, both = odds(seen), odds(twice)
    assert abs(once[1] - once[0]) > 0.1
    np.testing.assert_allclose(both - both[0], 2 * (once - once[0]), rtol=1e-12)


def test_without_events_responsibilities_are_the_prior_and_learning_fades_to_it():
    batch = stream()
    still = jax.tree.map(lambda x: jnp.repeat(x[:1], ROWS, axis=0), batch)
    still = bundles.replace(still, trade__usd=0 * still.dt_s, dt_s=0 * still.dt_s + 0.2)
    told = run(batch=still)[1]
    np.testing.assert_allclose(told.responsibility, 1 / 3, rtol=1e-12)
    assert not np.asarray(told.change_usd).any()
    p, of = learnt()
    to = statistics.prior(p, jnp.asarray(3.0, jnp.float64), 3, 3)
    close(statistics.forget(of, to, jnp.asarray(0.0, jnp.float64)), to)
    close(statistics.forget(of, to, jnp.asarray(1.0, jnp.float64)), of)


def test_a_mirrored_market_has_the_same_participants_who_lean_the_other_way():
    plain, other = run()[1], run(batch=events.mirror(stream()))[1]
    flip = {"change_usd": 1, "traded_usd": 1, "responsibility": 2}
    for field in dataclasses.fields(plain):
        a, b = getattr(plain, field.name), getattr(other, field.name)
        if field.name == "standing":
            np.testing.assert_allclose(b.lean, -a.lean, rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(b.depth_usd, jnp.flip(a.depth_usd, 2), rtol=1e-8, atol=1e-6)
            a, b = a.spread_bp, b.spread_bp
        elif field.name in flip:
            a = jnp.flip(a, flip[field.name])
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-9, err_msg=field.name)
    assert np.abs(np.asarray(plain.standing.lean)).max() > 0.1


# The laws of every stage.


def test_live_steps_equal_replay_and_are_traced_once():
    traces = []

    def counted(p, state, event):
        traces.append(1)
        return participants.update(p, state, event, config=CONFIG)

    step, p, batch = jax.jit(counted), default(), stream()
    end, out = run()
    state = participants.init(p, config=CONFIG)
    for i in range(ROWS):
        state, one = step(p, state, events.row(batch, i))
        close(one, events.row(out, i))
    close(state, end)
    assert len(traces) == 1


def test_rows_under_vmap_equal_separate_runs():
    p = default()
    scales = (0.95, 1.0, 1.05)
    many = [jax.tree.map(lambda x, c=c: x * c, p) for c in scales]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *many)
    _, out = jax.vmap(compiled, in_axes=(0, None))(stacked, stream())
    for i, one in enumerate(many):
        close(events.row(out, i), run(one)[1], rtol=1e-7, atol=1e-9)


def test_padding_leaves_the_state_bit_identical():
    assert_padding_is_left_alone(run, stream())


def test_perturbing_the_future_leaves_the_past_bit_identical():
    assert_the_past_stands(run, stream(), HALF)


@pytest.mark.parametrize("x64", [False, True])
def test_the_state_keeps_its_tree_its_shapes_and_its_dtypes(x64):
    with jax.enable_x64(x64):
        p, event = default(), events.row(stream(x64), 0)
        before = jax.eval_shape(lambda p: participants.init(p, config=CONFIG), p)
        update = lambda p, s, e: participants.update(p, s, e, config=CONFIG)
        after, out = jax.eval_shape(update, p, before, event)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    kinds = {x.dtype for x in jax.tree.leaves((after, out))}
    assert kinds <= {jnp.dtype(dtype() if x64 else jnp.float32), jnp.dtype(bool)}
    assert not any(jnp.issubdtype(x.dtype, jnp.integer) for x in jax.tree.leaves(before))


UNITS = {"price": (3.7, 1.0, 1.0), "size": (1.0, 3.7, 1.0), "time": (1.0, 1.0, 3.7)}
PER_S = {"precision": (0, 0, 0), "z": (0, 0, 0)}


@pytest.mark.parametrize("unit", UNITS)
def test_a_change_of_unit_changes_nothing_but_the_numbers(unit):
    scale, p = UNITS[unit], default()
    scaled = meaning.rescaled_params(p, list(core.declarations(p)), scale)
    # The shapes' horizons are in s as well.
    horizons = tuple(h * scale[2] for h in CONFIG.horizons_s)
    config = dataclasses.replace(CONFIG, horizons_s=horizons)

    def fold(p, batch):
        update = lambda s, e: participants.update(p, s, e, config=config)
        return jax.lax.scan(update, participants.init(p, config=config), batch)[1]

    rescaled = jax.vmap(lambda e: meaning.rescaled(e, scale))(stream())
    found, expected = jax.jit(fold)(scaled, rescaled), run()[1]
    for (name, x), (_, y) in zip(
        meaning.named_leaves(found), meaning.named_leaves(expected), strict=True
    ):
        if name == "phase":
            x, y = (np.cos(cycles.TAU * np.asarray(v)) for v in (x, y))
        dim = PER_S.get(name) or meaning.dimension(name)
        np.testing.assert_allclose(
            x, y * meaning.factor(dim, scale), rtol=1e-6, atol=1e-8, err_msg=name
        )


def test_moving_the_anchor_changes_nothing():
    ticks = np.where(np.arange(ROWS) >= HALF, 32, 0).astype(np.int32)
    by = lambda x: ticks.reshape(-1, *[1] * (x.ndim - 1))
    batch, at = stream(), np.arange(ROWS) == HALF
    moved = bundles.replace(
        batch,
        shift_bp=at * 8.0,
        shift_ticks=at * 32,
        book__ticks=batch.book.ticks + by(batch.book.ticks),
        book__price_bp=batch.book.price_bp + 0.25 * by(batch.book.price_bp),
        trade__ticks=batch.trade.ticks + ticks,
    )
    close(run(batch=moved)[1], run()[1], rtol=1e-7, atol=1e-9)


def objective(p, batch):
    """A smooth function of everything that leaves the stage."""
    told = scan(p, batch)[1]
    parts = (
        told.z,
        100 * told.precision,
        told.expected_quotes,
        told.toxicity_bp,
        told.crisis_tilt,
        told.stability,
    )
    return sum(jnp.sum(jnp.tanh(x)) for x in parts)


QUICKLY = {"xla_backend_optimization_level": 0}
"""A large program that runs a few times: compiled in less time, not to run in less."""
value = jax.jit(objective, compiler_options=QUICKLY)
gradient = jax.jit(jax.grad(objective), compiler_options=QUICKLY)


@pytest.mark.slow
def test_the_gradient_equals_finite_differences():
    p, batch = default(), stream()
    found = jax.tree.leaves(gradient(p, batch))
    leaves, structure = jax.tree.flatten(p)
    silent = []
    for i, ((name, _), x, g) in enumerate(zip(core.declarations(p), leaves, found, strict=True)):
        for k in range(x.size):
            size = float(abs(x.ravel()[k])) or 1e-2

            def at(c, i=i, k=k, h=1e-5 * size, x=x):
                new = x.ravel().at[k].add(c * h).reshape(x.shape)
                return float(
                    value(
                        jax.tree.unflatten(structure, [*leaves[:i], new, *leaves[i + 1 :]]), batch
                    )
                )

            slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12e-5
            mine = float(size * g.ravel()[k])
            np.testing.assert_allclose(mine, slope, rtol=1e-4, atol=1e-6, err_msg=f"{name}[{k}]")
            silent += [name] * (mine == 0)
    # Classes that do not run in the small shapes, caps that nothing reaches here, a gate on data.
    caps = {"mixture.phase_most", "mixture.rayleigh_most"}
    assert set(silent) <= {"mixture.size_offset", "answer_s"} | caps


def extremes(batch):
    zero = 0 * batch.dt_s
    book = batch.book
    valid = jnp.zeros_like(book.is_valid)
    return {
        "tiny sizes": bundles.replace(batch, book__usd=1e-6 * book.usd),
        "huge sizes": bundles.replace(batch, book__usd=1e8 * book.usd),
        "zero time": bundles.replace(batch, dt_s=zero),
        "long gaps": bundles.replace(batch, dt_s=zero + 60.0),
        "empty book": bundles.replace(batch, book__is_valid=valid, book__usd=0 * book.usd),
        "huge prints": bundles.replace(batch, trade__usd=zero + 1e10),
        "wide": bundles.replace(batch, book__price_bp=book.price_bp * 1e3),
        "still": jax.tree.map(lambda x: jnp.repeat(x[:1], ROWS, axis=0), batch),
    }


NAMES = ("tiny sizes", "huge sizes", "zero time", "long gaps", "empty book", "huge prints")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "wide", "still"])
def test_outputs_and_gradients_stay_finite_at_extremes_in_single_precision(name):
    with jax.enable_x64(False):
        p, batch = default(), extremes(stream(False))[name]
        late = jnp.arange(ROWS) >= HALF
        pick = lambda a, b: jnp.where(late.reshape(-1, *[1] * (a.ndim - 1)), b, a)
        for one in (batch, jax.tree.map(pick, stream(False), batch)):
            state, told = run(p, one)
            assert bool(core.all_finite((state, told)))
            assert bool(core.all_finite(gradient(p, one)))


def test_single_and_double_precision_agree():
    with jax.enable_x64(False):
        single = run(default(), stream(False))[1]
    double = run()[1]
    for name in ("withdrawal", "widening", "stability", "size_usd", "expected_quotes"):
        np.testing.assert_allclose(
            getattr(single, name), getattr(double, name), rtol=2e-3, atol=2e-3, err_msg=name
        )


def test_the_compiled_stage_calls_no_library():
    lowered = compiled.lower(default(), stream()).compile().as_text()
    assert "custom-call" not in lowered


def test_sizes_that_cannot_be_told_apart_by_a_prior_are_refused():
    with pytest.raises(ValueError, match="expected 2 to 8"):
        participants.build(participants.Config(classes=9))
