"""Signed actions: who may act, what is refused in which words, and what a reply says."""

import itertools

import pytest

from diffmm.venues.hyperliquid.signer import keccak256, Signer
from diffmm.venues.local.exchange import Rules
from traders import cancelling, order, placing, START_NS, still_room, Trader


CLOID = "0x0000000000000000000000000000002a"
NEW = "0x0000000000000000000000000000002b"
DAY_MS = 86_400_000
DAY_NS = DAY_MS * 1_000_000


def pair(**changes):
    room = still_room(**changes)
    return room, Trader(room, "a"), Trader(room, "b")


def with_book(**changes):
    """A maker's bid at 99 and ask at 101, ten of each."""
    room, maker, taker = pair(**changes)
    maker.act(placing(order("B", "99", "10"), order("A", "101", "10")))
    return room, maker, taker


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (order("B", "99.0001", "1"), "Price must be divisible by tick size. asset=0"),
        (order("B", "99.00001", "1"), "Price must be divisible by tick size. asset=0"),
        (order("B", "0", "1"), "Order has invalid price."),
        (order("B", "99", "1.001"), "Order has invalid size."),
        (order("B", "99", "0"), "Order has zero size."),
        (order("B", "99", "0.1"), "Order must have minimum value of $10. asset=0"),
        (
            order("B", "101", "1", "Alo"),
            "Post only order would have immediately matched, bbo was 99.0@101.0. asset=0",
        ),
        (
            order("B", "100", "1", "Ioc"),
            "Order could not immediately match against any resting orders. asset=0",
        ),
        (order("B", "100", "99999"), "Insufficient margin to place order. asset=0"),
        (
            order("B", "100", "1", reduce=True),
            "Reduce only order would increase position. asset=0",
        ),
    ],
)
def test_an_order_is_refused_in_the_venues_words_and_the_rest_of_its_batch_is_not(wire, said):
    _, _, taker = with_book()
    good = order("B", "98", "1", "Gtc" if wire["t"]["limit"]["tif"] == "Gtc" else "Alo")
    refused, placed = taker.act(placing(wire, good))
    assert refused == {"error": said}
    assert "resting" in placed


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (order("B", "1", "99"), "Order price cannot be more than 95% away from the reference"),
        (order("B", "99", "1", asset=3), "Invalid asset 3"),
        (order("B", "1e2", "1"), "Invalid decimal '1e2'"),
        (order("B", "NaN", "1"), "Invalid decimal 'NaN'"),
        (order("B", "99", "-1"), "Invalid decimal '-1'"),
    ],
)
def test_what_can_be_said_of_a_batch_by_itself_refuses_the_whole_of_it(wire, said):
    _, _, taker = with_book()
    answer = taker.act(placing(order("B", "98", "1"), wire))
    assert answer["status"] == "err"
    assert answer["response"].startswith(said)
    assert taker.truth.open_orders == {}


def test_an_ioc_order_takes_what_there_is_and_a_gtc_order_rests_with_what_is_left():
    room, maker, taker = with_book()
    taker.subscribe(type="orderUpdates", user=taker.address)
    taken = taker.place("B", "101", "15", "Ioc")
    assert taken["filled"]["totalSz"] == "10.0"
    maker.place("A", "101", "4")
    assert "resting" in taker.place("B", "101", "10", "Gtc")
    (resting,) = taker.truth.open_orders.values()
    assert (resting["sz"], resting["origSz"]) == ("6.0", "10.0")
    room.wait()
    updates = [x for rows in taker.heard("orderUpdates") for x in rows]
    assert [(x["status"], x["order"]["sz"]) for x in updates] == [
        ("canceled", "5.0"),
        ("open", "6.0"),
    ]


def test_a_refused_order_has_a_status_that_can_be_asked_for_by_its_cloid():
    _, _, taker = with_book()
    taker.place("B", "101", "1", "Alo", cloid=CLOID)
    told = taker.info(type="orderStatus", user=taker.address, oid=CLOID)
    assert told["order"]["status"] == "badAloPxRejected"
    unknown = taker.info(type="orderStatus", user=taker.address, oid=NEW)
    assert unknown == {"status": "unknownOid"}


def test_a_modified_order_has_a_new_oid_and_the_new_one_only_rests():
    _, maker, taker = with_book()
    first = taker.place("B", "98", "1", "Alo", cloid=CLOID)["resting"]["oid"]
    change = {"oid": CLOID, "order": order("B", "98.5", "2", "Alo", cloid=NEW)}
    (moved,) = taker.act({"type": "batchModify", "modifies": [change]})
    assert moved["resting"]["cloid"] == NEW
    assert moved["resting"]["oid"] > first
    assert [x["cloid"] for x in taker.truth.open_orders.values()] == [NEW]
    # The old one is gone: without `a` nothing is placed in its stead.
    (failed,) = taker.act({"type": "batchModify", "modifies": [change]})
    assert failed == {"error": "Cannot modify canceled or filled order"}
    (forced,) = taker.act({"type": "batchModify", "modifies": [change], "a": True})
    assert "resting" in forced
    crossing = {"oid": forced["resting"]["oid"], "order": order("B", "101", "1", "Gtc")}
    (refused,) = taker.act({"type": "batchModify", "modifies": [crossing]})
    assert refused["error"].startswith("Post only order would have immediately matched")
    assert maker.truth.positions == {}


def test_arrivals_in_any_order_within_a_block_give_the_same_outcome():
    seen = set()
    for arrival in itertools.permutations(("alo", "cancel", "ioc")):
        room, maker, taker = with_book()
        (oid,) = [x for x, told in maker.truth.open_orders.items() if told["side"] == "B"]
        posts = {
            "alo": lambda: maker.post(placing(order("B", "98.5", "1", "Alo"))),  # noqa: B023
            "cancel": lambda: maker.post(cancelling(oid)),  # noqa: B023
            "ioc": lambda: taker.post(placing(order("A", "98", "5", "Ioc"))),  # noqa: B023
        }
        for what in arrival:
            posts[what]()
        room.wait()
        (fill,) = taker.truth.fills
        seen.add((fill["px"], fill["sz"], len(maker.truth.open_orders)))
    assert seen == {("98.5", "1.0", 1)}


def test_a_cancel_that_arrives_before_its_resting_order_in_a_block_finds_it_placed():
    room, _, taker = with_book()
    by_cloid = {"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": CLOID}]}
    cancel = taker.post(by_cloid)
    taker.post(placing(order("B", "98", "1", "Alo", cloid=CLOID)))
    room.wait()
    assert taker.answer(cancel)["response"]["data"]["statuses"] == ["success"]
    assert taker.truth.open_orders == {}


def test_a_stranger_and_a_tampered_action_are_told_of_a_wallet_that_does_not_exist():
    room = still_room()
    stranger = Trader(room, "a", is_paid=False)
    said = f"L1 error: User or API Wallet {stranger.address} does not exist."
    assert stranger.act(cancelling(1)) == {"status": "err", "response": said}
    known = Trader(room, "b")
    signed = known.signed(cancelling(1))
    signed["action"] = cancelling(2)
    known.send(
        {"method": "post", "id": 1, "request": {"type": "action", "payload": signed}},
    )
    assert known.answer(1)["response"].endswith("does not exist.")


@pytest.mark.parametrize(
    "action",
    [
        placing(order("B", "98.0", "1")),
        {**cancelling(1), "f": False},
        {"grouping": "na", "orders": [order("B", "98", "1")], "type": "order"},
        placing(order("B", "98", "1", cloid="0x0000000000000000000000000000002A")),
    ],
)
def test_an_action_that_is_not_in_canonical_form_recovers_to_a_stranger(action):
    room = still_room()
    trader = Trader(room, "a")
    answer = trader.act(action)
    assert answer["status"] == "err"
    assert answer["response"].startswith("L1 error: User or API Wallet 0x")
    assert trader.address not in answer["response"]


def test_a_signature_that_no_key_can_have_made_is_said_to_be_one():
    room = still_room()
    trader = Trader(room, "a")
    signed = {**trader.signed(cancelling(1)), "signature": {"r": "0x0", "s": "0x1", "v": 27}}
    trader.send({"method": "post", "id": 1, "request": {"type": "action", "payload": signed}})
    assert trader.answer(1) == {"status": "err", "response": "Unable to recover signer."}


def test_a_nonce_is_used_once_and_lies_in_its_window():
    room = still_room()
    trader = Trader(room, "a")
    now_ms = START_NS // 1_000_000
    noop = {"type": "noop"}
    assert trader.act(noop, nonce=now_ms)["status"] == "ok"
    again = trader.act(noop, nonce=now_ms)
    assert again["response"] == f"Invalid nonce: duplicate nonce {now_ms}"
    # A nonce that a noop has burnt kills the order that would have used it.
    assert trader.act(placing(order("B", "98", "1")), nonce=now_ms)["status"] == "err"
    for outside in (now_ms - 2 * DAY_MS, now_ms + DAY_MS + 1000):
        assert trader.act(noop, nonce=outside)["response"].startswith("Invalid nonce: nonce too")
    for i in range(1, 101):
        assert trader.act(noop, nonce=now_ms + i)["status"] == "ok"
    # Of the hundred kept, the lowest is above this one, which was never used.
    assert "too low" in trader.act(noop, nonce=now_ms - 5)["response"]


def test_an_action_that_has_expired_is_refused_and_costs_five():
    room = still_room()
    trader = Trader(room, "a")
    late = trader.act(placing(order("B", "98", "1")), expires=START_NS // 1_000_000 - 1)
    assert late == {"status": "err", "response": "Action already expired"}
    assert trader.info(type="userRateLimit", user=trader.address)["nRequestsUsed"] == 5
    in_time = trader.act(placing(order("B", "98", "1")), expires=room.now_ns // 1_000_000 + 500)
    assert "resting" in in_time[0]


def test_without_budget_orders_wait_ten_seconds_while_cancels_still_pass():
    room, maker, taker = pair(free_requests=2)
    placed = [x["resting"]["oid"] for x in maker.act(placing(*[order("B", "98", "1")] * 2))]
    assert "resting" in maker.place("B", "98", "1")
    refused = maker.act(placing(order("B", "98", "1")))
    assert refused["response"].startswith("Too many cumulative requests sent (3 > 2) for cumulati")
    assert maker.act(cancelling(placed[0])) == ["success"]
    room.wait(10.0)
    assert "resting" in maker.place("B", "98", "1")
    # Every USD traded is one more.
    taker.place("A", "98", "1", "Ioc")
    told = maker.info(type="userRateLimit", user=maker.address)
    assert (told["cumVlm"], told["nRequestsCap"]) == ("98.0", 100)
    assert "resting" in maker.place("B", "97", "1")


def test_a_scheduled_cancel_fires_once_the_gate_is_passed_and_can_be_called_off():
    room, maker, taker = with_book(scheduled_volume=1_000_000_000)
    in_a_while = lambda: {"type": "scheduleCancel", "time": room.now_ns // 1_000_000 + 6_000}
    refused = maker.act(in_a_while())["response"]
    assert refused.endswith("Required: $1000. Traded: $0.0.")
    taker.place("B", "101", "10", "Ioc")
    maker.subscribe(type="orderUpdates", user=maker.address)
    maker.subscribe(type="userEvents", user=maker.address)
    too_soon = {"type": "scheduleCancel", "time": room.now_ns // 1_000_000 + 4_000}
    assert maker.act(too_soon)["status"] == "err"
    assert maker.act(in_a_while())["status"] == "ok"
    assert maker.act({"type": "scheduleCancel"})["status"] == "ok"
    room.wait(7.0)
    assert len(maker.truth.open_orders) == 1
    assert maker.act(in_a_while())["status"] == "ok"
    room.wait(5.7)
    assert len(maker.truth.open_orders) == 1
    room.wait(0.3)
    assert maker.truth.open_orders == {}
    (update,) = maker.heard("orderUpdates")[-1]
    assert update["status"] == "scheduledCancel"
    assert maker.heard("user")[-1] == {"nonUserCancel": [{"coin": "SIM", "oid": 1}]}


def test_after_ten_scheduled_cancels_in_a_day_no_more_are_taken():
    before_midnight = (START_NS // DAY_NS + 1) * DAY_NS - 100_000_000_000
    room = still_room(before_midnight, scheduled_volume=0)
    trader = Trader(room, "a")
    for _ in range(10):
        at_ms = room.now_ns // 1_000_000 + 6_000
        assert trader.act({"type": "scheduleCancel", "time": at_ms})["status"] == "ok"
        room.wait(6.0)
    at_ms = room.now_ns // 1_000_000 + 6_000
    assert trader.act({"type": "scheduleCancel", "time": at_ms})["status"] == "err"
    room.wait(45.0)
    at_ms = room.now_ns // 1_000_000 + 6_000
    assert trader.act({"type": "scheduleCancel", "time": at_ms})["status"] == "ok"


def test_leverage_bounds_what_may_be_held():
    room, _, taker = with_book()
    assert "resting" in taker.place("B", "98", "2000")
    room.venue.exchange.accounts[taker.address].leverage[0] = 1
    refused = taker.place("B", "97", "1000")
    assert refused["error"].startswith("Insufficient margin")


def test_a_rebate_is_a_negative_fee():
    _, maker, taker = with_book(rules=Rules(maker_ppm=-10))
    taker.place("B", "101", "10", "Ioc")
    (fill,) = maker.truth.fills
    assert fill["fee"] == "-0.0101"
    assert maker.truth.fees == -10_100


def test_a_vault_is_not_known_here():
    room = still_room()
    trader = Trader(room, "a")
    vault = Signer(keccak256(b"vault")).address
    answer = trader.act({"type": "noop"}, vault=vault)
    assert answer == {"status": "err", "response": f"Vault not registered: {vault}"}


def test_funding_is_paid_on_an_accelerated_hour_and_both_sides_are_told():
    room, maker, taker = with_book(funding_ns=30_000_000_000)
    for each in (maker, taker):
        each.subscribe(type="userFundings", user=each.address)
        each.subscribe(type="userEvents", user=each.address)
    taker.place("B", "101", "10", "Ioc")
    room.wait(30.0)
    snapshot, told = taker.heard("userFundings")
    assert snapshot["isSnapshot"] is True
    (row,) = told["fundings"]
    assert row["time"] % 30_000 == 0
    # A long pays position x oracle x rate, here the interest of an hour, rounded against it.
    assert (row["usdc"], row["szi"], row["fundingRate"]) == ("-0.0125", "10.0", "0.0000125")
    assert (taker.truth.funding, maker.truth.funding) == (-12_500, 12_500)
    assert maker.heard("user")[-1]["funding"]["usdc"] == "0.0125"
