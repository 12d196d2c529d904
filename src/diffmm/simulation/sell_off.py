"""A sell-off written down beforehand: flat minutes, then a fall in which every signal agrees.

A generative world is drawn and its second part rewritten: the public price falls by a stated number
of bp in a straight line with the drawn noise about it, all but a few of the buyers sell instead,
and the bids thin while the asks fill up. Price, flow and book agree from the first second on. The
rally has the same flat minutes and the mirror of the fall. Source: ours, after the predecessor's
session of 19 February 2026 (9 minutes, 58 bp, one of its twelve fills a sale).
"""

import dataclasses

import numpy as np

from . import generative, laws, world
from .generative import Market


@dataclasses.dataclass(frozen=True)
class Script:
    """What is written down.

    **Attributes:**

    - `flat_s`, `trend_s`: length of the flat part and of the fall.
    - `move_bp`: of the public price over the fall, exactly.
    - `keeps_every`: of the buyers that the fall would have had, one in so many still buys.
    - `tilt`: log of displayed asks over displayed bids in the fall.
    """

    flat_s: float = 600.0
    trend_s: float = 540.0
    move_bp: float = -58.0
    keeps_every: int = 12
    tilt: float = 1.0

    @property
    def end_s(self) -> float:
        """Its whole length."""
        return self.flat_s + self.trend_s


WORLD = world.World(
    title="The thin world's book, takers and secrets; a quarter of its flow, a third of its noise",
    market=world.Market(mid_usd=1100.0, volatility_bp=1.5),
    makers=world.Makers(half_spread_bp=6.0, touch_usd=3300.0),
    takers=world.Takers(rate_s=0.7, mean_usd=440.0, reach_bp=12.0),
    private=world.Private(informed_share=0.2, sd_bp=3.0, delay_s=30.0, noise_bp=1.0),
)
"""What the script is laid over: a market that the shipped parameters of worlds are at home in. One
contract is a mean taker; the flow is slow, so that a gate is reached when the fall is minutes old.
"""


def simulate(script: Script, seed: int, *, is_rally: bool = False) -> Market:
    """One run of the script.

    Args:
        script: what happens.
        seed: of the noise; the fall and the rally of a seed share their flat minutes.
        is_rally: the mirror of the fall in its place.
    """
    drawn = generative.simulate(WORLD, seed, script.end_s)
    falls = drawn.times_s >= script.flat_s
    in_fall = falls[drawn.at_takers]
    buys = np.flatnonzero(in_fall & (drawn.sign > 0) & (drawn.kind != laws.SNIPER))
    # An informed buyer who is turned knows nothing of the fall.
    turned = np.isin(np.arange(drawn.sign.size), np.delete(buys, np.s_[:: script.keeps_every]))
    lean = -script.tilt * falls[drawn.at_blocks]
    fall = generative.bend(drawn, _path(drawn, script), turned, lean)
    fall = dataclasses.replace(fall, drift_bp_s=falls * script.move_bp / script.trend_s)
    return _mirrored(fall, falls) if is_rally else fall


def _mirrored(fall: Market, falls: np.ndarray) -> Market:
    """The same flat minutes, and a rally in which everything is as in the fall the other way."""
    way = np.where(falls, -1, 1)
    of_takers, blocks = way[fall.at_takers], falls[fall.at_blocks]
    depth = fall.depth_noise.copy()
    depth[blocks] = depth[blocks, ::-1]
    return dataclasses.replace(
        fall,
        public_bp=way * fall.public_bp,
        value_bp=way * fall.value_bp,
        sign=of_takers * fall.sign,
        limit_bp=of_takers * fall.limit_bp,
        depth_noise=depth,
        drift_bp_s=way * fall.drift_bp_s,
    )


def _path(drawn: Market, script: Script) -> np.ndarray:
    """The drawn noise as bridges: 0 at the start and the end of the flat part, then the move."""
    time_s, noise = drawn.times_s, drawn.public_bp
    knots = np.array([0.0, script.flat_s, time_s[-1]])
    at_knots = np.interp(knots, time_s, noise)
    wanted = np.array([0.0, 0.0, script.move_bp])
    return noise - np.interp(time_s, knots, at_knots) + np.interp(time_s, knots, wanted)
