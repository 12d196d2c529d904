"""Changes between books: every unit of size accounted for, and prints explained once."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import events
from diffmm import core
from diffmm.features import participants
from diffmm.features.participants import attribution, changes, Levels


LEVELS = 5
SIDES = st.dictionaries(st.integers(1, 12), st.integers(1, 2**30), max_size=LEVELS)
SIGN = np.array([-1, 1])
compare = jax.jit(changes)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def levels(bids, asks, dtype=np.int64):
    """A book from `{ticks behind the mid: size}` a side, padded as the encoder pads."""
    ticks, usd, valid = np.zeros((2, LEVELS)), np.zeros((2, LEVELS)), np.zeros((2, LEVELS), bool)
    for side, told in enumerate((bids, asks)):
        for i, away in enumerate(sorted(told)):
            ticks[side, i], usd[side, i] = SIGN[side] * away, told[away]
            valid[side, i] = True
        ticks[side, len(told) :] = SIGN[side] * max(told, default=0)
    return Levels(jnp.asarray(ticks, dtype), jnp.asarray(usd, dtype), jnp.asarray(valid))


def by_price(book):
    """Size at every price of each side, exact."""
    out = [{}, {}]
    for side in range(2):
        for price, size, is_valid in zip(
            np.asarray(book.ticks)[side],
            np.asarray(book.usd)[side],
            np.asarray(book.is_valid)[side],
            strict=True,
        ):
            if is_valid:
                out[side][int(price)] = out[side].get(int(price), 0) + int(size)
    return out


def added(total, found):
    for side in range(2):
        rows = zip(np.asarray(found.ticks)[side], np.asarray(found.usd)[side], strict=True)
        for price, change in rows:
            total[side][int(price)] = total[side].get(int(price), 0) + int(change)
    return total


def nonzero(total):
    return [{p: s for p, s in side.items() if s} for side in total]


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@settings(deadline=None, max_examples=60)
@given(books=st.lists(st.tuples(SIDES, SIDES), min_size=2, max_size=4))
def test_the_first_book_and_all_changes_make_the_last_one_exactly_at_every_price(dtype, books):
    made = [levels(*book, dtype) for book in books]
    total = by_price(made[0])
    for before, now in itertools.pairwise(made):
        total = added(total, compare(before, now))
    assert nonzero(total) == nonzero(by_price(made[-1]))


def test_in_single_precision_sizes_below_two_to_the_24_are_conserved_exactly():
    rng = np.random.default_rng(0)
    draw = lambda: {int(p): int(rng.integers(1, 2**24)) for p in rng.choice(12, LEVELS, False)}
    with jax.enable_x64(False):
        made = [levels(draw(), draw(), np.float32) for _ in range(30)]
        total = by_price(made[0])
        for before, now in itertools.pairwise(made):
            total = added(total, compare(before, now))
        assert nonzero(total) == nonzero(by_price(made[-1]))


def test_what_comes_into_sight_or_goes_out_of_it_is_nobodys_doing():
    before = levels({1: 5, 2: 6}, {1: 5, 2: 6})
    now = levels({1: 5, 2: 6, 3: 9}, {1: 2})
    found = compare(before, now)
    done = np.asarray(found.usd) * np.asarray(found.is_event)
    assert done[0].sum() == 0
    # The ask that is left has lost 3; what was behind it cannot be seen any more.
    assert done[1].sum() == -3
    assert np.asarray(found.usd).sum() == 9 - 3 - 6


def test_without_a_book_before_or_after_nothing_happened():
    book, none = levels({1: 5}, {1: 5}), levels({}, {})
    for before, now in ((none, book), (book, none), (book, book)):
        assert not np.asarray(compare(before, now).is_event).any()


def test_the_distance_counts_from_the_better_of_both_touches():
    found = compare(levels({3: 5, 4: 5}, {1: 1}), levels({2: 1, 3: 7, 4: 5}, {1: 1}))
    done = np.asarray(found.is_event[0])
    told = dict(
        zip(np.asarray(found.ticks[0])[done], np.asarray(found.distance[0])[done], strict=True)
    )
    assert told == {-3: 1, -2: 0}


K = 3


def waiting():
    return attribution.init(jnp.ones((), jnp.float64), K)


def params(**values):
    return attribution.Params(
        **{
            "window_s": jnp.asarray(0.3, jnp.float64),
            "softness_s": jnp.asarray(0.05, jnp.float64),
            **{k: jnp.asarray(v, jnp.float64) for k, v in values.items()},
        }
    )


@functools.cache
def parts():
    return jax.jit(attribution.on_book), jax.jit(attribution.on_print), jax.jit(attribution.passed)


def a_print(usd, ticks=1, sign=1.0):
    one = events.row(events.stream(1, dtype=np.float64), 0)
    trade = type(one.trade)(
        jnp.asarray(ticks, jnp.int32),
        one.trade.price_bp,
        jnp.asarray(usd, jnp.float64),
        jnp.asarray(sign, jnp.float64),
    )
    return type(one)(**{**vars(one), "trade": trade})


def falling(from_usd, to_usd):
    book = lambda usd: levels({1: 50}, {1: usd, 2: 70}, np.float64)
    return compare(book(from_usd), book(to_usd))


def explained(state, found, p=None):
    on_book, _, _ = parts()
    state, traded = on_book(p or params(), state, found, jnp.asarray([-1.0, 1.0], jnp.float64))
    return state, float(np.asarray(traded).sum())


def test_a_print_before_the_book_explains_its_decrease_once_and_no_more_than_it():
    _, on_print, _ = parts()
    state, _ = on_print(params(), waiting(), a_print(30.0))
    state, first = explained(state, falling(100, 80))
    np.testing.assert_allclose(first, 20, rtol=1e-9)
    state, second = explained(state, falling(80, 40))
    # 10 of the print were left, and nearly all of them still count at once.
    assert 9.9 < second < 10.0
    _, third = explained(state, falling(40, 20))
    assert third < 0.1


def test_a_print_of_the_other_side_or_price_explains_nothing():
    _, on_print, _ = parts()
    for ticks, sign in ((1, -1.0), (2, 1.0)):
        state, _ = on_print(params(), waiting(), a_print(30.0, ticks, sign))
        assert explained(state, falling(100, 80))[1] == 0


def test_the_match_fades_about_the_window_and_is_the_hard_rule_in_the_limit():
    _, on_print, passed = parts()
    zero = jnp.zeros((), jnp.float64)

    def after(wait_s, **values):
        p = params(**values)
        state, _ = on_print(p, waiting(), a_print(1e6))
        state = passed(state, jnp.asarray(wait_s, jnp.float64), zero)
        return explained(state, falling(100, 80), p)[1]

    soft = [after(w, softness_s=0.05) for w in (0.0, 0.3, 0.9)]
    assert soft[0] == soft[1] == 20
    hard = [after(w, softness_s=1e-4) for w in (0.29, 0.31)]
    np.testing.assert_allclose(hard, [20, 0], atol=1e-9)


def test_a_print_after_the_book_turns_the_waiting_cancel_into_a_trade():
    _, on_print, _ = parts()
    found = falling(100, 80)
    shares = np.zeros((K, 2, 2 * LEVELS))
    shares[1] = 1.0
    state = attribution.remember(
        waiting(),
        found,
        jnp.zeros((2, 2 * LEVELS), jnp.float64),
        jnp.asarray(shares),
        jnp.asarray([-1.0, 1.0], jnp.float64),
    )
    state, turned = on_print(params(), state, a_print(15.0))
    np.testing.assert_allclose(turned, [0, 0.75, 0], atol=0.01)
    state, again = on_print(params(), state, a_print(100.0))
    # A quarter was left to explain, the rest of the print waits for another book.
    np.testing.assert_allclose(again[1], 0.25, atol=0.01)
    np.testing.assert_allclose(state.prints.usd[0], 95.0, atol=0.1)


def test_the_stage_never_calls_more_traded_than_was_printed():
    config = participants.Config.small()
    p = core.defaults(participants.Params, jnp.float64)
    batch = events.stream(60, dtype=np.float64)
    fold = jax.jit(
        lambda p, b: jax.lax.scan(
            lambda s, e: participants.update(p, s, e, config=config),
            participants.init(p, config=config),
            b,
        )[1]
    )
    told = fold(p, batch)
    traded, printed = np.asarray(told.traded_usd), np.asarray(batch.trade.usd)
    assert (traded.sum(axis=(1, 2)).cumsum() <= printed.cumsum() + 1e-9).all()
    fell = np.maximum(-np.asarray(told.change_usd), 0)
    assert (traded <= fell + 1e-9).all()
