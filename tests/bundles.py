"""The whole engine in the small shapes, compiled once a session, for the laws and stage tests.

`trace` folds a stream with a decision at every row and keeps what every stage was given and said.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import events
from diffmm import allocation, belief, core, execution, features, pricing, risk
from diffmm.engine import graph


CONFIG = graph.Config.small()
ROWS = 24
ACTIVE = {
    "features.thin_log": 0.5,
    "features.trend_gain": 0.03,
    "features.trend_precision": 0.2,
    "risk.calm_correlation": 0.6,
    "risk.edge_samples": 3.0,
    "risk.funding.premium_share": 0.3,
    "risk.funding.average_share": 0.2,
    "risk.funding.flow_gain": 0.4,
    "pricing.offset_bp": 0.05,
    "pricing.reach": 8.37,
}
"""Leaves whose default switches something off, moved so that the laws see it switched on; and a
reach that makes no whole number of ticks, where the deepest candidate would jump."""


class Trace(eqx.Module):
    """What every stage said, row by row, and the state after the last."""

    state: tuple
    features: features.Features
    belief: belief.Belief
    risk: risk.RiskBudget
    pricing: pricing.Surface
    allocation: allocation.Allocation
    execution: execution.Targets


def names(params):
    """Dotted paths of the leaves of a Params tree, in leaf order."""
    return [path for path, _ in core.declarations(params)]


def params(dtype=jnp.float32, **values):
    """Every feature switched on; `values` by dotted path with `__` for the dot."""
    tree = core.defaults(graph.Params, dtype)
    leaves, structure = jax.tree.flatten(tree)
    wanted = ACTIVE | {k.replace("__", "."): v for k, v in values.items()}
    assert set(wanted) <= set(names(tree)), "a test names a leaf that is not there"
    leaves = [
        jnp.asarray(wanted[name], dtype) if name in wanted else leaf
        for name, leaf in zip(names(tree), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, leaves)


def init(p, config=CONFIG):
    return graph.init_observing(p, config=config), graph.init_deciding(p, config=config)


def step(p, state, event, config=CONFIG):
    """One row: observe, then decide whatever the wake says."""
    observing, deciding = state
    observing, seen = graph.observe(p, observing, event, config=config)
    deciding, quotes = graph.decide(p, deciding, (seen, event), config=config)
    return (observing, deciding), (seen, quotes)


def fold(p, batch, config=CONFIG):
    """The whole stream from the first state, not compiled."""
    state, (seen, quotes) = jax.lax.scan(lambda s, e: step(p, s, e, config), init(p, config), batch)
    return Trace(
        state,
        seen.features,
        seen.belief,
        quotes.risk,
        quotes.surface,
        quotes.allocation,
        quotes.targets,
    )


@functools.cache
def engine(config):
    """The compiled fold of one config, once a session."""
    return jax.jit(lambda p, batch: fold(p, batch, config))


compiled = engine(CONFIG)
one_step = jax.jit(step)


def float_dtype():
    return np.float64 if jax.config.jax_enable_x64 else np.float32


def stream(**account):
    """Random events in which quoting pays: a calm mid, small fees, a wealth at which inventory
    costs, and a Gamma limit that binds in every other row."""
    dtype = float_dtype()
    batch = events.stream(ROWS, dtype=dtype, move_bp=0.1)
    given = {"maker_fee_bp": -0.1, "taker_fee_bp": 0.2, "wealth_usd": 500.0} | account
    ones = np.ones(ROWS, dtype)
    batch = replace(batch, **{f"account__{name}": x * ones for name, x in given.items()})
    at = np.arange(ROWS)
    limit = np.where(at % 2, 0.2, 2e-4)
    # A settlement is due in the middle, and the rates move.
    left = np.where(at < ROWS // 2, 9.0 * (ROWS // 2 - at), 3600.0 - 8.0 * (at - ROWS // 2))
    rate = batch.context.funding_rate_1h
    return replace(
        batch,
        account__gamma_limit_usd=limit,
        context__settlement_s=left,
        context__funding_rate_1h=rate * (1 + 0.5 * np.sin(at)),
        context__premium_rate_1h=rate * (2 + np.cos(at)),
    )


def trace(p=None, batch=None):
    """The compiled fold; defaults to the standard stream and parameters."""
    p = params(float_dtype()) if p is None else p
    return compiled(p, stream() if batch is None else batch)


def surface_objective(p, batch):
    """A smooth function of the surface alone; the allocation does not run."""

    def row(states, event):
        state, told = states
        state, seen = graph.observe(p, state, event, config=CONFIG)
        f, b = seen.features, seen.belief
        told, budget = risk.update(p.risk, told, (event, f, b), config=CONFIG.risk)
        given = (event, f, b, budget, p.belief)
        _, at = pricing.update(p.pricing, pricing.State(), given, config=CONFIG.pricing)
        return (state, told), jnp.sum(jnp.tanh(jnp.where(at.is_valid, at.epnl_usd, 0.0)))

    observing, deciding = init(p)
    return jnp.sum(jax.lax.scan(row, (observing, deciding.risk), batch)[1])


def size_objective(p, batch):
    """A smooth function of the sizes before rounding, through the whole engine."""
    return jnp.sum(fold(p, batch).allocation.size_usd ** 2) / 1e8


OBJECTIVES = {"surface": surface_objective, "sizes": size_objective}
value = {name: jax.jit(f) for name, f in OBJECTIVES.items()}
gradient = {name: jax.jit(jax.grad(f)) for name, f in OBJECTIVES.items()}


@functools.cache
def standard(x64):
    """The standard trace, once a session and precision."""
    with jax.enable_x64(x64):
        return trace()


def replace(event, **values):
    """An event or a batch with leaves exchanged, nested by `__`; not through constructors, which
    under runtime shape checks would refuse a batch."""
    pairs, structure = jax.tree_util.tree_flatten_with_path(event)
    paths = ["__".join(key.name for key in path) for path, _ in pairs]
    assert set(values) <= set(paths), "a test names a leaf that is not there"
    leaves = [
        jnp.asarray(values.get(name, x), x.dtype) for name, (_, x) in zip(paths, pairs, strict=True)
    ]
    return jax.tree.unflatten(structure, leaves)
