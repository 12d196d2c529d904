"""Random allocation problems for the public stage, and their objective written again in numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import bundles
import events
from diffmm import allocation


BP = 1e4
M = bundles.CONFIG.pricing.candidates.total
SLOTS = events.SLOTS
SIGN = np.array([-1.0, 1.0])


def problem(seed):
    """Random data of one programme in the units of the public stage, double precision."""
    rng = np.random.default_rng(seed)
    depth = np.sort(rng.uniform(0.1, 8, (2, M)), axis=1)
    fill = np.exp(-rng.uniform(1, 3) - rng.uniform(0.3, 1.5) * depth)
    return {
        "fill": fill,
        "net": depth - rng.uniform(0, 4, (2, M)),
        "depth": np.cumsum(rng.lognormal(8, 1, (2, M)), axis=1),
        "gamma": rng.uniform(0.02, 0.6, (2, M)),
        "impact": rng.uniform(0.2, 2.0),
        "power": rng.uniform(0.4, 1.2),
        "size": rng.lognormal(6, 0.5),
        "message": 10 ** rng.uniform(-6, -3),
        "q": rng.uniform(-1.2e4, 1.2e4),
        "room": 2e4,
        "kelly": rng.choice([5e3, 3e4]),
        "gamma0": 10 ** rng.uniform(-6, -1),
        "convexity": 3.0,
        "variance": rng.uniform(5, 80),
        "limit": 10 ** rng.uniform(-2, 0),
        "held": rng.random(2) < 0.5,
    }


def inputs(x, dtype):
    """The problem as an event, a budget and a surface; one live order a side may hold level 2."""
    batch, trace = bundles.stream(), bundles.standard(bool(jax.config.jax_enable_x64))
    event, surface = events.row(batch, 0), events.row(trace.pricing, 0)
    budget = events.row(trace.risk, 0)
    f = lambda v: jnp.asarray(v, dtype)
    columns = lambda v: jnp.concatenate([f(v), jnp.zeros((2, SLOTS), dtype)], axis=1)
    ticks = np.stack([-np.arange(1, M + 1), np.arange(1, M + 1)]).astype(np.int32)
    own = np.full((2, SLOTS), 10_000, np.int32)
    own[:, 0] = ticks[:, 2]
    live = np.zeros((2, SLOTS), bool)
    live[:, 0] = x["held"]
    surface = bundles.replace(
        surface,
        ticks=np.concatenate([ticks, own], axis=1),
        is_valid=np.ones((2, M + SLOTS), bool),
        fill=columns(x["fill"]),
        log_fill=jnp.log(columns(x["fill"]) + 1e-30),
        net_bp=columns(x["net"]),
        depth_usd=columns(x["depth"]) + 1,
        gamma_bp=columns(x["gamma"]),
        impact_scale_bp=x["impact"],
        impact_power=x["power"],
        size_usd=x["size"],
        has_book=True,
    )
    event = bundles.replace(
        event,
        orders__ticks=own,
        orders__is_live=live,
        account__position_usd=x["q"],
        account__room_usd=x["room"],
        account__gamma_limit_usd=x["limit"],
    )
    budget = bundles.replace(
        budget,
        position_usd=x["q"],
        room_usd=x["room"],
        kelly_usd=x["kelly"],
        cross_usd=0.0,
        gamma0=x["gamma0"],
        convexity=x["convexity"],
        variance_bp2=x["variance"],
    )
    return event, budget, surface


def size(x, dtype, solve=None):
    event, budget, surface = inputs(x, dtype)
    params = bundles.params(dtype, allocation__message_usd=x["message"]).allocation
    return (solve or compiled())(params, event, budget, surface)


def decide(params, event, budget, surface):
    config = allocation.Config.small()
    given = (event, budget, surface)
    state = allocation.init(params, config=config)
    return allocation.update(params, state, given, config=config)[1]


@functools.cache
def compiled():
    return jax.jit(decide)


def value(x, n):
    """The objective in USD and its gradient, written again in numpy; sizes in USD, `(2, M)`."""
    s = SIGN[:, None]
    liquid = x["depth"] + 1
    new = np.ones((2, M))
    new[:, 2] = ~x["held"]
    total = np.cumsum(n, axis=1)
    sweep = x["fill"] - np.concatenate([x["fill"][:, 1:], np.zeros((2, 1))], axis=1)
    risk_scale = x["gamma0"] * x["variance"] / BP**2
    bend = x["convexity"] / x["room"] ** 2
    cost = lambda q: risk_scale * (1 + bend * q**2) * q**2 / 2
    margin = lambda q: risk_scale * (1 + 2 * bend * q**2) * q
    after = x["q"] - s * total
    worth = np.sum(x["fill"] * n * x["net"]) / BP
    impact = x["impact"] * (n / liquid) ** x["power"]
    worth -= np.sum(x["fill"] * n * impact) / BP
    worth -= x["message"] * np.sum(new * n) / x["size"]
    worth -= np.sum(sweep * (cost(after) - cost(x["q"])))
    deeper = np.cumsum((sweep * -s * margin(after))[:, ::-1], axis=1)[:, ::-1]
    slope = x["fill"] * (x["net"] - (1 + x["power"]) * impact) / BP
    return worth, slope - x["message"] * new / x["size"] - deeper


def caps(x):
    return np.maximum(np.minimum(x["room"], x["kelly"]) + SIGN * x["q"], 0.0)
