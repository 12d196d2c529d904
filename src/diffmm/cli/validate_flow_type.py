"""`diffmm validate flow-type`: types of takers fitted on some seeds of a world, scored on others.

A plain quote is filled in each seed by takers who are known. The first half of the seeds is fitted,
the second scored: who filled us, against the shares of the types, and the belief about V after the
fill, without types, with one bias for all takers, and with types. The middle one tells what types
are worth beyond takers who are on the whole more or less informed than the checkpoint says.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from typing import Any

from . import markets
from .replay import account_inputs, fill_rule, load_params, say


DEPTH_BP, SIZE_USD = 5.0, 1000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this part takes."""
    add = parser.add_argument
    add(
        "--depth-bp", type=float, default=DEPTH_BP, help="of flow-type: of the quotes, from the mid"
    )
    add("--size-usd", type=float, default=SIZE_USD, help="of flow-type: of each quote")


def run(args: argparse.Namespace) -> int:
    """Fit, score and print; the exit code.

    Raises:
        ValueError: for arguments that cannot be followed.
    """
    if not args.path or not markets.is_world(args.path):
        raise ValueError("flow-type needs takers who are known; give a world's name or .toml file")
    if args.seeds < 2:
        raise ValueError(f"--seeds {args.seeds}, expected at least 2: half are fitted, half scored")
    if args.out and pathlib.Path(args.out).exists():
        raise ValueError(f"{args.out} exists already; choose another folder or remove it")
    told = _fitted(args)
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    _words(told)
    return 0


def _fitted(args: argparse.Namespace) -> dict[str, Any]:
    import jax.numpy as jnp
    import numpy as np

    from diffmm.belief import flow_type
    from diffmm.core import defaults
    from diffmm.evaluation import flow_type as evaluation
    from diffmm.learning import flow_type as learning, typed_fills
    from diffmm.training import save, with_flow_type

    plain = load_params(args.checkpoint, args.set, is_generated=True)
    found = markets.find(args, account_inputs(args))
    if plain.belief.flow_type is not None:
        raise ValueError("this checkpoint has types of takers already; give one without")
    stage, config = typed_fills.build(typed_fills.Config()), learning.Config()
    declared, rule = defaults(flow_type.Params), fill_rule(args)
    longest_s = max(float(np.sum(m.tape.events().dt_s, dtype=np.float64)) for m in found)

    def fills(types: Any, some: list[markets.Market]) -> Any:
        params = typed_fills.Params(
            with_flow_type(plain, types),
            rule,
            jnp.asarray(args.depth_bp, jnp.float32),
            jnp.asarray(args.size_usd, jnp.float32),
        )
        parts = []
        for m in some:
            who = typed_fills.types_of_rows(m.drawn, m.tape)
            parts.append(typed_fills.gather(stage, params, m.tape, who, m.truth_bp))
        return typed_fills.joined(parts, 2 * longest_s)

    first, second = found[: len(found) // 2], found[len(found) // 2 :]
    known = fills(declared, first)
    if not len(known.row):
        raise ValueError("nobody filled the quotes; give a smaller --depth-bp or a longer --for")
    say(f"fitted on {len(known.row)} fills of {len(first)} seeds")
    types, alike = learning.fitted(plain.belief, declared, known, config)
    without, level, with_it = (fills(x, second) for x in (declared, alike, types))
    if not len(with_it.row):
        raise ValueError("nobody filled the quotes that are scored; give a longer --for")
    if args.out:
        save(
            pathlib.Path(args.out),
            with_flow_type(plain, types),
            {"source": "diffmm validate flow-type", "market": args.path, "set": args.set},
        )
    numbers = {x.name: getattr(types, x.name).tolist() for x in dataclasses.fields(types)}
    return {
        "market": pathlib.Path(args.path).name,
        "seeds": [m.name for m in second],
        "fitted_fills": len(known.row),
        "types": list(flow_type.TYPES),
        "features": list(flow_type.FEATURES),
        "parameters": numbers,
        "one_bias": float(alike.informed_bias[0]),
        "intervals": "90 %, blocks of 60 s",
        **evaluation.table(
            with_it.time_s,
            with_it.type,
            with_it.told["log_type"],
            np.asarray(flow_type.log_prior(types)),
            {
                "none": without.log_score,
                "one_bias": level.log_score,
                "types": with_it.log_score,
            },
            args.seed,
        ),
    }


def _words(told: dict[str, Any]) -> None:
    shown = lambda x: "none" if x is None else f"{x:+.4f}"
    say("true \\ most probable " + " ".join(f"{x:>11}" for x in told["types"]))
    for name, row in zip(told["types"], told["confusion"], strict=True):
        say(f"{name:<21}" + " ".join(f"{x:>11}" for x in row))
    say(f"right {told['right']:.3f}, by the largest share {told['right_by_share']:.3f}")
    gains = {"type over share": told["type_gain"], **told["v_gain"]}
    for name, x in gains.items():
        what = "log score" if name == "type over share" else "log score of V"
        say(f"{what} {name}: {shown(x['value'])} [{shown(x['low'])}, {shown(x['high'])}]")
