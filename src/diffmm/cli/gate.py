"""The replays that a promotion is judged by: two checkpoints on the same worlds and seeds."""

from collections.abc import Iterator
from typing import Any

from .saying import say


HOUR_S = 3600.0


def run(candidate: Any, default: Any, config: Any) -> dict[str, Any]:
    """Replay both by hard fills, print what each path did, and judge.

    Args:
        candidate: parameters.
        default: those that it is compared with.
        config: of the gate.

    Returns:
        The verdict, what was run and the figures of every path, JSON-serialisable.
    """
    import dataclasses

    from diffmm.core import defaults
    from diffmm.engine import loop, stepper
    from diffmm.simulation import hard_fills
    from diffmm.training import gate

    rule = defaults(hard_fills.Params)
    static = loop.Config.default(takers_have_limits=True)
    step = stepper.step_of(candidate, rule, static).compile()
    verdicts: dict[str, Any] = {}
    for world in config.worlds:
        say("gate", f"world {world}, {config.seeds} paths of {config.duration_s:g} s, hard fills")
        found: tuple[list[Any], list[Any]] = ([], [])
        for seed, tape, account in _markets(world, config):
            for params, figures in zip((candidate, default), found, strict=True):
                record = stepper.Stepper(params, rule, static, step).replay(tape.frames())
                figures.append(_figures(seed, tape, record, account, config))
            _say_path(*(x[-1] for x in found))
        verdict = gate.judge(*found, config)
        _say_verdict(verdict)
        ours, theirs = ([dataclasses.asdict(x) for x in paths] for paths in found)
        verdicts[world] = {**verdict.summary(), "paths": ours, "default_paths": theirs}
    return {
        "passed": all(x["passed"] for x in verdicts.values()),
        "reasons": [f"{name}: {x}" for name, told in verdicts.items() for x in told["reasons"]],
        "worlds": verdicts,
        "config": dataclasses.asdict(config),
        "fill_rule": {name: float(x) for name, x in vars(rule).items()},
    }


def _say_path(a: Any, b: Any) -> None:
    say(
        f"seed {a.seed}",
        f"{a.pnl_usd_per_hour:+9.2f} USD/h, {a.fills} fills, two-sided "
        f"{a.two_sided_fraction or 0:.3f}   default {b.pnl_usd_per_hour:+9.2f} USD/h, "
        f"{b.fills} fills",
    )


def _say_verdict(x: Any) -> None:
    say(
        "pnl",
        f"{x.pnl_usd_per_hour:+.2f} USD/h, default {x.default_usd_per_hour:+.2f} (s.e. "
        f"{x.default_se:.2f}), difference {x.difference_usd_per_hour:+.2f} (s.e. "
        f"{x.difference_se:.2f}), noise {x.noise_usd_per_hour:.2f}",
    )


def _markets(name: str, config: Any) -> Iterator[tuple[int, Any, Any]]:
    """Seed, tape and account of each path."""
    from diffmm.market import AccountInputs, EncoderConfig
    from diffmm.simulation import generative
    from diffmm.venues import world_io

    world, account = world_io.load_world(name), AccountInputs()
    for seed in range(config.seeds):
        market = generative.simulate(world, seed, config.duration_s)
        tape, _ = generative.tape(market, account, EncoderConfig())
        yield seed, tape, account


def _figures(seed: int, tape: Any, record: Any, account: Any, config: Any) -> Any:
    from diffmm.report import summary as report
    from diffmm.training import gate

    scored = report.score(tape, record, account)
    told = report.summary(scored, None, account)
    names = ("decisions", "fills", "two_sided_fraction", "gamma_violations", "nonfinite", "pnl_usd")
    return gate.Figures(
        seed=seed,
        hours=config.duration_s / HOUR_S,
        **{name: told[name] for name in names},
    )
