"""The gate: for any engine output no limit is exceeded."""

import dataclasses

import pytest
from hypothesis import given, settings, strategies as st

from diffmm.live.gate import Denial, gate, Intended, Snapshot, Tokens, Working
from diffmm.live.limits import Limits, LimitsError, of_paper, parse
from diffmm.market import AccountInputs, ASK, BID, Instrument


AT = Instrument.hyperliquid("SIM", 2)
MID = 1_000_000
LIMITS = Limits(
    max_order=500,
    max_position=1_000,
    collar_bp=100,
    max_reference_gap_bp=50,
    max_open_orders=6,
    max_messages_per_min=600,
    cancel_reserve=100,
    max_loss_1e8=100 * 10**8,
)
CALM = Snapshot(
    may_open=True,
    is_reduce_only=False,
    is_fresh=True,
    position=0,
    working=(),
    mid2=2 * MID,
    mark=MID,
    tokens=600,
    pnl_1e8=0,
)
GOOD = Intended(BID, MID - 100, 100)
MINUTE = 60 * 10**9


def denied(order=GOOD, limits=LIMITS, **changes):
    return gate(order, dataclasses.replace(CALM, **changes), limits, AT)


def test_a_good_order_passes_on_either_side():
    assert denied() is None
    assert denied(Intended(ASK, MID + 100, 100)) is None


@pytest.mark.parametrize(
    ("order", "changes", "why"),
    [
        (GOOD, {"may_open": False}, Denial.MODE),
        (Intended(BID, MID - 101, 100), {}, Denial.ILLEGAL),
        (Intended(BID, -100, 100), {}, Denial.ILLEGAL),
        (Intended(BID, MID, 9), {}, Denial.ILLEGAL),
        (Intended(2, MID, 100), {}, Denial.ILLEGAL),
        (Intended(BID, MID, True), {}, Denial.ILLEGAL),
        (Intended(BID, MID, 501), {}, Denial.SIZE),
        (GOOD, {"is_fresh": False}, Denial.STALE),
        (GOOD, {"mid2": None}, Denial.STALE),
        (GOOD, {"mark": None}, Denial.STALE),
        (GOOD, {"mark": MID + 5_100}, Denial.REFERENCES),
        (Intended(BID, MID - 10_100, 100), {}, Denial.COLLAR),
        (Intended(ASK, MID + 10_100, 100), {}, Denial.COLLAR),
        (Intended(BID, MID - 9_900, 100), {"mark": MID + 400}, Denial.COLLAR),
        (GOOD, {"position": 901}, Denial.POSITION),
        (Intended(ASK, MID + 100, 100), {"position": -901}, Denial.POSITION),
        (GOOD, {"is_reduce_only": True}, Denial.REDUCE_ONLY),
        (GOOD, {"is_reduce_only": True, "position": -99}, Denial.REDUCE_ONLY),
        (GOOD, {"tokens": 100}, Denial.RATE),
        (GOOD, {"pnl_1e8": -100 * 10**8}, Denial.LOSS),
    ],
)
def test_each_check_denies_with_its_own_code(order, changes, why):
    assert denied(order, **changes) is why


@pytest.mark.parametrize("is_canceling", [False, True])
def test_what_is_in_flight_or_being_cancelled_still_counts(is_canceling):
    working = [Working(BID, MID - 500, 901, is_canceling)]
    assert denied(working=working) is Denial.POSITION
    assert denied(Intended(ASK, MID + 100, 100), working=working) is None


def test_an_order_never_meets_one_of_our_own():
    working = [Working(ASK, MID - 100, 10, True)]
    assert denied(working=working) is Denial.SELF_CROSS
    assert denied(Intended(BID, MID - 200, 100), working=working) is None


def test_the_same_price_twice_is_a_duplicate_unless_the_first_is_leaving():
    assert denied(working=[Working(BID, GOOD.price, 10, False)]) is Denial.DUPLICATE
    assert denied(working=[Working(BID, GOOD.price, 10, True)]) is None


def test_open_orders_are_counted():
    many = [Working(BID, MID - 200 - 100 * k, 1, False) for k in range(6)]
    assert denied(working=many) is Denial.OPEN_ORDERS
    assert denied(working=many[1:]) is None


def test_only_what_reduces_passes_in_reduce_only():
    assert denied(position=-100, is_reduce_only=True) is None
    assert denied(Intended(ASK, MID, 100), position=-100, is_reduce_only=True) is Denial.REDUCE_ONLY


words = st.integers(-(2**40), 2**40) | st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31), 100, 500])
prices = st.integers(MID - 20_000, MID + 20_000) | words
workings = st.lists(
    st.builds(Working, st.sampled_from([BID, ASK]), prices, st.integers(0, 2_000), st.booleans()),
    max_size=8,
)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(
    st.builds(Intended, st.integers(-1, 3), prices, words),
    workings,
    st.integers(-3_000, 3_000),
    st.integers(0, 600),
    st.none() | st.integers(1, 3 * MID),
    st.none() | st.integers(1, 3 * MID),
)
def test_whatever_is_asked_for_no_limit_is_exceeded(order, working, position, tokens, mid2, mark):
    now = dataclasses.replace(
        CALM, working=working, position=position, tokens=tokens, mid2=mid2, mark=mark
    )
    if gate(order, now, LIMITS, AT) is not None:
        return
    assert 0 < order.size <= LIMITS.max_order
    assert order.price > 0
    assert order.price % AT.tick(order.price) == 0
    assert order.price * order.size >= 10 * 10**6
    assert mid2 is not None
    assert mark is not None
    for reference2 in (mid2, 2 * mark):
        assert abs(2 * order.price - reference2) * 10_000 <= LIMITS.collar_bp * max(
            2 * order.price, reference2
        )
    sign = 1 if order.side == BID else -1
    same = order.size + sum(x.left for x in working if x.side == order.side)
    assert sign * position + same <= LIMITS.max_position
    assert tokens > LIMITS.cancel_reserve
    assert len(working) < LIMITS.max_open_orders
    for own in working:
        if own.side != order.side and own.left:
            assert sign * order.price < sign * own.price


def test_tokens_refill_evenly_and_never_go_below_nothing():
    bucket = Tokens(90)
    assert bucket.left(MINUTE) == 30
    bucket.take(MINUTE, 29)
    assert bucket.left(MINUTE) == 1
    bucket.take(MINUTE, 5)
    assert bucket.left(MINUTE) == 0
    assert bucket.left(MINUTE + 10**9) == 1
    assert bucket.left(10 * MINUTE) == 30


def test_no_minute_sees_more_messages_than_its_limit():
    bucket, sent = Tokens(90), []
    for tick in range(20 * 180):
        now_ns = MINUTE + tick * 10**9 // 20
        if bucket.left(now_ns) > 0:
            bucket.take(now_ns)
            sent.append(now_ns)
    assert len(sent) > 180
    assert all(sum(at <= x < at + MINUTE for x in sent) <= 91 for at in sent)


TABLE = {
    "max_order": "0.5",
    "max_position": "2",
    "collar_bp": 200,
    "max_reference_gap_bp": 100,
    "max_open_orders": 40,
    "max_messages_per_min": 1200,
    "cancel_reserve": 200,
    "max_loss_usd": "500",
}


def test_a_table_of_limits_is_read_exactly():
    limits = parse(TABLE, AT)
    assert (limits.max_order, limits.max_position, limits.max_loss_1e8) == (50, 200, 500 * 10**8)


@pytest.mark.parametrize("name", TABLE)
def test_no_limit_has_a_default(name):
    with pytest.raises(LimitsError, match=name):
        parse({k: v for k, v in TABLE.items() if k != name}, AT)


@pytest.mark.parametrize(
    "change",
    [{"max_order": "0.005"}, {"max_order": "nan"}, {"collar_bp": 1.5}, {"collar_bp": 0},
     {"cancel_reserve": True}, {"max_loss_usd": "-1"}, {"other": 1}],
)  # fmt: skip
def test_a_limit_that_is_none_is_refused_by_name(change):
    with pytest.raises(LimitsError, match=next(iter(change))):
        parse({**TABLE, **change}, AT)


def test_the_paper_limits_are_twice_what_the_engine_is_asked_to_respect():
    limits = of_paper(AccountInputs(room_usd=20_000.0), AT, MID)
    assert limits.max_position * MID == 2 * 20_000 * 10**6
