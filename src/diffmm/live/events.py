"""The whole seam between the trading core and the world: what reaches it, what it asks for.

    core.on(event, now_ns) -> [action, ...]

The core reads no clock, draws no random number and opens nothing: time, randomness and identity
come with the events. Whoever drives it (a socket's shell, a simulation in virtual time) carries out
the actions in their order and brings back what happened. `now_ns` never runs backwards.
"""

import dataclasses
import enum
from typing import Any


class Command(enum.Enum):
    """What an operator or a signal may ask of a run. Only `RESUME` loosens."""

    PAUSE = "pause"
    RESUME = "resume"
    REDUCE_ONLY = "reduce-only"
    STOP = "stop"
    KILL = "kill"


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """The first event; `entropy` (64 bits) makes the run's id and the jitter of its waits."""

    entropy: int


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """The connection that `Open(epoch)` asked for stands."""

    epoch: int


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """That connection ended, or was never made."""

    epoch: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Heard:
    """One text frame of a connection; frames of an older one than the present are ignored."""

    epoch: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Answered:
    """The HTTP answer to `Ask(id)` or to an `Act(id)` that went over HTTP."""

    id: int
    status: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer came: the request may or may not have arrived."""

    id: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed; due at least every 50 ms."""


@dataclasses.dataclass(frozen=True, slots=True)
class Commanded:
    """Somebody asks for something."""

    command: Command
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """Something of ours failed (journal, task): orders are cancelled and the run ends."""

    reason: str


Event = Started | Opened | Lost | Heard | Answered | Unanswered | Ticked | Commanded | Broken


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """Append to the journal; `is_durable`: it must be on the disk before any later action."""

    record: dict[str, Any]
    is_durable: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Open:
    """Connect the websocket after a wait; answers are `Opened` or `Lost` of this epoch."""

    epoch: int
    wait_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Close:
    """Give up a connection; `Lost` of its epoch follows."""

    epoch: int


@dataclasses.dataclass(frozen=True, slots=True)
class Send:
    """One text frame that needs no signature: a subscription, a ping."""

    epoch: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """`POST /info`; exactly one `Answered` or `Unanswered` of this id follows."""

    id: int
    body: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
    """Sign an action and send it.

    **Attributes:**

    - `id`: of the websocket post (its reply is a frame), or of the `Answered` over HTTP.
    - `action`: as it goes over the wire.
    - `nonce`, `expires_ms`: signed with it.
    - `epoch`: connection to post it on; `None` sends `POST /exchange`.
    """

    id: int
    action: dict[str, Any]
    nonce: int
    expires_ms: int | None
    epoch: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Latch:
    """Write the kill latch: no run starts here before somebody removes it with a reason."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Say:
    """One line for the operator."""

    words: str


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """The run is over; nothing follows."""

    code: int
    reason: str


Action = Write | Open | Close | Send | Ask | Act | Latch | Say | End
