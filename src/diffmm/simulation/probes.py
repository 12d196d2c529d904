"""What one static quote earns under a world's own laws: many lives at once, nothing selected.

A probe is a small quote with no one in front of it, placed `depth_bp` beyond M and left alone for
one life; the first taker who accepts its price fills it whole. The same draws of `laws` that make
a market make the probes' takers. Source: ours.
"""

import dataclasses

import numpy as np

from . import laws
from .world import World


BP = 1e4
HOUR_S = 3600.0


@dataclasses.dataclass(frozen=True)
class Probes:
    """Outcomes by life, bp of the quote's notional; all zero where nothing was filled.

    **Attributes:**

    - `filled_by`: kind of the taker, -1 for none.
    - `edge_bp`: `s (x - M)` with M when the probe was placed.
    - `secret_bp`: what the filler knew and M did not, `s (V - M)` at the fill.
    - `moved_bp`: what M moved against the quote before the fill.
    - `unwinding_bp`, `funding_bp`, `fee_bp`: paid.
    """

    filled_by: np.ndarray
    edge_bp: np.ndarray
    secret_bp: np.ndarray
    moved_bp: np.ndarray
    unwinding_bp: np.ndarray
    funding_bp: np.ndarray
    fee_bp: np.ndarray

    @property
    def pnl_bp(self) -> np.ndarray:
        """Realised, marked at V when filled, which is the mean of V at any later time."""
        lost = self.secret_bp + self.moved_bp + self.unwinding_bp + self.funding_bp + self.fee_bp
        return self.edge_bp - lost


@dataclasses.dataclass(frozen=True)
class Terms:
    """What a probe is exposed to beside the world: its life, holding time and fees."""

    life_s: float
    holding_s: float
    maker_fee_bp: float
    taker_fee_bp: float


def probe(world: World, terms: Terms, depth_bp: float, sign: int, lives: int, seed: int) -> Probes:
    """Place `lives` probes on one side and depth.

    M takes in no secret during a life: it is placed after one became public.

    Args:
        world: its laws; `sniping.window_s` is replaced by the probe's life.
        terms: life, holding time, fees.
        depth_bp: distance of the quote beyond M on its own side, at least 0.
        sign: +1 for an ask.
        lives: how many.
        seed: same seed, same outcomes.
    """
    streams = laws.Streams.of(seed)
    counts = streams.takers.poisson(world.takers.rate_s * terms.life_s, lives)
    width = int(counts.max()) + 1
    shape = (lives, width)
    times = terms.life_s * streams.takers.random(shape)
    kind = laws.kinds(world.private, streams.takers, shape)
    comes = np.arange(width) < counts[:, None]
    # The last column is the one chance that a life gives to snipers.
    kind[:, -1] = laws.SNIPER
    comes[:, -1] = streams.snipers.random(lives) < world.sniping.probability
    order = np.argsort(times, axis=1)
    take = lambda x: np.take_along_axis(x, order, axis=1)
    times, kind, comes = take(times), take(kind), take(comes)

    public = np.cumsum(
        laws.moves(world, streams.price, np.diff(times, axis=1, prepend=0.0)), axis=1
    )
    secret = laws.secrets(world.private, streams.secrets, (lives, 1))
    signs, limit = laws.limits(world, streams.takers, kind, public, public + secret)
    is_sniper = kind == laws.SNIPER
    signs = np.where(is_sniper, sign, signs)
    limit = np.where(is_sniper, public, limit)
    price = sign * depth_bp
    fills = comes & (signs == sign) & (sign * limit >= sign * price)
    is_filled, first = fills.any(axis=1), fills.argmax(axis=1)[:, None]
    pick = lambda x: np.take_along_axis(x, first, axis=1)[:, 0]
    when_filled = lambda x: np.where(is_filled, x, 0.0)

    taken = streams.feed.random(lives) < world.unwinding.share
    cost = world.makers.half_spread_bp + terms.taker_fee_bp
    # A probe is placed at any time of the hour, and pays if the full hour passes while it holds.
    left_s = HOUR_S * streams.feed.random(lives)
    held_from = pick(times)
    settles = (left_s > held_from) & (left_s <= held_from + terms.holding_s)
    return Probes(
        filled_by=np.where(is_filled, pick(kind), -1),
        edge_bp=when_filled(depth_bp * np.ones(lives)),
        secret_bp=when_filled(sign * secret[:, 0]),
        moved_bp=when_filled(sign * pick(public)),
        unwinding_bp=when_filled(taken * cost),
        funding_bp=when_filled(settles * (-sign * BP * world.funding.rate_1h)),
        fee_bp=when_filled(terms.maker_fee_bp * np.ones(lives)),
    )
