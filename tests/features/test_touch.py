"""The touch, its imbalance and the exact order flow, against published numbers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bundles
import events
from diffmm.features import touch as touches
from diffmm.features.touch import Touch


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def at(bid, bid_usd, ask, ask_usd):
    return Touch(*(jnp.float64(x) for x in (bid, ask, bid_usd, ask_usd)), jnp.array(True))


def test_the_size_weighted_mid_and_the_imbalance_are_the_published_ones(oracles):
    case = oracles["weighted_mid"]
    given, expected = case["inputs"], case["expected"]
    one = at(given["bid"], given["bid_size"], given["ask"], given["ask_size"])
    np.testing.assert_allclose(one.mid_bp, expected["mid"], rtol=1e-12)
    np.testing.assert_allclose(touches.size_weighted_mid(one), expected["wmid"], rtol=1e-12)
    # I = sigmoid(log ratio of the queues), and ours is half that log ratio.
    ratio = touches.log_queue_ratio(one)
    np.testing.assert_allclose(jax.nn.sigmoid(2 * ratio), expected["imbalance_I"], rtol=1e-12)
    np.testing.assert_allclose(jnp.tanh(ratio), expected["signed_imb"], rtol=1e-12)


def test_order_flow_of_each_book_change_is_the_published_one(oracles):
    case = oracles["ofi_events"]
    rows = case["inputs"]["book_rows_bid_qb_ask_qa"]
    books = [at(bid, qb, ask, qa) for bid, qb, ask, qa in rows]
    tick = jnp.float64(0.5)
    flow = [float(touches.order_flow(a, b, tick)) for a, b in itertools.pairwise(books)]
    np.testing.assert_allclose(flow, case["expected"]["e_n"], atol=1e-12)
    assert sum(flow) == case["expected"]["OFI"]


def test_order_flow_is_negated_when_the_sides_are_exchanged_and_zero_when_nothing_changed():
    a, b, tick = at(-1.0, 10.0, 1.0, 12.0), at(-0.5, 4.0, 1.0, 9.0), jnp.float64(0.5)
    swap = lambda t: at(-t.ask_bp, t.ask_usd, -t.bid_bp, t.bid_usd)
    direct = touches.order_flow(a, b, tick)
    assert float(direct) == pytest.approx(4 - 9 + 12)
    np.testing.assert_allclose(touches.order_flow(swap(a), swap(b), tick), -direct, rtol=1e-12)
    assert float(touches.order_flow(a, a, tick)) == 0


def test_without_a_two_sided_book_there_is_no_flow_and_no_imbalance():
    a = at(-1.0, 10.0, 1.0, 12.0)
    none = Touch(a.bid_bp, a.ask_bp, 0 * a.bid_usd, a.ask_usd, jnp.array(False))
    assert float(touches.order_flow(a, none, jnp.float64(0.5))) == 0
    assert float(touches.log_queue_ratio(none)) == 0


def test_a_crossed_a_locked_and_a_one_sided_book_are_no_book():
    book = events.row(bundles.stream(), 0).book
    assert bool(touches.touch(book).has_book)
    for ticks in ([[5], [3]], [[4], [4]]):
        odd = book.ticks.at[:, :1].set(jnp.array(ticks, jnp.int32))
        assert not bool(touches.touch(bundles.replace(book, ticks=odd)).has_book)
    half = book.is_valid.at[1].set(False)
    assert not bool(touches.touch(bundles.replace(book, is_valid=half)).has_book)


def test_the_depth_ratio_weighs_each_level_by_its_distance_and_is_zero_where_a_side_is_empty():
    book = events.row(bundles.stream(), 0).book
    mid, reach = touches.touch(book).mid_bp, 1.7
    near = np.exp(-np.abs(np.asarray(book.price_bp) - float(mid)) / reach)
    depth = (np.sqrt(np.asarray(book.usd)) * near * np.asarray(book.is_valid)).sum(axis=1)
    found = touches.depth_ratio(book, mid, jnp.float64(reach))
    assert float(found) == pytest.approx(np.log(depth[0] / depth[1]) / 2, rel=1e-12)
    assert abs(float(found)) > 1e-3
    empty = bundles.replace(book, is_valid=book.is_valid.at[1].set(False))
    assert float(touches.depth_ratio(empty, mid, jnp.float64(reach))) == 0
