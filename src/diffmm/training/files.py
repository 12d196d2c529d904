"""Files that are either the old one or the new one, never half of either, and their digests."""

import hashlib
import os
import pathlib


def replace(path: pathlib.Path, text: str) -> None:
    """Put a file in place of another at once, and keep it through a loss of power.

    Args:
        path: the file; its folder exists.
        text: all of it.

    Raises:
        OSError: when it could not be written; the old file is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def digests(folder: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every file under a folder, by its path there."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
