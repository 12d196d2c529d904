"""The trading core against the embedded venue in virtual time: limits, proof, recovery, ends."""

import dataclasses
import json

import pytest

import trading
from diffmm.live import events
from diffmm.live.events import Command
from diffmm.live.journal import Segments
from diffmm.live.recovery import fold, Known, recover, state
from diffmm.live.rerun import Rerun
from diffmm.live.stopwatch import Timed
from diffmm.live.trader import Config, LATCHED, LOST, Mode, UNCONFIRMED
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.venues.intake import Intake
from diffmm.venues.local.book import Tif
from diffmm.venues.local.exchange import NewOrder
from trading import AT, COIN, Crowd, LIMITS, Link, NS, Random


def link(seed=0, wild=0.0, **keywords):
    one = Link(trading.trader(Random(seed, wild), **keywords), Crowd(seed), seed)
    one.start()
    return one


def assert_books_equal_the_venue(one):
    truth, held = one.truth(), one.core.books.balance
    assert held.position == truth.positions.get(COIN, 0)
    assert held.cash_1e8 == truth.cash * 100


def assert_no_ghosts(one):
    """Every order that the venue holds is one that the core still counts."""
    working = {x.cloid for x in one.core.desk.blotter.working()}
    assert {x["cloid"] for x in one.truth().open_orders.values()} <= working


def stop(one):
    one.command(Command.STOP)
    one.run(20)
    assert one.ended == events.End(0, "stop requested")
    assert one.core.resting_at_exit == 0
    assert not one.truth().open_orders
    assert_books_equal_the_venue(one)


def kinds(one, kind):
    return [x for x in one.journal if x["t"] == kind]


def test_a_minute_of_trading_ends_with_equal_books_and_nothing_resting():
    one = link()
    one.run(60)
    assert one.core.mode is Mode.QUOTING
    assert one.core.ledger.fills == len(one.truth().fills) > 10
    assert_no_ghosts(one)
    stop(one)
    parts = one.core.ledger.pnl_parts_1e8
    assert sum(parts.values()) == one.core.ledger.pnl_1e8
    fees = sum(x["fill"]["fee_1e8"] for x in kinds(one, "ownfill"))
    assert parts["fees"] == -fees == -one.truth().fees * 100


def test_the_same_seed_gives_the_same_journal():
    journals = [link(seed=3).run(20).journal for _ in range(2)]
    assert journals[0] == journals[1]


@pytest.mark.parametrize("seed", range(4))
def test_for_any_words_of_the_engine_no_limit_is_exceeded_at_the_venue(seed):
    one = link(seed, wild=0.5)

    def check(one):
        truth = one.truth()
        held = truth.positions.get(COIN, 0)
        left = {"B": 0, "A": 0}
        for order in truth.open_orders.values():
            left[order["side"]] += round(float(order["sz"]) * 100)
            assert round(float(order["origSz"]) * 100) <= LIMITS.max_order
        assert held + left["B"] <= LIMITS.max_position
        assert held - left["A"] >= -LIMITS.max_position
        assert len(truth.open_orders) <= LIMITS.max_open_orders

    one.on_step = check
    one.run(20)
    assert one.core.denials["illegal"] > 0
    stop(one)


def test_an_intent_is_durable_before_its_bytes_leave():
    core = trading.trader(Random(0))
    seen, plain = [], core.on

    def watched(event, now_ns):
        actions = plain(event, now_ns)
        seen.append(actions)
        return actions

    core.on = watched
    one = Link(core, Crowd(0))
    one.start()
    one.run(10)
    placed = 0
    for actions in seen:
        durable = set()
        for action in actions:
            if isinstance(action, events.Write) and action.is_durable:
                durable |= {x[0] for x in action.record.get("orders", [])}
            if isinstance(action, events.Act) and action.action["type"] == "order":
                placed += len(action.action["orders"])
                assert {x["c"] for x in action.action["orders"]} <= durable
    assert placed > 20


def test_nonces_only_increase_and_no_cloid_is_used_twice():
    one = link()
    one.run(20)
    nonces = [x["nonce"] for x in one.journal if "nonce" in x and x["t"] != "state"]
    assert nonces == sorted(set(nonces))
    cloids = [x[0] for record in kinds(one, "sent") for x in record["orders"]]
    assert len(cloids) == len(set(cloids))
    assert all(x.startswith("0xd1ff") for x in cloids)


@pytest.mark.parametrize("seed", range(3))
def test_after_every_loss_of_the_connection_it_reconciles_before_it_quotes(seed):
    one = link(seed)
    for _ in range(5):
        one.run(6)
        one.drop()
        one.run(0.1)
        assert not one.core.may_open
        # The waits between attempts grow: four seconds before the last one.
        until_ns = one.now_ns + 14 * NS
        while not one.core.may_open and one.now_ns < until_ns:
            one.run(0.2)
        assert one.core.may_open
        assert_no_ghosts(one)
    assert one.core.wire.reconnects == 5
    stop(one)
    is_sure = False
    for record in one.journal:
        is_sure |= record["t"] == "reconciled"
        is_sure &= not (record["t"] == "fault" and record["kind"] == "lost_connection")
        assert is_sure or record["t"] != "sent"


def test_replies_that_never_come_leave_orders_unknown_until_the_venue_is_asked():
    one = link()
    one.run(5)
    plain = one.core.on

    def deaf(event, now_ns):
        if isinstance(event, events.Heard) and '"post"' in event.text[:30]:
            return plain(events.Ticked(), now_ns)
        return plain(event, now_ns)

    one.core.on = deaf
    one.run(20)
    assert_no_ghosts(one)
    one.core.on = plain
    one.run(10)
    stop(one)


def test_an_order_that_never_arrived_is_given_up_only_after_its_expiry_and_two_answers():
    one = link()
    one.run(5)
    carry = one._to_venue
    lost = []

    def drop_orders(epoch, text):
        if '"orders"' in text and not lost:
            lost.append((one.now_ns, text))
            return
        carry(epoch, text)

    one._to_venue = drop_orders
    one.run(1)
    cloids = [x for x in one.core.desk.blotter.orders if x in lost[0][1]]
    assert cloids
    while one.now_ns - lost[0][0] < 3 * NS:
        one.run(0.5)
        assert all(not one.core.desk.blotter.orders[x].is_over for x in cloids)
    one.run(6)
    assert all(one.core.desk.blotter.orders[x].is_over for x in cloids)
    assert all(one.core.desk.blotter.orders[x].absences == 2 for x in cloids)
    stop(one)


@pytest.mark.parametrize("seed", range(6))
def test_a_core_that_dies_is_recovered_from_its_journal_and_the_venue(seed):
    one = link(seed)
    for k in range(4):
        one.run(2.0 + 0.37 * (seed + 1) * (k + 1))
        known = fold(one.journal, AT)
        one.replace(trading.trader(Random(seed + 10 * k), known))
        one.run(8)
        assert one.core.mode is Mode.QUOTING
        assert_no_ghosts(one)
    fills = [x["fill"]["tid"] for x in kinds(one, "ownfill")]
    assert len(fills) == len(set(fills))
    stop(one)


def test_with_its_journal_lost_it_finds_its_orders_at_the_venue_and_cancels_them():
    one = link()
    one.run(7)
    resting = set(one.truth().open_orders)
    assert resting
    one.replace(trading.trader(Random(1)))
    one.run(3)
    assert not resting & set(one.truth().open_orders)
    one.run(5)
    assert one.core.mode is Mode.QUOTING
    stop(one)


def test_an_order_of_somebody_else_ends_the_run():
    one = link()
    one.run(5)
    account = one.venue.exchange.accounts[trading.SIGNER.address]
    foreign = NewOrder(0, True, 900_000, 100, Tif.GTC, False, None)
    one.venue.exchange.place(account, foreign, one.now_ns // 1_000_000)
    one.run(25)
    # Whether nothing of ours rests cannot be told from an account that is not quiet.
    assert one.ended.code == UNCONFIRMED
    assert one.core.faults["foreign_order"] > 0
    ours = [x for x in one.truth().open_orders.values() if x["cloid"]]
    assert not ours


def test_pause_takes_everything_off_and_resume_quotes_again():
    one = link()
    one.run(5)
    one.command(Command.PAUSE)
    one.run(2)
    assert not one.truth().open_orders
    intents = one.core.intents
    one.run(5)
    assert one.core.intents == intents
    one.command(Command.RESUME)
    one.run(3)
    assert one.truth().open_orders
    stop(one)


def test_reduce_only_never_lets_the_position_grow():
    one = link(seed=2)
    one.run(20)
    one.command(Command.REDUCE_ONLY)
    one.run(3)
    held = abs(one.core.books.balance.position)
    assert held > 0
    one.run(20)
    assert abs(one.core.books.balance.position) <= held
    stop(one)


def test_kill_latches_cancels_everything_and_ends_with_four():
    one = link()
    one.run(5)
    latched = []
    carry = one._carry_out
    one._carry_out = lambda action: (
        latched.append(action) if isinstance(action, events.Latch) else carry(action)
    )
    one.command(Command.KILL)
    at_ns = one.now_ns
    one.run(20)
    assert one.ended.code == LATCHED
    assert len(latched) == 1
    assert not one.truth().open_orders
    assert not [x for x in kinds(one, "sent") if x["ns"] > at_ns]


def test_the_loss_limit_is_the_kill_latch():
    tight = dataclasses.replace(LIMITS, max_loss_1e8=1)
    one = link(seed=0, limits=tight)
    one.run(120)
    assert one.ended.code == LATCHED
    assert "loss limit" in one.ended.reason
    assert not one.truth().open_orders


def test_a_venue_that_is_silent_past_its_budget_ends_the_run_with_five():
    one = link(config=Config(venue_ns=3 * NS))
    one.run(5)
    one._answer = lambda answers: None
    one.run(10)
    assert one.ended.code == LOST
    assert one.core.resting_at_exit > 0


def test_a_stop_that_cannot_be_confirmed_says_so():
    one = link(config=Config(stop_ns=3 * NS))
    one.run(5)
    one._answer = lambda answers: None
    one.command(Command.STOP)
    one.run(10)
    assert one.ended.code == UNCONFIRMED


def test_a_broken_journal_cancels_everything_and_ends_with_one():
    one = link()
    one.run(5)
    one._feed(events.Broken("disk full"))
    one.run(10)
    assert one.ended == events.End(1, "disk full")
    assert not one.truth().open_orders


def test_a_long_pause_of_ours_is_a_doubt():
    one = link()
    one.run(5)
    one._queue = []
    one.now_ns += 45 * NS
    one._later(0, one._tick)
    one.run(0.2)
    assert one.ended is None
    assert one.core.faults["lag"] == 1
    assert one.core.mode is Mode.RECONCILING
    one.run(12)
    assert one.core.mode is Mode.QUOTING
    stop(one)


def test_funding_is_booked_once_and_to_the_last_integer():
    core = trading.trader(Random(2))
    hourly = dataclasses.replace(trading.VENUE, funding_ns=5 * NS)
    one = Link(core, Crowd(2), 2, config=hourly)
    one.start()
    one.run(40)
    assert len(kinds(one, "funding")) >= 5
    stop(one)
    assert core.ledger.pnl_parts_1e8["funding"] == one.truth().funding * 100


def test_the_state_of_a_new_segment_is_worth_everything_before_it():
    one = link(seed=1)
    one.run(9.3)
    known = Known(one.core.books, one.core.desk.blotter, one.core.desk.nonce)
    record = json.loads(json.dumps(state(known, one.now_ns, trading.SIGNER.address)))
    whole, short = fold(one.journal, AT), fold([record], AT)
    assert whole.nonce == short.nonce == one.core.desk.nonce
    assert whole.books.balance == short.books.balance == one.core.books.balance
    cloids = [[x.cloid for x in one.blotter.working()] for one in (whole, short)]
    assert cloids[0] == cloids[1] != []
    one.replace(trading.trader(Random(5), short))
    one.run(8)
    stop(one)


def test_another_account_starts_with_nothing_known(tmp_path):
    one = link()
    one.run(5)
    known = Known(one.core.books, one.core.desk.blotter, one.core.desk.nonce)
    segments = Segments(tmp_path, state(known, 1, "0xaa"), lambda: {})
    segments.close()
    assert recover(tmp_path, AT, "0xaa").books.balance == one.core.books.balance
    assert recover(tmp_path, AT, "0xbb").books.balance is None


def test_a_journal_gives_every_decision_again():
    one = link(seed=4)
    one.run(12)
    one.drop()
    one.run(10)
    again = Rerun(
        Timed(Random(4)),
        Intake(AT, AccountInputs(), EncoderConfig(layout=trading.LAYOUT)),
        AccountInputs(),
    )
    found = again.run(one.journal)
    assert found.decisions == len(one.core.decisions) > 100
    assert (found.same, found.missing) == (found.decisions, 0)
    wrong = [{**x, "ns": x["ns"] + 300 * 10**6} if x["t"] == "own" else x for x in one.journal]
    again = Rerun(
        Timed(Random(4)),
        Intake(AT, AccountInputs(), EncoderConfig(layout=trading.LAYOUT)),
        AccountInputs(),
    )
    assert not again.run(wrong).is_reproduced
