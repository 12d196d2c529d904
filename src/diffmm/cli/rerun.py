"""`diffmm replay RUN`: a run's journal through the same code; are the targets the same?"""

import argparse
import dataclasses
import json
import pathlib
import sys

from .saying import say


OK, USAGE, DIFFERENT = 0, 2, 3
"""Exit codes."""


def main(args: argparse.Namespace, folder: pathlib.Path) -> int:
    """Run a journal again; 3 when its decisions are not reproduced."""
    from diffmm.engine import loop, stepper
    from diffmm.live import rerun, Timed
    from diffmm.live.journal import JournalError
    from diffmm.market import AccountInputs, EncoderConfig, Instrument
    from diffmm.venues.intake import Intake

    from .replay import load_params

    try:
        header, records = rerun.last_run(folder)
        at = Instrument.hyperliquid(header["coin"], header["size_decimals"])
        account = AccountInputs(**header["account"])
    except (rerun.RerunError, JournalError, KeyError, TypeError, OSError) as error:
        say("error", f"{folder}: {error}; expected the folder of a paper or live run")
        return USAGE
    params = load_params(header["checkpoint"], header["set"], is_generated=False)
    steps = Timed(stepper.Stepper(params, None, loop.Config.default()))
    again = rerun.Rerun(steps, Intake(at, account, EncoderConfig()), account)
    found = again.run(records)
    told = {"run": str(folder), **dataclasses.asdict(found), "share": found.share}
    told["is_reproduced"] = found.is_reproduced
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    say(
        "replay",
        f"{found.same} of {found.decisions} decisions are the same, the others within "
        f"{found.apart}; {found.missing} on one side only",
    )
    return OK if found.is_reproduced else DIFFERENT
