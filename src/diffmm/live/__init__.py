"""The I/O shell: a session on the lines' own clock, an append-only journal, a status line.

The names below load the compiled engine's packages, so they are found on first use: what an
operator needs beside a run (its state, its latch, a command to it) starts without them.
"""

import importlib
from typing import Any, TYPE_CHECKING


if TYPE_CHECKING:
    from . import journal as journal
    from .core import Core as Core
    from .journal import (
        DamagedError as DamagedError,
        Journal as Journal,
        JournalError as JournalError,
    )
    from .keys import KeyFileError as KeyFileError
    from .probe import instruments as instruments
    from .session import Config as Config, End as End, Session as Session
    from .status import Status as Status
    from .stopwatch import Timed as Timed


_FOUND_IN = {
    "journal": None,
    "Core": "core",
    "Journal": "journal",
    "DamagedError": "journal",
    "JournalError": "journal",
    "KeyFileError": "keys",
    "instruments": "probe",
    "Config": "session",
    "End": "session",
    "Session": "session",
    "Status": "status",
    "Timed": "stopwatch",
}


def __getattr__(name: str) -> Any:
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if (home := _FOUND_IN[name]) is None:
        return importlib.import_module(f".{name}", __name__)
    return getattr(importlib.import_module(f".{home}", __name__), name)
