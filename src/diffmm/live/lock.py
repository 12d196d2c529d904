"""One runner a folder: a lock that the kernel drops when its process dies, however it dies."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator


NAME = "lock"


class LockedError(RuntimeError):
    """Another runner holds the folder."""


@contextlib.contextmanager
def hold(folder: pathlib.Path) -> Iterator[None]:
    """Be the folder's only runner for as long as the context lasts.

    Raises:
        LockedError: when somebody else is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise LockedError(
                f"{folder} is held by process {who}; stop it (diffmm ctl) or choose another --name"
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(file)


def is_held(folder: pathlib.Path) -> bool:
    """Whether a runner of this folder is alive; a file left behind by a dead one does not count."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
