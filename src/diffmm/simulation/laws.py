"""The laws of a world, drawn from a seeded generator: public price, private value, takers.

`generative` strings them together over an hour, `probes` over one quote life; both call these.
"""

import dataclasses

import numpy as np
from numpy.random import default_rng, Generator  # noqa: TID251 - always from an explicit seed

from .world import Private, Takers, World


UNINFORMED, INFORMED, SNIPER = 0, 1, 2
"""Why a taker comes."""


@dataclasses.dataclass(frozen=True)
class Streams:
    """One independent stream a source: switching one off leaves the draws of the others."""

    price: Generator
    takers: Generator
    makers: Generator
    snipers: Generator
    secrets: Generator
    feed: Generator
    drift: Generator

    @classmethod
    def of(cls, seed: int) -> "Streams":
        """All streams of one seed."""
        return cls(*default_rng(seed).spawn(len(dataclasses.fields(cls))))


def moves(world: World, rng: Generator, dt_s: np.ndarray) -> np.ndarray:
    """Public moves of M over steps of the given lengths, in bp: Brownian, and jumps."""
    market = world.market
    out = market.volatility_bp * np.sqrt(dt_s) * rng.standard_normal(dt_s.shape)
    if market.jump_rate_s > 0 and market.jump_bp > 0:
        count = rng.poisson(market.jump_rate_s * dt_s)
        # The sum of n exponentials of either sign is a difference of two gamma variables.
        ups = rng.binomial(count, 0.5)
        up, down = (_gamma(rng, n, market.jump_bp) for n in (ups, count - ups))
        out = out + up - down
    return out


def kinds(private: Private, rng: Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Which arrivals are informed."""
    return np.where(rng.random(shape) < private.informed_share, INFORMED, UNINFORMED)


def secrets(private: Private, rng: Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Private innovations `V - M`, bp."""
    return private.sd_bp * rng.standard_normal(shape)


def limits(
    world: World, rng: Generator, kind: np.ndarray, public_bp: np.ndarray, value_bp: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sign and reservation price of arrivals, given M and V when they arrive.

    An uninformed one pays up to an exponential distance beyond M; an informed one trades towards
    `V + noise` and no further.
    """
    signs = np.where(rng.random(kind.shape) < 0.5, -1, 1)
    reach = world.takers.reach_bp * rng.standard_exponential(kind.shape)
    signal = value_bp + world.private.noise_bp * rng.standard_normal(kind.shape)
    is_informed = kind == INFORMED
    signs = np.where(is_informed, np.where(signal > public_bp, 1, -1), signs)
    return signs, np.where(is_informed, signal, public_bp + signs * reach)


def sizes(takers: Takers, rng: Generator, shape: int) -> np.ndarray:
    """Sizes in USD, exponential."""
    return takers.mean_usd * rng.standard_exponential(shape)


def snipes(world: World, rng: Generator, duration_s: float) -> np.ndarray:
    """Times at which every quote beyond M is taken: one chance a window, random phase."""
    window = world.sniping.window_s
    times = np.arange(rng.random() * window, duration_s, window)
    return times[rng.random(times.size) < world.sniping.probability]


def drifts(world: World, rng: Generator, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sign of the drift at each time, 0 where there is none, and how far it has moved M, in bp."""
    drift, end_s = world.drift, times_s[-1]
    change_s, sign = [0.0], [0.0]
    while change_s[-1] < end_s and drift.start_rate_s > 0:
        is_on = sign[-1] != 0
        stays_s = drift.lasts_s if is_on else 1 / drift.start_rate_s
        change_s.append(change_s[-1] + stays_s * rng.standard_exponential())
        sign.append(0.0 if is_on else rng.choice([-1.0, 1.0]))
    knots, speed = np.array(change_s), drift.speed_bp_s * np.array(sign)
    moved = np.concatenate([[0.0], np.cumsum(speed[:-1] * np.diff(knots))])
    last = np.searchsorted(knots, times_s, side="right") - 1
    return np.array(sign)[last], moved[last] + speed[last] * (times_s - knots[last])


def leans(world: World, rng: Generator, times_s: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Log of displayed bids over asks at each time: with the drift, and noise."""
    drift = world.drift
    kept = np.exp(-np.diff(times_s) / drift.lean_memory_s)
    noise, shock = np.empty(times_s.size), rng.standard_normal(times_s.size)
    noise[0] = shock[0]
    for k in range(1, times_s.size):
        keep = kept[k - 1]
        noise[k] = keep * noise[k - 1] + np.sqrt(1 - keep**2) * shock[k]
    return drift.lean * sign + drift.lean_noise * noise


def _gamma(rng: Generator, count: np.ndarray, mean_bp: float) -> np.ndarray:
    return np.where(count > 0, rng.gamma(np.maximum(count, 1), mean_bp), 0.0)
