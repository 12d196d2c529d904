"""Probe quotes by the fill rule: alone, for exactly one life, in exchange time."""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm import market
from diffmm.core import defaults
from diffmm.market import Kind
from diffmm.simulation import hard_fills, quote_probes


LAYOUT = market.Layout(levels=2, slots=1)
LIVES_S = (0.6, 2.0)
PHASES, DEPTHS = 2, 2
LAG_S = 0.25
"""Of the feed: a row is known this long after it happened."""


@ft.cache
def programme(touch=False):
    stage = quote_probes.build(hard_fills.Config(1, touch), PHASES, DEPTHS)
    return stage.init, jax.jit(stage.update)


def fold(*rows, touch=False):
    """Rows `(dt_s, {placed: phase} or {print: (sign, ticks, usd)} or {asks: ...})`; lots by row.

    Probes are asks at 5 and 7 ticks and bids at -5 and -7, four lots each, a lot worth 2 USD; the
    book shows nothing but a far bid and ask unless told otherwise.
    """
    params = quote_probes.Params(defaults(hard_fills.Params), jnp.asarray(LIVES_S, jnp.float32))
    init, step = programme(touch)
    state, out = init(params), []
    for dt_s, what in rows:
        event = jax.tree.map(np.array, LAYOUT.blank)
        ticks = np.array([[-50, -60], [what.get("ask", 50), 60]], np.int32)
        usd, valid = np.full((2, 2), 100, np.float32), np.ones((2, 2), bool)
        sign, at, size = what.get("print", (0, 0, 0))
        event = dataclasses.replace(
            event,
            kind=np.int32(Kind.TRADE if size else Kind.BOOK),
            is_valid=np.bool_(True),
            dt_s=np.float32(dt_s),
            lag_s=np.float32(LAG_S),
            book=market.Book(ticks, ticks.astype(np.float32), usd, 0 * usd, valid),
            trade=market.Trade(np.int32(at), np.float32(0), np.float32(size), np.float32(sign)),
            rules=market.Rules(np.float32(1), np.float32(2), np.float32(10)),
        )
        put = np.array([[-5, -7], [5, 7]], np.int32)
        phase = np.int32(what.get("placed", -1))
        row = quote_probes.Placing(event, phase, put, np.full((2, 2), 4, np.float32))
        state, found = step(params, state, row)
        out.append(jax.tree.map(np.asarray, found))
    return out


# A print at exchange time t is known LAG_S later; placed at 0, a probe joins at .35.
@pytest.mark.parametrize(
    ("happened_s", "filled"),
    [
        (0.34, (False, False)),
        (0.36, (True, True)),
        (0.94, (True, True)),
        (0.96, (False, True)),
        (2.34, (False, True)),
        (2.36, (False, False)),
    ],
)
def test_a_probe_lives_from_its_arrival_for_exactly_its_life(happened_s, filled):
    known_s = happened_s + LAG_S
    _, last = fold((1.0, {"placed": 0}), (known_s, {"print": (1, 20, 1e4)}))
    lots = last.lots[:, 0]
    assert [bool(x) for x in (lots[:, :, 1] == 4).all(axis=1)] == list(filled)
    assert not lots[:, :, 0].any()


def test_probes_do_not_compete_and_the_phase_not_placed_has_none():
    *_, last = fold((1.0, {"placed": 1}), (0.7, {}), (0.1, {"print": (1, 20, 8)}))
    assert last.lots[:, 1, :, 1].tolist() == [[4, 4], [4, 4]]
    assert not last.lots[:, 0].any()


def test_a_print_fills_at_most_its_size_and_the_rest_stays():
    *_, first, second = fold(
        (1.0, {"placed": 0}), (0.7, {}), (0.1, {"print": (-1, -7, 6)}), (0, {"print": (-1, -7, 6)})
    )
    assert first.lots[:, 0, :, 0].tolist() == [[3, 3], [3, 3]]
    assert second.lots[:, 0, :, 0].tolist() == [[1, 1], [1, 1]]


def test_an_order_that_would_cross_when_it_joins_is_refused_and_never_filled():
    *_, joins, last = fold(
        (1.0, {"placed": 0}),
        (0.1, {"ask": -6}),
        (0.6, {"ask": -6}),
        (0.1, {"ask": -6, "print": (-1, -20, 1e4)}),
    )
    assert joins.refused[:, 0].tolist() == [[1, 0], [1, 0]]
    assert last.lots[:, 0, :, 0].tolist() == [[0, 4], [0, 4]]


def test_an_opposite_touch_fills_only_by_the_rule_that_says_so():
    rows = (1.0, {"placed": 0}), (0.7, {}), (0.05, {"ask": -6})
    assert fold(*rows)[-1].lots.sum() == 0
    assert fold(*rows, touch=True)[-1].lots[:, 0, :, 0].tolist() == [[4, 0], [4, 0]]
