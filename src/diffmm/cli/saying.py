"""Words of a command, on stderr; stdout is for data."""

import sys


def say(what: str, words: str) -> None:
    """One line: what it is about, and the words."""
    sys.stderr.write(f"{what:<8}{words}\n")
    sys.stderr.flush()
