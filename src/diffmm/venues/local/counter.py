"""Where requests come in: websocket frames and HTTP bodies, through one path."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from . import desk, wire
from .bulletin import Bulletin, MS
from .desk import Desk, Unknown
from .events import Reply, Request
from .gateway import Gateway, Invalid, Run, Turn, turn_of, weight_of
from .limits import Window
from .streams import Bad, encode, frame, MOST_POSTS, Streams


REST_WEIGHT = 1_200
"""Weight of HTTP requests within a minute."""
ORDERS_A_WEIGHT = 40
LONGEST_QUOTE = 500
"""Characters of a bad frame that are repeated."""
UNREADABLE = (msgspec.DecodeError, Unknown, RecursionError, UnicodeError)

Answer = Callable[[Any, int], object]
"""Takes the body of an answer and the time in ns."""


class Counter:
    """Reads what clients send; actions are handed on to the next block."""

    def __init__(
        self,
        gateway: Gateway,
        at: Desk,
        bulletin: Bulletin,
        streams: Streams,
        enqueue: Callable[[Turn, Run, int], None],
    ):
        self.gateway, self.desk, self.bulletin, self.streams = gateway, at, bulletin, streams
        self._enqueue, self._has_limits = enqueue, gateway.config.has_traffic_limits
        self._weight = Window()

    def received(self, conn: int, text: str, now_ns: int) -> None:
        """One text frame."""
        try:
            self.streams.admit(now_ns)
            try:
                self._obey(conn, wire.decode_frame(text), text, now_ns)
            except UNREADABLE:
                raise _unreadable(text) from None
        except Bad as error:
            self.streams.send(conn, frame("error", str(error)), now_ns)

    def requested(self, request: Request, now_ns: int) -> None:
        """One HTTP request."""

        def reply(body: Any, at_ns: int) -> None:
            self.streams.out.append(Reply(request.conn, 200, encode(body).decode()))

        try:
            if request.path == "/exchange":
                signed = wire.decode_signed(request.body)
                weight = 1 + weight_of(signed.action) // ORDERS_A_WEIGHT
                if self._may_pass(request, weight, now_ns):
                    self._act(signed, reply, now_ns)
                return
            asked = wire.decode_asked(request.body)
            if self._may_pass(request, desk.WEIGHTS.get(asked.type, desk.MIDDLE), now_ns):
                reply(self.desk.answer(asked, now_ns // MS), now_ns)
        except UNREADABLE:
            words = "Failed to deserialize the JSON body into the target type"
            self.streams.out.append(Reply(request.conn, 422, words))

    def _obey(self, conn: int, asked: wire.Frame, text: str, now_ns: int) -> None:
        streams = self.streams
        if asked.method == "ping":
            streams.send(conn, '{"channel":"pong"}', now_ns)
        elif asked.method == "post":
            if asked.id is None or asked.request is None:
                raise _unreadable(text)
            self._post(conn, asked.id, asked.request, now_ns)
        elif asked.subscription is None:
            raise _unreadable(text)
        elif asked.method == "unsubscribe":
            echo = streams.unsubscribe(conn, asked.subscription)
            streams.send(conn, _echo("unsubscribe", echo), now_ns)
        else:
            key, echo = streams.subscribe(conn, asked.subscription)
            streams.send(conn, _echo("subscribe", echo), now_ns)
            state = self.bulletin.state(key, now_ns // MS)
            if state is not None:
                streams.send(conn, frame(key[0], state), now_ns)

    def _post(self, conn: int, number: int, request: wire.Posted, now_ns: int) -> None:
        if self._has_limits and self.streams.posts >= MOST_POSTS:
            raise Bad(f"too many pending post requests id={number}")

        def reply(payload: Any, at_ns: int) -> None:
            data = {"id": number, "response": {"type": request.type, "payload": payload}}
            self.streams.send(conn, frame("post", data), at_ns)

        def answer(payload: Any, at_ns: int) -> None:
            self.streams.posts -= 1
            reply(payload, at_ns)

        if request.type == "info":
            asked = wire.decode_asked(bytes(request.payload))
            told = self.desk.answer(asked, now_ns // MS)
            reply({"type": asked.type, "data": told}, now_ns)
        else:
            signed = wire.decode_signed(bytes(request.payload))
            self.streams.posts += 1
            self._act(signed, answer, now_ns)

    def _may_pass(self, request: Request, weight: int, now_ns: int) -> bool:
        if not self._has_limits or self._weight.is_within(weight, REST_WEIGHT, now_ns):
            return True
        self.streams.out.append(Reply(request.conn, 429, json.dumps(None)))
        return False

    def _act(self, signed: wire.Signed, answer: Answer, now_ns: int) -> None:
        """An action waits for its block; one of a stranger does not get that far."""
        try:
            account = self.gateway.account_of(signed)
        except Invalid as error:
            answer({"status": "err", "response": str(error)}, now_ns)
            return

        def run(at_ns: int) -> None:
            answer(self.gateway.run(account, signed, at_ns), at_ns)

        self._enqueue(turn_of(signed.action), run, now_ns)


def _echo(method: str, subscription: dict[str, Any]) -> str:
    return frame("subscriptionResponse", {"method": method, "subscription": subscription})


def _unreadable(text: str) -> Bad:
    return Bad(f"Error parsing JSON into valid websocket request: {text[:LONGEST_QUOTE]}")
