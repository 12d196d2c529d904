"""`diffmm live` as a process, with a strategy without sense in place of the engine.

Everything else is the product's: socket, signer, journal, recovery, watchdog, exit codes.
"""

import sys

import trading
from diffmm import cli
from diffmm.cli import live, outcome
from diffmm.live.stopwatch import Timed
from diffmm.market import Layout


if __name__ == "__main__":
    live.compiled = lambda args: Timed(trading.Random(args.seed, layout=Layout()))
    outcome._scored = lambda core, seed, rule=None: outcome.NOTHING
    sys.exit(cli.main(["live", "--html", "", *sys.argv[1:]]))
