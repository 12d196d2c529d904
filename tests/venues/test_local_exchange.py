"""Matching against a plain second matcher, and what must be so after every step."""

import dataclasses

import hypothesis.strategies as st
from hypothesis import given, settings

from diffmm.market.instrument import Instrument, text, units as parsed
from diffmm.venues.local import house
from diffmm.venues.local.account import fee_of
from diffmm.venues.local.book import Tif
from diffmm.venues.local.exchange import Changed, Exchange, Filled, NewOrder, Placed, Printed, Rules
from diffmm.venues.local.listing import decimal, Listing, units, USD
from diffmm.venues.local.refusals import Refusal, Refused


LISTING = Listing("SIM", size_decimals=2)
OWNERS = ("0xa", "0xb", "0xc")
PLACES = st.tuples(
    st.just("place"),
    st.sampled_from(OWNERS),
    st.booleans(),
    st.integers(-6, 6),
    st.integers(1, 30),
    st.sampled_from(Tif),
)
CANCELS = st.tuples(st.just("cancel"), st.sampled_from(OWNERS), st.integers(1, 40))
MOVES = st.lists(st.one_of(PLACES, PLACES, CANCELS), max_size=40)


def exchange_of(cash=10**6 * USD, maker_ppm=150, **kept):
    exchange = Exchange((LISTING,), Rules(maker_ppm=maker_ppm, **kept))
    exchange.marks[0] = exchange.oracles[0] = 1_000_000
    for owner in OWNERS:
        exchange.open_account(owner, cash)
    return exchange


def buy(price, size, tif=Tif.GTC, reduce=False):
    return NewOrder(0, True, price, size, tif, reduce)


def sell(price, size, tif=Tif.GTC, reduce=False):
    return NewOrder(0, False, price, size, tif, reduce)


def put(exchange, owner, new):
    return exchange.place(exchange.accounts[owner], new, 1)


@dataclasses.dataclass
class Plain:
    """One list of orders, searched for the best one again and again."""

    oid: int
    owner: str
    is_buy: bool
    price: int
    left: int


def plain_match(resting, taker, tif):
    """Executions `(maker's oid, price, size)` and whom a self-trade would cancel."""
    prints, gone = [], []
    reaches = lambda x: x.price <= taker.price if taker.is_buy else x.price >= taker.price
    others = lambda: [x for x in resting if x.is_buy != taker.is_buy and reaches(x)]
    if tif is Tif.ALO and others():
        return None, [], []
    while taker.left and others():
        best = min(others(), key=lambda x: (x.price if taker.is_buy else -x.price, x.oid))
        if best.owner == taker.owner:
            resting.remove(best)
            gone.append(best.oid)
            continue
        size = min(best.left, taker.left)
        best.left -= size
        taker.left -= size
        prints.append((best.oid, best.price, size))
        if not best.left:
            resting.remove(best)
    if taker.left and tif is not Tif.IOC:
        resting.append(taker)
    return taker, prints, gone


@given(MOVES)
@settings(max_examples=200, deadline=None)
def test_every_execution_is_that_of_a_plain_matcher_and_nothing_is_lost(moves):
    exchange, resting, sizes = exchange_of(), [], {}
    for move in moves:
        if move[0] == "cancel":
            _, owner, oid = move
            exchange.cancel(exchange.accounts[owner], 0, oid, 1)
            resting[:] = [x for x in resting if (x.oid, x.owner) != (oid, owner)]
            exchange.happened()
            continue
        _, owner, is_buy, ticks, lots, tif = move
        new = NewOrder(0, is_buy, 1_000_000 + 100 * ticks, 10 * lots, tif)
        done = put(exchange, owner, new)
        oid = exchange._next_oid - 1
        taker = Plain(oid, owner, is_buy, new.price, new.size)
        # Ten lots are worth ten dollars at 100; a few ticks below they are not.
        if isinstance(done, Refused) and done.refusal is Refusal.MIN_NOTIONAL:
            assert new.price * new.size < 10 * USD
            continue
        accepted, prints, gone = plain_match(resting, taker, tif)
        happened = exchange.happened()
        printed = [(x.price, x.size) for x in happened if isinstance(x, Printed)]
        assert printed == [(price, size) for _, price, size in prints]
        assert all(x.buyer != x.seller for x in happened if isinstance(x, Printed))
        self_traded = [
            x.order.oid
            for x in happened
            if isinstance(x, Changed) and x.status == "selfTradeCanceled"
        ]
        assert self_traded == gone
        met = [x.fill.oid for x in happened if isinstance(x, Filled) and not x.fill.is_taker]
        assert met == [oid for oid, _, _ in prints]
        if accepted is None:
            assert isinstance(done, Refused)
            assert done.refusal is Refusal.BAD_ALO
        sizes[oid] = new.size
        check(exchange, resting, sizes)


def check(exchange, resting, sizes):
    """The book is the plain one, and size and money add up to nothing."""
    standing = [x for owner in OWNERS for x in exchange.open_orders(owner)]
    key = lambda x: (x.oid, x.owner, x.is_buy, x.price, x.left)
    assert sorted(map(key, standing)) == sorted(map(key, resting))
    book = exchange.books[0]
    bid, ask = book.bids.best(), book.asks.best()
    assert bid is None or ask is None or bid < ask
    accounts = exchange.accounts.values()
    assert sum(x.size(0) for x in accounts) == 0
    assert sum(x.cash - x.deposited for x in accounts) + exchange.house == 0
    assert sum(x.fees for x in accounts) == exchange.house
    for owner in OWNERS:
        account = exchange.accounts[owner]
        own = [x for x in standing if x.owner == owner]
        for side in (0, 1):
            counted = sum(x.notional for x in own if x.is_buy == (side == 0))
            assert account.resting.get(0, [0, 0])[side] == counted
        signed = sum(x.size if x.is_buy else -x.size for x in account.fills)
        paid = sum((1 if x.is_buy else -1) * x.size * x.price + x.fee for x in account.fills)
        assert account.size(0) == signed
        assert account.cash == account.deposited - paid
        # Realised and unrealised PnL are the account's whole gain.
        held = account.positions.get(0)
        open_pnl = held.size * exchange.marks[0] - held.cost if held else 0
        gained = account.value(exchange.marks) - account.deposited
        assert gained == sum(x.closed_pnl - x.fee for x in account.fills) + open_pnl
        for fill in account.fills:
            order = exchange.find(owner, fill.oid)
            done = sum(x.size for x in account.fills if x.oid == fill.oid)
            assert order.left + done == sizes[order.oid]


def test_an_earlier_order_of_a_price_is_filled_first_and_keeps_its_place_when_partly_filled():
    exchange = exchange_of()
    first = put(exchange, "0xa", buy(1_000_000, 50)).order
    second = put(exchange, "0xb", buy(1_000_000, 50)).order
    put(exchange, "0xc", sell(990_000, 20, Tif.IOC))
    put(exchange, "0xc", sell(990_000, 40, Tif.IOC))
    assert (first.left, second.left) == (0, 40)


def test_a_self_trade_cancels_the_resting_order_and_the_taker_goes_on():
    exchange = exchange_of()
    own = put(exchange, "0xa", sell(1_000_000, 50)).order
    put(exchange, "0xb", sell(1_000_100, 50))
    done = put(exchange, "0xa", buy(1_000_100, 30, Tif.IOC))
    assert own.status == "selfTradeCanceled"
    assert (done.filled, done.paid) == (30, 30 * 1_000_100)


def test_a_reduce_only_order_is_shrunk_to_the_position_and_never_turns_it():
    exchange = exchange_of()
    put(exchange, "0xb", sell(1_000_000, 50))
    put(exchange, "0xa", buy(1_000_000, 30, Tif.IOC))
    resting = put(exchange, "0xa", sell(1_001_000, 90, reduce=True)).order
    assert resting.size == 30
    put(exchange, "0xc", buy(1_000_500, 100))
    put(exchange, "0xa", sell(1_000_500, 20, Tif.IOC))
    # Ten are left of the position, so ten of the thirty can be taken.
    put(exchange, "0xb", buy(1_001_000, 300, Tif.IOC))
    assert exchange.accounts["0xa"].size(0) == 0
    assert resting.left == 20
    refused = put(exchange, "0xa", sell(1_001_000, 20, reduce=True))
    assert refused.refusal is Refusal.REDUCE_ONLY


def test_an_order_beyond_the_margin_is_refused_and_one_that_reduces_never_is():
    exchange = exchange_of(cash=1_000 * USD)
    put(exchange, "0xb", sell(1_000_000, 19_000))
    put(exchange, "0xc", sell(1_000_000, 19_000))
    assert put(exchange, "0xa", buy(1_000_000, 20_100)).refusal is Refusal.MARGIN
    assert isinstance(put(exchange, "0xa", buy(1_000_000, 19_000, Tif.IOC)), Placed)
    # A fall by which most is lost: it may still sell, not buy.
    exchange.marks[0] = 960_000
    put(exchange, "0xb", buy(960_000, 5_000))
    assert put(exchange, "0xa", buy(950_000, 5_000)).refusal is Refusal.MARGIN
    assert isinstance(put(exchange, "0xa", sell(960_000, 5_000, Tif.IOC)), Placed)


def test_a_resting_order_that_lost_its_margin_is_cancelled_when_it_is_met():
    exchange = exchange_of(cash=1_000 * USD)
    put(exchange, "0xb", sell(1_000_000, 15_000))
    put(exchange, "0xa", buy(1_000_000, 15_000, Tif.IOC))
    resting = put(exchange, "0xa", buy(950_000, 3_000)).order
    exchange.marks[0] = 950_000
    done = put(exchange, "0xc", sell(950_000, 1_000, Tif.IOC))
    assert done.refusal is Refusal.IOC
    assert resting.status == "marginCanceled"


def test_a_small_order_is_refused_unless_it_closes_the_whole_position():
    exchange = exchange_of()
    put(exchange, "0xb", sell(1_000_000, 30))
    assert put(exchange, "0xa", buy(1_000_000, 9)).refusal is Refusal.MIN_NOTIONAL
    put(exchange, "0xa", buy(1_000_000, 12, Tif.IOC))
    put(exchange, "0xc", buy(999_900, 100))
    assert put(exchange, "0xa", sell(999_900, 4, reduce=True)).refusal is Refusal.MIN_NOTIONAL
    put(exchange, "0xa", sell(999_900, 11, Tif.IOC))
    assert put(exchange, "0xa", sell(999_900, 1, Tif.IOC)).filled == 1


def test_remembered_orders_are_bounded_and_resting_ones_are_never_forgotten():
    exchange = exchange_of(kept_orders=10)
    kept = put(exchange, "0xa", buy(900_000, 50)).order
    oids = [put(exchange, "0xb", buy(900_000, 50)).order.oid for _ in range(30)]
    for oid in oids:
        exchange.cancel(exchange.accounts["0xb"], 0, oid, 1)
    assert exchange.find("0xa", kept.oid) is kept
    assert exchange.find("0xb", oids[0]) is None
    assert exchange.find("0xb", oids[-1]) is not None


@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=3),
    st.integers(-(10**8), 10**8),
    st.integers(1, 10**7),
)
def test_funding_moves_money_between_positions_and_only_roundings_to_the_house(sizes, rate, oracle):
    exchange = exchange_of()
    exchange.oracles[0] = oracle
    sizes = [*sizes, -sum(sizes)]
    for i, size in enumerate(sizes):
        exchange.open_account(f"0x{i}", 0).trade(0, size > 0, 1_000_000, abs(size), 0)
    before = {x.address: x.cash for x in exchange.accounts.values()}
    paid = dict(house.settle(exchange, 0, rate, 1))
    moved = {x.address: x.cash - before[x.address] for x in exchange.accounts.values()}
    assert sum(moved.values()) == -exchange.house
    assert 0 <= exchange.house <= len(sizes)
    for i, size in enumerate(sizes):
        due = -size * oracle * rate
        assert moved[f"0x{i}"] == due // house.RATE
        assert size == 0 or paid[f"0x{i}"].credit == moved[f"0x{i}"]


def test_the_hourly_rate_is_that_of_the_documentation():
    assert house.hourly_rate(0, 0) == 125_000
    assert decimal(house.hourly_rate(house.RATE // 100, 1), 10) == "0.0011875"
    assert house.hourly_rate(house.RATE, 1) == house.CAP_1H
    assert house.hourly_rate(-house.RATE, 1) == -house.CAP_1H


@given(st.integers(-(10**12), 10**12), st.integers(-30, 450))
def test_a_fee_is_rounded_against_the_account_by_less_than_a_unit(notional, rate):
    fee = fee_of(abs(notional), rate)
    assert 0 <= fee * 10**6 - abs(notional) * rate < 10**6


@given(st.integers(0, 6), st.integers(1, 10**9))
def test_prices_and_their_texts_are_those_of_the_traders_own_rules(size_decimals, price):
    listing = Listing("X", size_decimals)
    ours = Instrument.hyperliquid("X", size_decimals)
    assert listing.price_decimals == ours.price_decimals
    assert listing.tick(price) == ours.tick(price)
    assert listing.is_price(price) == ours.is_valid_price(price)
    said = text(price, ours.price_decimals)
    assert units(said, listing.price_decimals) == price == parsed(said, ours.price_decimals)
    told = listing.price_text(price)
    assert parsed(told, ours.price_decimals) == price
    assert "." in told
