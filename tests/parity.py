"""A recording through the socket beside its replay, in the process that a command line makes.

Run as a script: the compiler flags of the command must be set before jax is imported.
"""

import asyncio
import io
import json
import pathlib
import sys
import tempfile

from diffmm.cli.flags import set_compiler_flags


def main(path, coin, span_s, cache):
    import jax
    import numpy as np

    from diffmm import live
    from diffmm.core import defaults
    from diffmm.engine import graph, loop
    from diffmm.engine.stepper import Stepper
    from diffmm.evaluation.decisions import quotes_digest
    from diffmm.market import AccountInputs, EncoderConfig
    from diffmm.simulation import hard_fills
    from diffmm.venues import tape_io
    from diffmm.venues.client import Config, Feed
    from diffmm.venues.intake import Intake
    from diffmm.venues.local import serve_tape

    jax.config.update("jax_compilation_cache_dir", cache)
    whole = list(tape_io.read_lines(pathlib.Path(path)))
    instrument = tape_io.universe(whole)[coin]
    end_ns = tape_io.split(whole[0])[0] + int(span_s) * 1_000_000_000
    lines = [x for x in whole if tape_io.split(x)[0] < end_ns]
    params, rule = defaults(graph.Params), defaults(hard_fills.Params)
    account, config = AccountInputs(), loop.Config.default()
    intake = Intake(instrument, account, EncoderConfig())

    async def session(core):
        async with serve_tape(lines, speed=float("inf")) as url:
            feed, status = Feed(url, [], 0, Config()), live.Status(io.StringIO(), 5.0)
            return await live.Session(core, feed, status, live.Config()).run()

    with tempfile.TemporaryDirectory() as folder:
        with live.journal.in_folder(pathlib.Path(folder)) as journal:
            core = live.Core(live.Timed(Stepper(params, rule, config)), intake, account, journal)
            asyncio.run(session(core))
    tape, _, _ = tape_io.encode(lines, instrument, account, EncoderConfig())
    replayed = Stepper(params, rule, config).replay(tape.frames())
    ours, other = (
        [np.asarray(getattr(x.quotes.targets, name)) for name in ("ticks", "lots")]
        for x in (core.record(), replayed)
    )
    told = {
        "rows_equal": bool(np.array_equal(tape.rows, np.stack(core.rows))),
        "decisions": len(ours[1]),
        "fills": int(replayed.lots.sum()),
        "same": quotes_digest(*ours) == quotes_digest(*other),
        "quoted": float((ours[1] > 0).any((1, 2)).mean()),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    set_compiler_flags()
    main(*sys.argv[1:])
