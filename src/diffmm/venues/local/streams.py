"""Websockets and what each has subscribed to: limits, echoes, and who is sent what."""

import dataclasses
import json
from typing import Any

import msgspec

from .config import NS
from .desk import Desk, is_address, Unknown
from .events import Answer, Close, Send
from .limits import Window


COIN_FEEDS = ("bbo", "l2Book", "trades", "activeAssetCtx")
USER_FEEDS = (
    "orderUpdates",
    "userEvents",
    "userFills",
    "userFundings",
    "openOrders",
    "clearinghouseState",
)
IDLE_NS = 60 * NS
"""The venue ends a websocket to which it has sent nothing for so long."""
MOST_USERS, MOST_SUBSCRIPTIONS, MOST_MESSAGES, MOST_POSTS = 10, 1000, 2000, 100

Key = tuple[str, str, bool]
"""Feed, coin or user, and whether it is the fast cadence."""

encode = msgspec.json.encode


@dataclasses.dataclass(slots=True)
class Line:
    """One websocket.

    **Attributes:**

    - `subscriptions`: what it is sent, with the text of each for the limit messages.
    - `sent_ns`: when it was last sent anything; the venue ends a line it was silent on.
    """

    sent_ns: int
    subscriptions: dict[Key, dict[str, Any]] = dataclasses.field(default_factory=dict)


class Bad(Exception):
    """A frame that is answered with an `error`."""


class Streams:
    """All websockets of one machine.

    **Attributes:**

    - `lines`: by connection.
    - `posts`: how many posts are not answered yet.
    - `out`: what is to be sent, in order; whoever drives the venue takes it away.
    """

    def __init__(self, desk: Desk, has_limits: bool):
        self.lines: dict[int, Line] = {}
        self.posts = 0
        self.out: list[Answer] = []
        self._desk, self._has_limits = desk, has_limits
        self._by_key: dict[Key, dict[int, None]] = {}
        self._messages = Window()

    def open(self, conn: int, now_ns: int) -> None:
        """A new line."""
        self.lines[conn] = Line(now_ns)

    def close(self, conn: int) -> None:
        """A line is gone, and what it had subscribed to with it."""
        line = self.lines.pop(conn, None)
        for key in line.subscriptions if line else ():
            self._drop(key, conn)

    def keys(self, feed: str) -> list[Key]:
        """What is subscribed to of one feed."""
        return [key for key in self._by_key if key[0] == feed]

    def is_wanted(self, feed: str, of: str) -> bool:
        """Whether anybody listens."""
        return (feed, of, False) in self._by_key

    def send(self, conn: int, text: str, now_ns: int) -> None:
        """One text to one line, if it is still there."""
        line = self.lines.get(conn)
        if line is not None:
            line.sent_ns = now_ns
            self.out.append(Send(conn, text))

    def publish(self, key: Key, channel: str, data: Any, now_ns: int) -> None:
        """One frame to all who subscribed."""
        conns = self._by_key.get(key, ())
        text = frame(channel, data) if conns else ""
        for conn in conns:
            self.send(conn, text, now_ns)

    def end_idle(self, now_ns: int) -> None:
        """Close the lines on which nothing was sent for too long."""
        for conn in [x for x, line in self.lines.items() if line.sent_ns + IDLE_NS <= now_ns]:
            self.close(conn)
            self.out.append(Close(conn, 1000, "Inactive"))

    def idle_ns(self) -> int | None:
        """When the next line will have been silent for too long."""
        return min((x.sent_ns + IDLE_NS for x in self.lines.values()), default=None)

    def admit(self, now_ns: int) -> None:
        """Count a message.

        Raises:
            Bad: too many within a minute.
        """
        if self._has_limits and not self._messages.is_within(1, MOST_MESSAGES, now_ns):
            raise Bad(f"Cannot send more than {MOST_MESSAGES} messages per minute.")

    def subscribe(self, conn: int, asked: dict[str, Any]) -> tuple[Key, dict[str, Any]]:
        """A new subscription; its key and the echo.

        Raises:
            Bad: it is none, exists already, or is one too many.
        """
        key, echo = self._parse(asked)
        line = self.lines[conn]
        if key in line.subscriptions:
            raise Bad(f"Already subscribed: {json.dumps(asked)}")
        if self._has_limits:
            taken = [x for other in self.lines.values() for x in other.subscriptions]
            users = {of for feed, of, _ in [*taken, key] if feed in USER_FEEDS}
            if len(users) > MOST_USERS:
                raise Bad(f"Cannot track more than {MOST_USERS} total users.")
            if len(taken) >= MOST_SUBSCRIPTIONS:
                raise Bad(f"Cannot subscribe to more than {MOST_SUBSCRIPTIONS} channels.")
        line.subscriptions[key] = echo
        self._by_key.setdefault(key, {})[conn] = None
        return key, echo

    def unsubscribe(self, conn: int, asked: dict[str, Any]) -> dict[str, Any]:
        """End a subscription; the echo.

        Raises:
            Bad: there is none such.
        """
        key, echo = self._parse(asked)
        line = self.lines[conn]
        if key not in line.subscriptions:
            raise Bad(f"Already unsubscribed: {json.dumps(asked)}")
        del line.subscriptions[key]
        self._drop(key, conn)
        return echo

    def _parse(self, asked: dict[str, Any]) -> tuple[Key, dict[str, Any]]:
        """A subscription's key and its normal form."""
        feed, invalid = asked.get("type"), Bad(f"Invalid subscription {json.dumps(asked)}")
        if feed == "allMids":
            return (feed, "", False), {"type": feed, "dex": None}
        if feed in USER_FEEDS:
            if not is_address(asked.get("user")):
                raise invalid
            user = asked["user"].lower()
            return (feed, user, False), {"type": feed, "user": user}
        if feed not in COIN_FEEDS:
            raise invalid
        try:
            self._desk.asset(asked.get("coin"))
        except Unknown:
            raise invalid from None
        coin = asked["coin"]
        if feed != "l2Book":
            return (feed, coin, False), {"type": feed, "coin": coin}
        # Aggregated books are for looking at; nobody should trade on one.
        if asked.get("nSigFigs") is not None or asked.get("mantissa") is not None:
            raise invalid
        fast = asked.get("fast") is True
        echo = {"type": feed, "coin": coin, "nSigFigs": None, "mantissa": None, "fast": fast}
        return (feed, coin, fast), echo

    def _drop(self, key: Key, conn: int) -> None:
        conns = self._by_key[key]
        del conns[conn]
        if not conns:
            del self._by_key[key]


def frame(channel: str, data: Any) -> str:
    """A frame's text."""
    return encode({"channel": channel, "data": data}).decode()
