"""One batch of a sweep in a process of its own: rows of one compiled program on one market."""

import os
import pathlib
import time
from typing import Any

from . import flags


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Play every trial of a batch and keep its result; what went wrong is kept too.

    Args:
        job: `cwd` (what relative paths start from), `folder`, `trials`, `width`, `frames`,
            `duration_s` and `program` (what is compiled, in words), plain, so that it reaches any
            machine that sees both folders.

    Returns:
        `done`, `failed`: numbers of trials; `events`: configurations times events; `wall_s` and
        `compile_s`: of the program.
    """
    os.chdir(job["cwd"])
    flags.set_compiler_flags()
    flags.configure_jax()
    from diffmm.training.sweep import Trial
    from diffmm.training.trials import SweepFolder

    folder = SweepFolder(pathlib.Path(job["folder"]))
    trials = [Trial.of(x) for x in job["trials"]]
    numbers = [x.number for x in trials]
    try:
        results, told = play(trials, job["width"], job["frames"], job["duration_s"])
    except Exception as error:
        # A batch that cannot be played ends no other.
        for trial in trials:
            folder.fail(trial, f"{type(error).__name__}: {error}")
        return {
            "done": [],
            "failed": numbers,
            "events": 0,
            "wall_s": 0.0,
            "compile_s": 0.0,
            "error": str(error),
        }
    for trial, result in zip(trials, results, strict=True):
        folder.put(trial, result)
    return {"done": numbers, "failed": [], **told}


def market(trial: Any, duration_s: float) -> tuple[Any, Any]:
    """The tape of a trial's world and seed, and the account."""
    from diffmm.market import AccountInputs, EncoderConfig
    from diffmm.simulation import generative
    from diffmm.training import sweep
    from diffmm.venues import world_io

    asked = trial.experiment.world
    account = AccountInputs(wealth_usd=asked.wealth_usd, room_usd=asked.room_usd)
    config = sweep.config(trial.experiment, trial.static)
    encoder = EncoderConfig(layout=config.layout, frame_rows=config.frame_rows)
    made = generative.simulate(world_io.load_world(asked.name), trial.seed, duration_s)
    return generative.tape(made, account, encoder)[0], account


def play(
    trials: list[Any], width: int, frames: int, duration_s: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Results of the trials, and how long the program ran."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from diffmm.engine import loop
    from diffmm.training import sweep
    from diffmm.training.trials import score

    from . import checkpoints

    first = trials[0]
    tape, account = market(first, duration_s)
    rows = [checkpoints.of_experiment(x.experiment) for x in trials]
    rows += rows[-1:] * (width - len(rows))
    batch = jax.tree.map(lambda *x: jnp.stack(x), *rows)
    config = sweep.config(first.experiment, first.static)
    given = with_padding(tape, frames)
    rule = sweep.rule(first.experiment)
    started = time.perf_counter()
    program = loop.counterfactual.lower(batch, rule, given, config=config, lanes=lanes())
    program = program.compile()
    compiled = time.perf_counter()
    trades = jax.tree.map(np.asarray, program(batch, rule, given))
    wall_s = time.perf_counter() - compiled
    n = len(tape.frame_index()[0])
    results = []
    for k, trial in enumerate(trials):
        told = score(trial, tape, account, trades.lots[k, :n], trades.lots_ticks[k, :n])
        told["nonfinite"] = int((~np.isfinite(trades.fair_bp[k, :n])).sum())
        results.append(told)
    events = len(tape.rows) * width
    return results, {"events": events, "wall_s": wall_s, "compile_s": compiled - started}


def lanes() -> int | None:
    """Rows side by side: one after the other on a processor, all of them on anything wider."""
    import jax

    return 1 if jax.default_backend() == "cpu" else None


def with_padding(tape: Any, frames: int) -> Any:
    """Frames of a tape, and after them rows that say nothing, up to a length."""
    import numpy as np

    found = tape.frames()
    rest = np.repeat(found[-1:], frames - len(found), axis=0)
    at = tape.layout.views(np.arange(tape.layout.width, dtype=np.float32))
    rest[:, :, int(at.is_valid)] = 0.0
    return np.concatenate([found, rest])
