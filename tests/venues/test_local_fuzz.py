"""Whatever a client sends, the venue answers and goes on."""

import copy
import json

import hypothesis.strategies as st
from hypothesis import given, settings

from diffmm.venues.local.events import Received, Reply, Request
from traders import cancelling, order, placing, still_room, Trader


CLOID = "0x0000000000000000000000000000002a"
ACTIONS = [
    placing(order("B", "98", "1", cloid=CLOID), order("A", "102", "1", "Alo", reduce=True)),
    {**placing(order("B", "98", "1", "Ioc")), "grouping": {"p": 5}},
    cancelling(1),
    {"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": CLOID}]},
    {"type": "modify", "oid": 1, "order": order("B", "97", "1", "Alo")},
    {"type": "batchModify", "modifies": [{"oid": CLOID, "order": order("B", "97", "1", "Alo")}]},
    {"type": "scheduleCancel", "time": 1_790_000_100_000},
    {"type": "noop"},
]
ASKED = [
    {"type": "orderStatus", "user": "0x" + "1" * 40, "oid": 1},
    {"type": "userFillsByTime", "user": "0x" + "1" * 40, "startTime": 0, "endTime": 5},
    {"type": "l2Book", "coin": "SIM"},
    {"type": "clearinghouseState", "user": "0x" + "1" * 40},
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**62, 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["1e5", "-1", "0", "0.000000000000001", "9" * 30, "NaN", "٣", CLOID]),
    st.just([]),
    st.just({}),
)


def places(value, path=()):
    """Every path into a JSON value."""
    yield path
    pairs = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        yield from places(inner, (*path, key))


@st.composite
def changed(draw, values):
    """A valid value with one or two of its parts replaced, left out, or added to."""
    value = copy.deepcopy(draw(st.sampled_from(values)))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from([x for x in places(value) if x] or [()]))
        if not path:
            break
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        if draw(st.booleans()) and isinstance(holder, dict):
            del holder[path[-1]]
        else:
            holder[path[-1]] = draw(LEAVES)
    return value


def sdk_signed(trader, action):
    """The trader's signature where our signer gives one, and anybody's where it does not."""
    try:
        return trader.signed(action)
    except Exception:
        return {**trader.signed({"type": "noop"}), "action": action}


@given(changed(ACTIONS), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_action_is_answered_exactly_once(action, is_post):
    room = still_room(scheduled_volume=0)
    trader = Trader(room, "a")
    body = sdk_signed(trader, action)
    if is_post:
        trader.send({"method": "post", "id": 7, "request": {"type": "action", "payload": body}})
        room.wait()
        assert len(trader.heard("post")) + len(trader.heard("error")) == 1
    else:
        room.on(Request(99, "/exchange", json.dumps(body)))
        room.wait()
        (reply,) = [x for x in room.others if isinstance(x, Reply)]
        assert reply.conn == 99
    assert room.venue.streams.posts == 0
    trader.send({"method": "ping"})
    assert trader.frames[-1] == {"channel": "pong"}


@given(changed([*ASKED, *({"type": "action", "payload": x} for x in ASKED)]))
@settings(max_examples=200, deadline=None)
def test_any_question_is_answered_exactly_once(asked):
    room = still_room()
    trader = Trader(room, "a")
    room.on(Request(99, "/info", json.dumps(asked)))
    trader.send({"method": "post", "id": 7, "request": {"type": "info", "payload": asked}})
    assert len(room.others) == 1
    assert room.others[0].status in (200, 422)
    assert len(trader.frames) == 1


@given(st.one_of(st.text(), st.binary().map(lambda x: x.decode(errors="replace"))))
def test_any_text_is_answered_or_closes_nothing(text):
    room = still_room()
    trader = Trader(room, "a")
    room.on(Received(trader.conn, text))
    (told,) = trader.frames
    assert told["channel"] in ("error", "pong")
