"""What reaches the embedded venue and what it answers: the whole seam, without a socket.

    venue.on(event, now_ns) -> [Send | Reply | Close, ...]

`conn` names a websocket or one HTTP request; whoever drives the venue chooses the numbers and never
gives one twice. `now_ns` is wall time since 1970 and never runs backwards.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Connected:
    """A websocket was opened."""

    conn: int


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """One text frame from it."""

    conn: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One HTTP POST; `path` is `/info` or `/exchange`. Exactly one `Reply` follows, maybe later."""

    conn: int
    path: str
    body: str


@dataclasses.dataclass(frozen=True, slots=True)
class Disconnected:
    """The websocket is gone; its orders stay on the book."""

    conn: int


@dataclasses.dataclass(frozen=True, slots=True)
class Time:
    """Time has passed; due at `venue.next_due_ns()`."""


Event = Connected | Received | Request | Disconnected | Time


@dataclasses.dataclass(frozen=True, slots=True)
class Send:
    """One text frame to a websocket."""

    conn: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a `Request`, JSON or (4xx) plain text."""

    conn: int
    status: int
    body: str


@dataclasses.dataclass(frozen=True, slots=True)
class Close:
    """The venue ends a websocket, WebSocket close code and reason."""

    conn: int
    code: int
    reason: str


Answer = Send | Reply | Close
