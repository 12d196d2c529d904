"""What a run says of itself to whoever looks in: one small file, replaced as a whole.

The journal is the record; this is the last word of it, for `diffmm status` and the live page.
"""

import enum
import pathlib

import msgspec

from . import durable, lock


NAME = "state.json"
VERSION = 1
LATE = 3.0
"""Promised intervals after which a state counts as old ..."""
SLACK_MS = 1000
"""... and what a busy machine may add."""


class Phase(enum.Enum):
    """What the run does."""

    STARTING = "starting"
    RECONCILING = "reconciling"
    QUOTING = "quoting"
    PULLED = "pulled"
    PAUSED = "paused"
    REDUCE_ONLY = "reduce-only"
    STOPPING = "stopping"
    HALTED = "halted"
    ENDED = "ended"


class Pulse(enum.Enum):
    """What can be said of the process from outside."""

    ALIVE = "alive"
    SILENT = "silent"
    DEAD = "dead"
    ENDED = "ended"


class RunState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is shown of a run.

    **Attributes:**

    - `mode`, `venue`, `coin`: as in the run's summary.
    - `pid`, `started_ms`, `updated_ms`, `interval_ms`: the process, UTC times in ms, and how often
      it promised to write.
    - `phase`, `reason`: what it does, and why where that needs saying.
    - `mid`, `bid`, `ask`: market and our best quotes as `price x size`, in the venue's decimals.
    - `position`: in units of the coin.
    - `pnl_1e8`, `pnl_parts_1e8`: in 1e-8 USD.
    - `resting`, `unknown`: own orders that rest, and those whose fate is not known.
    - `rejects`, `gate_denials`, `reconnects`, `faults`: counts so far, the last two by kind.
    - `latency_us`: quantiles by program.
    - `recent`: the newest words for the operator, oldest first.
    - `exit_code`: once it has ended.
    """

    version: int = VERSION
    mode: str
    venue: str
    coin: str
    pid: int
    started_ms: int
    updated_ms: int
    interval_ms: int
    phase: Phase
    reason: str = ""
    mid: str | None = None
    bid: str | None = None
    ask: str | None = None
    position: str = "0"
    pnl_1e8: int = 0
    pnl_parts_1e8: dict[str, int] = {}
    fills: int = 0
    resting: int = 0
    unknown: int = 0
    rejects: int = 0
    reconnects: int = 0
    gate_denials: dict[str, int] = {}
    faults: dict[str, int] = {}
    latency_us: dict[str, dict[str, float]] = {}
    recent: list[str] = []
    journal: str = ""
    exit_code: int | None = None


class StateError(ValueError):
    """A state that cannot be read; says what was found."""


def write(folder: pathlib.Path, state: RunState) -> None:
    """Replace the run's state.

    Raises:
        OSError: when it cannot be written; the run need not stop for that.
    """
    durable.replace(folder / NAME, msgspec.json.encode(state) + b"\n")


def read(folder: pathlib.Path) -> RunState:
    """The newest state.

    Raises:
        StateError: when there is none, or none that this version understands.
    """
    path = folder / NAME
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Versioned).version
        if version != VERSION:
            raise StateError(f"{path} has version {version}, expected {VERSION}: another diffmm's")
        return msgspec.json.decode(data, type=RunState)
    except FileNotFoundError as error:
        raise StateError(f"{path} does not exist: no run of this name has started") from error
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"{path} is not a run's state: {error}") from error


def pulse(folder: pathlib.Path, state: RunState, now_ms: int) -> Pulse:
    """Whether the process lives and keeps its promise to write.

    Life is the lock that the kernel holds for it, so a pid used again by another process, or a
    clock that was set, cannot pass for it.
    """
    if not lock.is_held(folder):
        return Pulse.DEAD if state.exit_code is None else Pulse.ENDED
    late_ms = LATE * state.interval_ms + SLACK_MS
    return Pulse.SILENT if now_ms - state.updated_ms > late_ms else Pulse.ALIVE


class _Versioned(msgspec.Struct):
    version: int
