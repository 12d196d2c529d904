"""What each leaf of an event or an output measures: its unit and its parity, read off its name.

A dimensional name ends in its unit, so the dimension is the suffix, but for the few listed here.
`(a, b, c)` stands for bp^a USD^b s^c; USD is notional, and money is bp times notional.
"""

import math
import re

import jax
import jax.numpy as jnp


MONEY = (1, 1, 0)
NAMED = {
    "usd": (0, 1, 0),
    "wealth_usd": MONEY,
    "gamma_limit_usd": MONEY,
    "gain_usd": MONEY,
    "gamma_usd": MONEY,
    "message_usd": MONEY,
    "epnl_usd": MONEY,
    "gamma0": (-1, -1, 0),
    "sigma_bp": (1, 0, -0.5),
    "mode_sigma_bp": (1, 0, -0.5),
    "mode_var": (2, 0, 0),
    "arrival_rate": (0, 0, -1),
    "base_rate": (0, 0, -1),
    "branching": (0, 0, 0),
    "arrival_decay": (0, 0, -1),
    "move_rate": (0, 0, -1),
    "drift_rate": (0, 0, -1),
    "funding_rate_1h": (1, 0, -1),
    "premium_rate_1h": (1, 0, -1),
    "volume_usd_s": (0, 1, -1),
}
SUFFIXES = {"_bp2": (2, 0, 0), "_bp": (1, 0, 0), "_usd": (0, 1, 0), "_s": (0, 0, 1)}
DECLARED = {
    "1": (0, 0, 0),
    "bp": (1, 0, 0),
    "s": (0, 0, 1),
    "1/s": (0, 0, -1),
    "USD": MONEY,
}
"""Units as `param` declares them; powers as `s^0.5`, inverses as `1/s^0.5`."""
ODD = {
    "features": {"mid_bp", "index_bp", "fair_bp"},
    "risk": {"position_usd", "carry_bp", "target_usd", "flow_log", "cross_usd"},
    "pricing": {"ticks", "price_bp"},
    "execution": {"ticks"},
}
SIDED = {"features": {"arrival_rate", "base_rate"}, "belief": set(), "risk": set()}
"""Leaves with a side axis; in the later stages every leaf of more than one axis has one."""
TARGETS = (0, 0, 0, 1, 2)
"""Component of the belief that each observation is about: V, V, V, mu, log sigma."""


def named_leaves(tree):
    """`(last field name, leaf)` in leaf order."""
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(path[-1].name, leaf) for path, leaf in pairs]


def dimension(name):
    """Dimension of a leaf by its name."""
    if name in NAMED:
        return NAMED[name]
    return next((d for suffix, d in SUFFIXES.items() if name.endswith(suffix)), (0, 0, 0))


def declared(unit):
    """Dimension of a unit string of `param`."""
    if unit in DECLARED:
        return DECLARED[unit]
    inverse, power = re.fullmatch(r"(1/)?s\^([0-9.]+)", unit).groups()
    return (0, 0, float(power) * (-1 if inverse else 1))


def factor(dim, scale):
    """What a quantity of this dimension is multiplied by under new units."""
    return math.prod(c**k for c, k in zip(scale, dim, strict=True))


def _state(scale):
    """Factor and shift of the belief's four components."""
    bp, _, s = scale
    return jnp.array([bp, bp / s, 1, 1]), jnp.array([0, 0, math.log(bp / s**0.5), 0])


def rescaled(tree, scale):
    """The same quantities in units `scale = (bp, USD, s)` times finer."""
    by, add = _state(scale)
    at = jnp.array(TARGETS)
    special = {
        "mean": lambda x: x * by + add,
        "mode_mean": lambda x: x * by + add,
        "cov": lambda x: x * by[:, None] * by[None, :],
        "z": lambda x: x * by[at] + add[at],
        "precision": lambda x: x / by[at] ** 2,
    }

    def leaf(name, x):
        if name in special:
            with jax.numpy_rank_promotion("allow"):
                return special[name](x)
        dim = dimension(name)
        return x * factor(dim, scale) if any(dim) else x

    leaves = [leaf(name, x) for name, x in named_leaves(tree)]
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)


def rescaled_params(params, declarations, scale):
    """Parameters in the new units, by the unit that each leaf declares."""
    leaves, structure = jax.tree.flatten(params)
    out = [
        x * factor(declared(told["unit"]), scale)
        for x, (_, told) in zip(leaves, declarations, strict=True)
    ]
    return jax.tree.unflatten(structure, out)


def mirrored(stage, tree):
    """A stage's outputs, rows first, as they must be when bid and ask are exchanged."""
    flip = jnp.array([-1.0, -1.0, 1.0, 1.0])
    at = jnp.array(TARGETS)
    special = {
        "mean": lambda x: x * flip,
        "mode_mean": lambda x: x * flip,
        "cov": lambda x: x * flip[:, None] * flip[None, :],
        "z": lambda x: x * flip[at],
    }

    def leaf(name, x):
        if stage in ("features", "belief") and name in special:
            with jax.numpy_rank_promotion("allow"):
                return special[name](x)
        sided = name in SIDED[stage] if stage in SIDED else x.ndim > 1
        x = jnp.flip(x, axis=1) if sided else x
        return -x if name in ODD.get(stage, ()) else x

    leaves = [leaf(name, x) for name, x in named_leaves(tree)]
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)
