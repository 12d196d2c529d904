"""A run as whoever looks in from outside sees it, for people and for programs."""

import pathlib
import time

from . import kill_latch, state_file


def look(folder: pathlib.Path) -> dict:
    """State, pulse, age and latch of one run, or what is wrong.

    Returns:
        `pulse, age_s, latched, state, error`, each `None` where there is nothing to say.
    """
    latched = kill_latch.read(folder)
    told: dict = dict.fromkeys(("pulse", "age_s", "latched", "state", "error"))
    told["latched"] = None if latched is None else latched.reason
    try:
        state = state_file.read(folder)
    except state_file.StateError as error:
        return {**told, "error": str(error)}
    now_ms = time.time_ns() // 1_000_000
    pulse = state_file.pulse(folder, state, now_ms)
    age_s = (now_ms - state.updated_ms) / 1e3
    return {**told, "pulse": pulse, "age_s": age_s, "state": state}
