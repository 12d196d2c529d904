"""Files that are either the old one or the new one, never half of either."""

import os
import pathlib


def replace(path: pathlib.Path, data: bytes, *, is_durable: bool = False) -> None:
    """Put a file in place of another at once.

    Args:
        path: the file; its folder exists.
        data: all of it.
        is_durable: return only when it would survive a loss of power.

    Raises:
        OSError: when it could not be written; the old file is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(data)
            if is_durable:
                out.flush()
                os.fsync(out.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if is_durable:
        sync_folder(path.parent)


def sync_folder(folder: pathlib.Path) -> None:
    """Make a folder's names (what was created, renamed, removed in it) survive a loss of power."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
