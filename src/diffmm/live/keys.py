"""Where a key for real money may come from: the environment, or a file that only we can read."""

import os
import pathlib
import stat


VARIABLE = "DIFFMM_HL_KEY"
FILE_VARIABLE = f"{VARIABLE}_FILE"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(ValueError):
    """A key file that cannot be used; the message never repeats what is in it."""


def of_environment() -> bytes | None:
    """The key, or `None` where no variable names one. The variable is removed once it was read.

    Raises:
        KeyFileError: for a file that cannot be read or that others may read, or for no key in it.
    """
    words = os.environ.pop(VARIABLE, None)
    path = os.environ.get(FILE_VARIABLE)
    if words is None and path is not None:
        words = _read(pathlib.Path(path))
    if words is None:
        return None
    try:
        return bytes.fromhex(words.strip().removeprefix("0x"))
    except ValueError:
        raise KeyFileError("found no key, expected 32 bytes as hex") from None


def _read(path: pathlib.Path) -> str:
    try:
        if path.stat().st_mode & OTHERS:
            raise KeyFileError(f"{path} can be read by others; chmod 600 it")
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} cannot be read") from error
