"""The laws that every stage obeys by having one row in `STAGES`.

With runtime shape and dtype checks (one lane):
`pytest --jaxtyping-packages=diffmm,beartype.beartype tests/test_laws.py -k "not checks_on"`.
"""

import dataclasses
import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
import meaning
from diffmm import allocation, belief, core, execution, features, pricing, risk


# Two gradients of the whole engine take minutes to compile where other work shares the machine.
pytestmark = pytest.mark.timeout(900)


CONFIG, ROWS = bundles.CONFIG, bundles.ROWS
PARTS = ("features", "belief", "risk", "pricing", "allocation", "execution")


@dataclasses.dataclass(frozen=True)
class Row:
    """One stage: where its parameters, inputs and outputs are found in the engine's trace."""

    name: str
    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], Any]
    inputs: Callable[[Any, Any], Any]

    def params(self, p):
        return p if self.name == "engine" else getattr(p, self.name)

    def output(self, t):
        return t if self.name == "engine" else getattr(t, self.name)


def bound(module, name, inputs):
    config = getattr(CONFIG, name)
    return Row(
        name,
        functools.partial(module.init, config=config),
        functools.partial(module.update, config=config),
        inputs,
    )


def priced(params, state, inputs):
    """Pricing reads the belief's parameters too; they are its defaults here."""
    dtype = jax.tree.leaves(params)[0].dtype
    given = (*inputs, bundles.params(dtype).belief)
    return pricing.update(params, state, given, config=CONFIG.pricing)


STAGES = (
    bound(features, "features", lambda e, t: e),
    bound(belief, "belief", lambda e, t: (e, t.features)),
    bound(risk, "risk", lambda e, t: (e, t.features, t.belief)),
    Row(
        "pricing",
        functools.partial(pricing.init, config=CONFIG.pricing),
        priced,
        lambda e, t: (e, t.features, t.belief, t.risk),
    ),
    bound(allocation, "allocation", lambda e, t: (e, t.risk, t.pricing)),
    bound(execution, "execution", lambda e, t: (e, t.risk, t.pricing, t.allocation)),
    Row("engine", bundles.init, bundles.step, lambda e, t: e),
)
EACH = pytest.mark.parametrize("row", STAGES, ids=lambda r: r.name)
WITH_PARAMS = pytest.mark.parametrize(
    "row", [r for r in STAGES if r.name not in ("execution", "engine")], ids=lambda r: r.name
)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def single_precision(double_precision):
    with jax.enable_x64(False):
        yield


def stream():
    return bundles.stream()


def standard():
    return bundles.standard(bool(jax.config.jax_enable_x64))


def default():
    return bundles.params(jnp.float64 if jax.config.jax_enable_x64 else jnp.float32)


@functools.cache
def runner(name):
    """The compiled fold of one stage over recorded inputs; one entry a session."""
    row = next(r for r in STAGES if r.name == name)

    def fold(params, inputs):
        update = lambda state, one: row.update(params, state, one)
        return jax.lax.scan(update, row.init(params), inputs)

    return jax.jit(fold)


def run(row, inputs, params=None):
    return runner(row.name)(row.params(default()) if params is None else params, inputs)


def recorded(row):
    return row.inputs(stream(), standard())


ACCURACY = {
    "size_usd": (1e-6, 1e-2),
    "gain_usd": (1e-4, 1e-5),
    "gamma_usd": (1e-4, 1e-5),
    "gamma_dual": (1e-3, 1e-3),
    "cap_dual_bp": (1e-3, 1e-3),
}
"""`(rtol, atol)` that the solver of the sizes promises; a lot is one USD here."""


def close(a, b, rtol=1e-9, atol=1e-12):
    """Leaf by leaf, with the leaf's name in the message."""
    for (name, x), (_, y) in zip(meaning.named_leaves(a), meaning.named_leaves(b), strict=True):
        most = ACCURACY.get(name, (0.0, 0.0))
        np.testing.assert_allclose(
            x, y, rtol=max(rtol, most[0]), atol=max(atol, most[1]), err_msg=name
        )


def same(a, b):
    for (name, x), (_, y) in zip(meaning.named_leaves(a), meaning.named_leaves(b), strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


@EACH
def test_live_steps_equal_replay_and_are_traced_once(row):
    traces = []

    def counted(params, state, inputs):
        traces.append(row.name)
        return row.update(params, state, inputs)

    step, inputs, params = jax.jit(counted), recorded(row), row.params(default())
    end, out = run(row, inputs)
    state, said = row.init(params), []
    for i in range(ROWS):
        state, one = step(params, state, events.row(inputs, i))
        said.append(one)
    close(jax.tree.map(lambda *x: jnp.stack(x), *said), out)
    close(state, end)
    assert len(traces) == 1


@EACH
def test_a_row_under_vmap_equals_a_separate_run(row):
    inputs, params = recorded(row), row.params(default())
    scales = (0.9, 1.0, 1.1)
    many = [jax.tree.map(lambda x, c=c: x * c, params) for c in scales]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *many) if jax.tree.leaves(params) else params
    batched = jax.vmap(runner(row.name), in_axes=(0, None), axis_size=len(scales))
    _, out = batched(stacked, inputs)
    for i, one in enumerate(many):
        close(events.row(out, i), run(row, inputs, one)[1], rtol=1e-8, atol=1e-10)


def event_of(inputs):
    return inputs[0] if isinstance(inputs, tuple) else inputs


def with_event(inputs, event):
    return (event, *inputs[1:]) if isinstance(inputs, tuple) else event


def padding(inputs):
    """The same rows, backwards and not valid."""
    garbage = jax.tree.map(lambda x: x[::-1], inputs)
    batch = event_of(garbage)
    return with_event(garbage, bundles.replace(batch, is_valid=jnp.zeros(ROWS, bool)))


@pytest.mark.parametrize("row", STAGES[:2], ids=lambda r: r.name)
def test_padding_leaves_the_state_bit_identical(row):
    inputs = recorded(row)
    weave = lambda a, b: jnp.stack([a, b], 1).reshape(-1, *a.shape[1:])
    end, out = run(row, jax.tree.map(weave, inputs, padding(inputs)))
    plain_end, plain = run(row, inputs)
    same(end, plain_end)
    same(jax.tree.map(lambda x: x[::2], out), plain)


@pytest.mark.parametrize("row", STAGES[2:-1], ids=lambda r: r.name)
def test_a_decision_at_the_padded_repeat_of_a_wake_is_the_decision_at_the_wake(row):
    inputs = recorded(row)
    repeat = bundles.replace(event_of(inputs), is_valid=jnp.zeros(ROWS, bool))
    same(run(row, with_event(inputs, repeat))[1], run(row, inputs)[1])


@EACH
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_state_keeps_its_tree_its_shapes_and_its_dtypes(row, dtype):
    params = row.params(bundles.params(dtype))
    cast = lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
    inputs = jax.tree.map(cast, events.row(recorded(row), 0))
    before = jax.eval_shape(row.init, params)
    after, out = jax.eval_shape(row.update, params, before, inputs)
    assert before == after or jax.tree.map(lambda a, b: a == b, before, after)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    floats = {x.dtype for x in jax.tree.leaves(out) if jnp.issubdtype(x.dtype, jnp.floating)}
    assert floats <= {jnp.dtype(dtype)}, "a stage wrote a dtype of its own"


@EACH
def test_parameters_survive_the_round_trip_and_the_line_maps_into_the_domain(row):
    params = row.params(default())
    assert core.violations(params) == []
    raw = core.unconstrain(params)
    assert bool(core.all_finite(raw))
    close(core.constrain(raw), params, rtol=1e-9, atol=1e-12)
    for x in (-4.0, 4.0):
        assert core.violations(core.constrain(jax.tree.map(lambda y, x=x: y * 0 + x, raw))) == []


@EACH
def test_perturbing_the_future_leaves_the_past_bit_identical(row):
    inputs = recorded(row)
    half = ROWS // 2
    other = jax.tree.map(lambda x: jnp.concatenate([x[:half], x[half:][::-1]]), inputs)
    first = lambda tree: jax.tree.map(lambda x: x[:half], tree)
    out, changed = run(row, inputs)[1], run(row, other)[1]
    same(first(out), first(changed))
    with pytest.raises(AssertionError):
        same(out, changed)


@functools.cache
def slopes(objective):
    """Elasticities of an objective: by gradient and by central differences, element by element."""
    p, batch = default(), stream()
    gradient = jax.tree.leaves(bundles.gradient[objective](p, batch))
    leaves, structure = jax.tree.flatten(p)
    found = {}
    for i, (name, x, g) in enumerate(zip(bundles.names(p), leaves, gradient, strict=True)):
        for k in range(x.size):
            size = float(abs(x.ravel()[k])) or 1e-2

            def at(c, i=i, k=k, h=1e-5 * size, x=x):
                moved = x.ravel().at[k].add(c * h).reshape(x.shape)
                new = jax.tree.unflatten(structure, [*leaves[:i], moved, *leaves[i + 1 :]])
                return float(bundles.value[objective](new, batch))

            slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12e-5
            label = f"{name}[{k}]" if x.ndim else name
            found[label] = float(size * g.ravel()[k]), slope
    return found


def trainable_slopes(row, objective):
    told = dict(core.declarations(default()))
    return {
        n: v
        for n, v in slopes(objective).items()
        if n.startswith(row.name) and told[n.partition("[")[0]]["trainable"]
    }


TOLERANCES = {"surface": (1e-5, 1e-8), "sizes": (1e-3, 1e-5)}
"""The sizes come from a solver of finite accuracy, and so do their differences."""


@WITH_PARAMS
@pytest.mark.parametrize("objective", TOLERANCES)
def test_the_gradient_equals_finite_differences_through_the_whole_engine(row, objective):
    mine = trainable_slopes(row, objective)
    assert mine
    rtol, atol = TOLERANCES[objective]
    for name, (gradient, slope) in mine.items():
        np.testing.assert_allclose(gradient, slope, rtol=rtol, atol=atol, err_msg=name)


SILENT = {
    "pricing.reach": "the deepest candidate, in whole ticks",
    "belief.dynamics.drift_vol[2]": "the third mode does not run in the small shapes",
    "belief.dynamics.sigma_scale[2]": "the same",
    "belief.dynamics.log_sigma_vol[2]": "the same",
    "belief.exit_rate[2]": "the same",
    "belief.predictive.relaxation_s": "scores the belief and shapes no quote",
    "belief.predictive.filter_share": "the same",
    "belief.predictive.follow_through_sd": "the same",
    "belief.predictive.lag_share": "the same",
    "belief.predictive.move_exponent": "the same",
    "belief.predictive.move_bias": "the same",
    "belief.predictive.move_pull": "the same",
    "features.prior_moves": "the same",
    "risk.proximity_share": "acts only where liquidations are mapped: see tests/risk",
    "risk.recovery_share": "the same",
}


@WITH_PARAMS
def test_every_number_that_shapes_a_quote_has_a_gradient(row):
    silent = [n for n, (gradient, _) in trainable_slopes(row, "sizes").items() if gradient == 0]
    assert [n for n in silent if n not in SILENT] == []


def empty(batch):
    valid = jnp.zeros_like(batch.book.is_valid)
    return bundles.replace(batch, book__is_valid=valid, book__usd=0 * batch.book.usd)


def from_row(batch, start, change):
    """The change from row `start` on, so that the state before it is an ordinary one."""
    late = jnp.arange(ROWS) >= start
    pick = lambda a, b: jnp.where(late.reshape(-1, *[1] * (a.ndim - 1)), b, a)
    return jax.tree.map(pick, batch, change(batch))


def wide(batch):
    away = jnp.array([-2e3, 2e3], batch.dt_s.dtype)[None, :, None]
    ticks = jnp.array([-8000, 8000], jnp.int32)[None, :, None]
    book = batch.book
    return bundles.replace(
        batch, book__price_bp=book.price_bp + away, book__ticks=book.ticks + ticks
    )


LONGEST_GAP_S = 60.0
"""A longer gap is a restart with an ordinary step; the encoder bridges 240 timers of 250 ms."""
EXTREMES = {
    "huge spread": wide,
    "tiny sizes": lambda b: bundles.replace(b, book__usd=1e-6 * b.book.usd),
    "huge sizes": lambda b: bundles.replace(b, book__usd=1e8 * b.book.usd),
    "zero time": lambda b: bundles.replace(b, dt_s=0 * b.dt_s),
    "huge gap": lambda b: bundles.replace(b, dt_s=0 * b.dt_s + LONGEST_GAP_S),
    "empty book": empty,
    "huge print": lambda b: bundles.replace(b, trade__usd=0 * b.trade.usd + 1e10),
    "huge position": lambda b: bundles.replace(
        b, account__position_usd=0 * b.account.position_usd + 1e7
    ),
    "no room": lambda b: bundles.replace(
        b, account__room_usd=0 * b.dt_s + 1e-3, account__gamma_limit_usd=0 * b.dt_s + 1e-9
    ),
    "largest rates": lambda b: bundles.replace(
        b,
        context__funding_rate_1h=0 * b.dt_s + 0.04,
        context__premium_rate_1h=0 * b.dt_s - 0.04,
        context__settlement_s=0 * b.dt_s,
    ),
    "far reference": lambda b: bundles.replace(b, reference__mid_bp=b.reference.mid_bp + 3e4),
    "far fill": lambda b: bundles.replace(
        b, fill__price_bp=b.fill.price_bp + 5e3, fill__usd=0 * b.fill.usd + 1e6
    ),
    "frozen price": lambda b: jax.tree.map(lambda x: jnp.repeat(x[:1], ROWS, axis=0), b),
}


def assert_finite(tree, label):
    for leaf, x in meaning.named_leaves(tree):
        if jnp.issubdtype(x.dtype, jnp.floating):
            rows = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))
            assert rows.size == 0, f"{label}.{leaf} is not finite at {rows}"


@functools.cache
def extreme(name, start):
    """Events and outputs in the product's precision."""
    batch = from_row(stream(), start, EXTREMES[name])
    return batch, bundles.trace(default(), batch)


AT_EXTREMES = pytest.mark.parametrize(
    ("name", "start"), [(name, start) for name in EXTREMES for start in (0, 8)]
)


def not_finite(objective, batch):
    gradient = bundles.gradient[objective](default(), batch)
    pairs = zip(bundles.names(gradient), jax.tree.leaves(gradient), strict=True)
    return [name for name, g in pairs if not np.isfinite(g).all()]


@pytest.mark.usefixtures("single_precision")
@AT_EXTREMES
def test_the_surface_and_its_gradient_stay_finite_at_extreme_inputs(name, start):
    batch, t = extreme(name, start)
    for part in ("features", "belief", "risk", "pricing"):
        assert_finite(getattr(t, part), part)
    assert bool(core.all_finite(t.state))
    assert not_finite("surface", batch) == []


@pytest.mark.usefixtures("single_precision")
@AT_EXTREMES
def test_the_sizes_and_their_gradient_stay_finite_at_extreme_inputs(name, start):
    batch, t = extreme(name, start)
    for part in ("allocation", "execution"):
        assert_finite(getattr(t, part), part)
    assert not_finite("sizes", batch) == []


MINUTE = 1e-5
"""The venue's grid is even in price, not in bp, so a mirror, another unit of bp and another anchor
change nothing only where bp are few; at this scale they are exact to 1e-8."""


def minute(bp=1.0, usd=1.0, s=1.0):
    """Parameters and events with all prices scaled down, in units that are finer by the factors."""
    p, scale = default(), (MINUTE * bp, usd, s)
    scaled = meaning.rescaled_params(p, list(core.declarations(p)), scale)
    return scaled, meaning.rescaled(stream(), scale)


def magnified(t, stage, bp=1.0, usd=1.0, s=1.0):
    """A stage's outputs, told in the ordinary units again."""
    return meaning.rescaled(getattr(t, stage), (1 / (MINUTE * bp), 1 / usd, 1 / s))


@functools.cache
def small_moves():
    return bundles.trace(*minute())


@functools.cache
def reflected():
    p, batch = minute()
    return bundles.trace(p, events.mirror(batch))


@pytest.mark.parametrize("stage", PARTS)
def test_exchanging_bid_and_ask_mirrors_every_output(stage):
    expected = meaning.mirrored(stage, magnified(small_moves(), stage))
    close(magnified(reflected(), stage), expected, rtol=1e-6, atol=1e-6)


UNITS = {"price": {"bp": 3.7}, "size": {"usd": 3.7}, "time": {"s": 3.7}}


@functools.cache
def in_units(name):
    return bundles.trace(*minute(**UNITS[name]))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("stage", PARTS)
def test_a_change_of_unit_changes_nothing_but_the_numbers(stage, unit):
    found = magnified(in_units(unit), stage, **UNITS[unit])
    close(found, magnified(small_moves(), stage), rtol=1e-6, atol=1e-6)


def late(ticks):
    """`ticks` from row 10 on, shaped to add to a leaf."""
    rows = np.where(np.arange(ROWS) >= 10, ticks, 0).astype(np.int32)
    return lambda x: rows.reshape(-1, *[1] * (x.ndim - 1))


@functools.cache
def reanchored():
    """From row 10 on, every price is told about an anchor 32 ticks lower."""
    p, batch = minute()
    ticks = late(32)
    shift = lambda x: x + 0.25 * MINUTE * ticks(x)
    whole = lambda x: x + ticks(x)
    at = np.arange(ROWS) == 10
    moved = bundles.replace(
        batch,
        shift_bp=at * 32 * 0.25 * MINUTE,
        shift_ticks=at * 32,
        book__price_bp=shift(batch.book.price_bp),
        book__ticks=whole(batch.book.ticks),
        trade__price_bp=shift(batch.trade.price_bp),
        trade__ticks=whole(batch.trade.ticks),
        context__mark_bp=shift(batch.context.mark_bp),
        fill__price_bp=shift(batch.fill.price_bp),
        orders__price_bp=shift(batch.orders.price_bp),
        orders__ticks=whole(batch.orders.ticks),
    )
    return bundles.trace(p, moved)


@pytest.mark.parametrize("stage", PARTS)
def test_moving_the_anchor_moves_prices_and_nothing_else(stage):
    expected, found = magnified(small_moves(), stage), magnified(reanchored(), stage)
    ticks = late(32)
    for (name, x), (_, y) in zip(
        meaning.named_leaves(found), meaning.named_leaves(expected), strict=True
    ):
        want = np.asarray(y)
        if name in ("mid_bp", "fair_bp", "price_bp"):
            want = want + 0.25 * ticks(want)
        elif name == "ticks":
            want = np.where((stage == "pricing") | (x != 0), want + ticks(want), 0)
        elif name == "z":
            want = want + 0.25 * ticks(want) * (np.arange(want.shape[-1]) < 3)
        elif name in ("mean", "mode_mean"):
            want = want + 0.25 * ticks(want) * (np.arange(4) == belief.V)
        rtol, atol = ACCURACY.get(name, (1e-6, 1e-6))
        np.testing.assert_allclose(x, want, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("stage", PARTS)
def test_single_and_double_precision_agree_before_rounding(stage):
    with jax.enable_x64(False):
        single = getattr(bundles.standard(False), stage)
    double = getattr(standard(), stage)
    # Below this the floor of the likelihood in single precision shows; no size is there.
    seen = np.asarray(standard().pricing.log_fill) > -40
    for (name, x), (_, y) in zip(
        meaning.named_leaves(single), meaning.named_leaves(double), strict=True
    ):
        x, y = np.asarray(x, float), np.asarray(y, float)
        if name in ("size_usd", "gain_usd", "lots") and y.ndim > 1:
            # Where the programme is flat in a size, so is what it is worth.
            assert np.mean(np.abs(x - y) > 0.02 * np.max(y)) < 0.05, name
            continue
        if stage == "execution" or "dual" in name:
            continue
        if y.shape == seen.shape:
            x, y = x[seen], y[seen]
        atol = 2e-3 * (np.quantile(np.abs(y), 0.9) + 1e-6)
        if name == "gamma_usd":
            # The programme gives a level at least a rounding error of Gamma, and a side its room.
            room = float(bundles.stream().account.room_usd[0])
            atol += 2 * np.finfo(np.float32).eps * room / 1e4
        np.testing.assert_allclose(x, y, rtol=3e-3, atol=atol, err_msg=name)


@pytest.mark.slow
def test_the_laws_hold_with_runtime_shape_checks_on():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "--jaxtyping-packages=diffmm,beartype.beartype",
        __file__,
        "-k",
        "keeps_its_tree or mirrors",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
