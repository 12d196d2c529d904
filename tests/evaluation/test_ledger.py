"""The ledger in exact integers, against hand sums and a plain second implementation."""

import bisect
from fractions import Fraction

import numpy as np
import pytest

from diffmm.evaluation import Ledger
from diffmm.evaluation.ledger import round_half_away
from diffmm.market import ASK, BID, Instrument


COIN = Instrument("TOY", 2, 4)
UNIT = 100
"""1e-8 USD in a price unit times a size unit of `COIN`."""
S = 1_000_000_000


def run(seed, n=400, fee="1.5"):
    """A random market with fills, through the ledger and as plain lists."""
    rng = np.random.default_rng(seed)
    ledger, mids, fills = Ledger(COIN, fee), [], []
    now, bid = 0, 100_000
    for _ in range(n):
        now += int(rng.integers(0, 2 * S))
        bid += int(rng.integers(-30, 31))
        ask = bid + int(rng.integers(1, 40))
        ledger.on_mid(now, bid, ask)
        mids.append((now, bid + ask))
        if rng.random() < 0.3:
            side, size = int(rng.integers(2)), int(rng.integers(1, 900))
            price = (bid, ask)[side]
            ledger.on_fill(now, side, price, size)
            fills.append((now, side, price, size, bid + ask))
    return ledger, mids, fills


def mid_at(mids, when):
    return mids[bisect.bisect_right([t for t, _ in mids], when) - 1][1]


@pytest.mark.parametrize("seed", range(5))
def test_parts_sum_to_the_pnl_exactly_and_inventory_equals_its_direct_sum(seed):
    ledger, _, fills = run(seed)
    parts = ledger.pnl_parts_1e8
    assert all(isinstance(x, int) for x in parts.values())
    assert sum(parts.values()) == ledger.pnl_1e8
    assert parts["inventory"] == ledger.inventory_direct_1e8
    assert ledger.fills == len(fills) > 50


@pytest.mark.parametrize("seed", range(5))
def test_spread_and_adverse_equal_their_definitions_fill_by_fill(seed):
    ledger, mids, fills = run(seed)
    s = {BID: -1, ASK: 1}
    spread = sum(s[side] * (2 * p - m) * n for _, side, p, n, m in fills) * UNIT // 2
    after = [mid_at(mids, t + 5 * S) for t, *_ in fills]
    adverse = sum(
        -s[side] * (later - m) * n for (_, side, _, n, m), later in zip(fills, after, strict=True)
    )
    assert ledger.pnl_parts_1e8["spread"] == spread
    assert ledger.pnl_parts_1e8["adverse"] == adverse * UNIT // 2


@pytest.mark.parametrize("seed", range(3))
def test_the_pnl_is_cash_plus_position_at_the_last_mid(seed):
    ledger, mids, fills = run(seed, fee="0")
    cash = sum((1 if side == ASK else -1) * p * n for _, side, p, n, _ in fills) * UNIT
    position = sum((-1 if side == ASK else 1) * n for _, side, _, n, _ in fills)
    assert ledger.position == position
    assert ledger.cash_1e8 == cash
    assert ledger.pnl_1e8 == cash + position * mids[-1][1] * UNIT // 2


def test_a_mid_exactly_five_seconds_later_is_the_one_that_counts():
    for at, want in ((5 * S, -20), (5 * S + 1, 0)):
        ledger = Ledger(COIN, 0)
        ledger.on_mid(0, 1000, 1010)
        ledger.on_fill(0, ASK, 1010, 7)
        ledger.on_mid(at, 1020, 1030)
        ledger.on_mid(at + 1, 2020, 2030)
        assert ledger.pnl_parts_1e8["adverse"] == want * 7 * UNIT


def test_a_young_fill_takes_the_last_mid():
    ledger = Ledger(COIN, 0)
    ledger.on_mid(0, 1000, 1010)
    ledger.on_fill(S, BID, 1000, 3)
    ledger.on_mid(2 * S, 980, 991)
    parts = ledger.pnl_parts_1e8
    assert parts["spread"] == 15 * UNIT
    assert parts["adverse"] == -39 * 3 * UNIT // 2
    assert parts["inventory"] == 0


def test_each_fee_rounds_half_away_from_zero_and_a_rebate_is_income():
    assert [round_half_away(Fraction(x, 2)) for x in (-3, -1, 0, 1, 3, 4)] == [-2, -1, 0, 1, 2, 2]
    assert round_half_away(Fraction(-1, 3)) == 0
    for fee, paid in (("1.5", 2), ("-1.5", -2), ("0.9", 1), ("0.7", 1), ("0.4", 0)):
        ledger = Ledger(COIN, fee)
        ledger.on_mid(0, 9, 11)
        # A notional of 1e4 in 1e-8 USD: the fee in bp is the fee in 1e-8 USD.
        ledger.on_fill(0, BID, 10, 10)
        assert ledger.pnl_parts_1e8["fees"] == -paid
        assert ledger.pnl_1e8 == -paid


def test_a_fractional_fee_is_the_decimal_it_prints_as():
    ledger = Ledger(COIN, 0.1)
    ledger.on_mid(0, 10**9, 10**9)
    ledger.on_fill(0, BID, 10**9, 10**9)
    assert ledger.pnl_parts_1e8["fees"] == -(10**20) // 10**5


def test_longs_pay_positive_funding_and_shorts_receive_it():
    for side, sign in ((BID, -1), (ASK, 1)):
        ledger = Ledger(COIN, 0)
        ledger.on_mid(0, 100_000, 100_000)
        ledger.on_funding("0.0001")
        ledger.on_fill(0, side, 100_000, 500)
        ledger.on_funding("0.0001")
        ledger.on_funding("0.0001", price2=400_000)
        notional = 100_000 * 500 * UNIT
        assert ledger.pnl_parts_1e8["funding"] == sign * (notional + 2 * notional) // 10_000


def test_the_largest_position_is_kept_after_it_was_sold():
    ledger = Ledger(COIN, 0)
    ledger.on_mid(0, 1000, 1000)
    ledger.on_fill(0, BID, 1000, 5)
    ledger.on_mid(1, 1200, 1200)
    ledger.on_fill(1, ASK, 1200, 4)
    assert ledger.most_abs_position_1e8 == 6000 * UNIT


def test_a_fill_before_the_first_mid_and_an_uncountable_instrument_are_refused():
    with pytest.raises(ValueError, match="before the first mid"):
        Ledger(COIN, 0).on_fill(0, BID, 1, 1)
    with pytest.raises(ValueError, match="decimals sum to 8"):
        Ledger(Instrument("SPOT", 4, 4), 0)
