"""The kill latch: a file that stops a run and lets none start, until a person removes it.

Anything of that name counts, a file nobody can read included: what is in doubt is latched. Setting
and clearing are on the disk before they return, and each leaves a line in a log that stays.
"""

import dataclasses
import os
import pathlib

import msgspec

from . import durable


NAME, LOG = "KILL", "kills.jsonl"
UNREADABLE = "the latch file cannot be read"


class LatchError(ValueError):
    """A latch that cannot be set or cleared; says why."""


@dataclasses.dataclass(frozen=True)
class Latched:
    """Why and since when nothing may trade here."""

    reason: str
    at: str
    by: str


def latch(folder: pathlib.Path, reason: str, *, at: str, by: str) -> Latched:
    """Set the latch; one that is set already stays as it is.

    Args:
        folder: the run's; made where it does not exist.
        reason: in words.
        at: UTC, ISO 8601.
        by: a person or the part of the run that asked.

    Returns:
        The latch that stands.

    Raises:
        LatchError: when it could not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (standing := read(folder)) is not None:
            return standing
        made = Latched(reason, at, by)
        durable.replace(folder / NAME, msgspec.json.encode(made) + b"\n", is_durable=True)
        _log(folder, {"set": reason, "at": at, "by": by})
    except OSError as error:
        raise LatchError(f"{folder / NAME}: {error.strerror}; the latch is NOT set") from error
    return made


def is_latched(folder: pathlib.Path) -> bool:
    """Whether the latch is set; cheap enough to ask before every order."""
    try:
        (folder / NAME).lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def read(folder: pathlib.Path) -> Latched | None:
    """The latch that stands, if any; one that says nothing readable says so."""
    if not is_latched(folder):
        return None
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Latched)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Latched(UNREADABLE, "", "")


def clear(folder: pathlib.Path, reason: str, *, at: str, by: str) -> Latched:
    """Remove the latch; the log keeps it together with the reason.

    Returns:
        The latch that stood.

    Raises:
        LatchError: without a reason, without a latch, or when it cannot be removed.
    """
    standing = read(folder)
    if standing is None:
        raise LatchError(f"no kill latch is set in {folder}")
    if not reason.strip():
        raise LatchError("a latch is cleared with a reason: --reason TEXT")
    told = dataclasses.asdict(standing)
    try:
        # The log first: a latch must not be gone with nobody having said why.
        _log(folder, {"cleared": reason, "at": at, "by": by, "stood": told})
        (folder / NAME).unlink()
        durable.sync_folder(folder)
    except OSError as error:
        raise LatchError(
            f"{folder / NAME}: {error.strerror}; remove it by hand, it still stands"
        ) from error
    return standing


def _log(folder: pathlib.Path, record: dict) -> None:
    with (folder / LOG).open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")
        file.flush()
        os.fsync(file.fileno())
