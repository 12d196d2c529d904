"""The embedded venue as a process of this one's: started with a run, ended with it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from .source import VenueError


END_S = 3.0


@contextlib.contextmanager
def embedded(arguments: list[str]) -> Iterator[str]:
    """Base address of a venue that lives as long as the context, and no longer than this process.

    Args:
        arguments: of `diffmm venue`.

    Raises:
        VenueError: when it does not start; its own words were on stderr.
    """
    words = [sys.executable, "-m", "diffmm.cli", "venue", "--json", "--with-parent", *arguments]
    # A group of its own: Ctrl-C is for the runner, which needs its venue to end cleanly.
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise VenueError(f"the embedded venue did not start: exit code {process.wait(END_S)}")
        yield str(json.loads(line)["url"])
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
