"""`diffmm bench`: latency and throughput, each beside a trivial compiled call in the same run."""

import argparse
import functools as ft
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any


OK = 0
NS = 1_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    add = parser.add_argument
    add("--runs", type=int, default=5, help="each figure is the median over so many runs")
    add("--calls", type=int, default=2000, help="calls timed in a run")
    add("--seconds", type=float, default=300.0, help="length of the world that is replayed")
    add("--json", action="store_true", help="one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    market = _market(args.seconds)
    runs = [_run(market, args.calls, k) for k in range(args.runs)]
    medians = {
        name: {key: statistics.median(run[name][key] for run in runs) for key in runs[0][name]}
        for name in runs[0]
    }
    told = {"runs": args.runs, **_rounded(medians), "ratio": _rounded(_ratios(medians))}
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    for name, figures in {**medians, "ratio": told["ratio"]}.items():
        words = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())
        sys.stderr.write(f"{name:<10}{words}\n")
    return OK


def _ratios(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """The figures that are judged, each free of the machine's speed."""
    trivial = found["trivial_us"]["p50"]
    return {
        "observe_p50_over_trivial": found["observe_us"]["p50"] / trivial,
        "decide_p50_over_trivial": found["decide_us"]["p50"] / trivial,
        "decide_p99_over_trivial": found["decide_us"]["p99"] / trivial,
        "bytes_to_targets_p50_over_trivial": found["bytes_to_targets_us"]["p50"] / trivial,
        "rare_over_all_wakes": found["replay"]["rare_events_per_s"]
        / found["replay"]["all_events_per_s"],
        "gradient_over_forward": found["gradient"]["over_forward"],
        "sweep_rows_over_single": found["sweep"]["rows_events_per_s"]
        / found["sweep"]["single_events_per_s"],
    }


def _rounded(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _rounded(value) for key, value in tree.items()}
    return float(f"{tree:.5g}")


def _market(seconds: float) -> dict[str, Any]:
    """A world's lines and rows, and everything compiled."""
    import jax
    import numpy as np

    from diffmm.core import defaults
    from diffmm.engine import graph, loop, run, stepper
    from diffmm.market import AccountInputs, EncoderConfig
    from diffmm.venues import tape_io, world_io

    world = world_io.load_world("thin")
    lines = list(world_io.lines(world, 0, seconds))
    known = tape_io.universe(lines)
    instrument = next(iter(known.values()))
    account = AccountInputs()
    tape, _, _ = tape_io.encode(lines, instrument, account, EncoderConfig())
    params, config = defaults(graph.Params), loop.Config.default()
    engine = graph.build(config.engine)
    rows = jax.tree.map(np.asarray, tape.layout.unpack(tape.rows))
    event = jax.tree.map(lambda x: x[-1], rows)
    observing, deciding = run.init(engine, params)
    _, seen = jax.eval_shape(engine.observe.update, params, observing, event)
    return {
        "params": params,
        "engine": engine,
        "lines": lines,
        "instrument": instrument,
        "account": account,
        "tape": tape,
        "rows": rows,
        "state": (observing, deciding),
        "trivial": stepper.compile_trivial(),
        "observe": stepper.compile_program(
            lambda p, s, e: engine.observe.update(p, s, e), params, observing, event
        ),
        "decide": stepper.compile_program(
            lambda p, s, f, e: _targets(engine.decide.update(p, s, (f, e))),
            params,
            deciding,
            seen,
            event,
        ),
    }


def _targets(updated: tuple[Any, Any]) -> tuple[Any, Any]:
    state, quotes = updated
    return state, quotes.targets


def _run(market: dict[str, Any], calls: int, k: int) -> dict[str, dict[str, float]]:
    del k
    return {
        **_latency(market, calls),
        "replay": _replay(market),
        "gradient": _gradient(market),
        "sweep": sweep_rates(market["tape"], market["params"]),
    }


def _latency(market: dict[str, Any], calls: int) -> dict[str, dict[str, float]]:
    """Observe and decide on the world's rows, numpy in and numpy out; then from bytes."""
    import numpy as np

    from diffmm.core import Packing
    from diffmm.market import EncoderConfig
    from diffmm.venues import tape_io
    from diffmm.venues.intake import Intake

    host = lambda tree: Packing.of(tree).pack_host(tree, np.float32)
    observe, decide, trivial = market["observe"], market["decide"], market["trivial"]
    params, (observing, deciding) = host(market["params"]), map(host, market["state"])
    width = Packing.of(market["state"][1]).width
    times: dict[str, list[float]] = {"trivial": [], "observe": [], "decide": [], "bytes": []}
    intake = Intake(market["instrument"], market["account"], EncoderConfig())
    layout, one = market["tape"].layout, np.float32(0)
    wake = int(layout.views(np.arange(layout.width, dtype=np.float32)).wake)

    def step(row: np.ndarray) -> None:
        nonlocal observing, deciding
        before = time.perf_counter()
        out = observe(np.concatenate((params, observing, row)))
        times["observe"].append(time.perf_counter() - before)
        observing, seen = out[: observing.size], out[observing.size :]
        if row[wake]:
            before = time.perf_counter()
            out = decide(np.concatenate((params, deciding, seen, row)))
            times["decide"].append(time.perf_counter() - before)
            deciding = out[:width]
        before = time.perf_counter()
        trivial(one)
        times["trivial"].append(time.perf_counter() - before)

    for line in market["lines"]:
        if len(times["decide"]) >= calls:
            break
        stamp, frame = tape_io.split(line)
        decided, before = len(times["decide"]), time.perf_counter()
        made = intake.on_line(stamp, frame)[0]
        encoded = time.perf_counter() - before
        for row in made:
            step(row)
        if len(times["decide"]) == decided + 1:
            times["bytes"].append(encoded + times["observe"][-1] + times["decide"][-1])
    names = {"bytes": "bytes_to_targets_us"}
    return {names.get(name, f"{name}_us"): _quantiles(x) for name, x in times.items()}


def _quantiles(seconds: list[float]) -> dict[str, float]:
    import numpy as np

    p50, p99 = np.percentile(np.array(seconds) * 1e6, [50, 99])
    return {"p50": float(p50), "p99": float(p99)}


def _replay(market: dict[str, Any]) -> dict[str, float]:
    """Events a second with every event a wake, and with one in ten."""
    from diffmm.engine import run

    rate = {}
    for name, frame_rows in (("all", 1), ("rare", 10)):
        frames = _frames(market["rows"], frame_rows)
        replay = ft.partial(run.quotes, market["engine"], market["params"], frames)
        n = len(market["tape"].rows) // frame_rows * frame_rows
        rate[f"{name}_events_per_s"] = n / _best(replay)
    return rate


def _frames(rows: Any, frame_rows: int) -> Any:
    """Rows in frames of a fixed length, the last row of each a wake."""
    import jax

    n = len(rows.kind) // frame_rows
    return jax.tree.map(lambda x: x[: n * frame_rows].reshape(n, frame_rows, *x.shape[1:]), rows)


def _gradient(market: dict[str, Any]) -> dict[str, float]:
    """Checkpointed gradient over its forward pass, one event in ten a wake, bytes an event."""
    import jax
    import jax.numpy as jnp

    from diffmm.engine import run

    rows, chunk = 10, 1
    frames = _frames(market["rows"], rows)
    value = lambda out, frame: jnp.sum(out.allocation.gain_usd)
    forward, both = run.compile_objective(market["engine"], value, chunk, market["params"], frames)
    ratio = _best(lambda: both(market["params"], frames)) / _best(
        lambda: forward(market["params"], frames)
    )
    events = rows * len(jax.tree.leaves(frames)[0])
    return {
        "over_forward": ratio,
        "events_per_s": events / _best(lambda: both(market["params"], frames)),
        "temporary_bytes_per_event": both.memory_analysis().temp_size_in_bytes / events,
    }


SWEEP_ROWS = 8


def sweep_rates(tape: Any, params: Any) -> dict[str, float]:
    """Closed loops with hard fills, configurations times events a second: of one, and of eight."""
    import jax
    import jax.numpy as jnp

    from diffmm.core import defaults
    from diffmm.engine import loop
    from diffmm.simulation import hard_fills

    from .sweep_worker import lanes

    rule, config, frames = defaults(hard_fills.Params), loop.Config.default(), tape.frames()
    rate = {}
    for name, rows in (("single", 1), ("rows", SWEEP_ROWS)):
        batch = jax.tree.map(lambda x, rows=rows: jnp.broadcast_to(x, (rows, *x.shape)), params)
        play = ft.partial(loop.counterfactual, batch, rule, frames, config=config, lanes=lanes())
        rate[f"{name}_events_per_s"] = rows * len(tape.rows) / _best(play)
    return rate


def _best(call: Callable[[], Any]) -> float:
    """Seconds of one call, the fastest of three after a first."""
    import jax

    jax.block_until_ready(call())
    times = []
    for _ in range(3):
        before = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - before)
    return min(times)
