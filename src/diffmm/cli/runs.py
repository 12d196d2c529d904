"""Where runs are kept, and how one is named on the command line."""

import datetime
import getpass
import pathlib


RUNS = pathlib.Path("runs") / "live"


class NoRunError(ValueError):
    """No run of that name; the message lists those that are there."""


def folders() -> list[pathlib.Path]:
    """Folders of all runs, by name."""
    return sorted(path for path in RUNS.glob("*") if path.is_dir())


def find(run: str | None) -> pathlib.Path:
    """Folder of a run by its name, by its path, or the only one there is.

    Raises:
        NoRunError: when it does not exist, or is not named and there are several.
    """
    known = folders()
    names = ", ".join(path.name for path in known) or f"none in {RUNS}"
    if run is None:
        if len(known) != 1:
            raise NoRunError(f"which run? there are: {names}")
        return known[0]
    for path in (RUNS / run, pathlib.Path(run)):
        if path.is_dir():
            return path
    raise NoRunError(f"no run {run!r}; there are: {names}")


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def operator() -> str:
    """Who types, as the latch's log keeps it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
