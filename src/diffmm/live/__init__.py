"""The I/O shell: a session on the lines' own clock, an append-only journal, a status line."""

from . import journal as journal
from .core import Core as Core
from .journal import Journal as Journal, JournalError as JournalError
from .probe import instruments as instruments
from .session import Config as Config, End as End, Session as Session
from .status import Status as Status
