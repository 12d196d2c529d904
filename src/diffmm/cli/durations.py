"""Times on the command line: `60s`, `10m`, `2h`, or plain seconds."""

import argparse
import math
import re


SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")


def seconds(text: str) -> float:
    """Seconds of a duration, for `argparse`.

    Raises:
        ArgumentTypeError: for anything else.
    """
    match = DURATION.fullmatch(text)
    found = float(match[1]) * SECONDS[match[2] or ""] if match else 0.0
    if not found > 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a time such as 60s, 10m or 2h")
    return found


def speed(text: str) -> float:
    """A tape's speed, `inf` allowed, for `argparse`.

    Raises:
        ArgumentTypeError: unless it is a number above zero.
    """
    try:
        found = float(text.lower().removesuffix("x"))
    except ValueError:
        found = math.nan
    if not found > 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above zero or inf")
    return found
