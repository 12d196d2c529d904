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
    market=world.Market(mid_usd=1000.0, volatility_bp=0.5),
    makers=world.Makers(half_spread_bp=6.0, touch_usd=3000.0),
    takers=world.Takers(rate_s=0.25, mean_usd=1000.0, reach_bp=12.0),
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
    public = _path(drawn, script)
    # A limit stands as far from the new price as it stood from the drawn one; an informed buyer who
    # is turned knows nothing of the fall.
    reach = drawn.limit_bp - drawn.public_bp[drawn.at_takers]
    in_fall = falls[drawn.at_takers]
    buys = np.flatnonzero(in_fall & (drawn.sign > 0) & (drawn.kind != laws.SNIPER))
    turned = np.delete(buys, np.s_[:: script.keeps_every])
    sign = drawn.sign.copy()
    sign[turned], reach[turned] = -sign[turned], -reach[turned]
    depth = drawn.depth_noise.copy()
    blocks = falls[drawn.at_blocks]
    depth[blocks] += script.tilt * np.array([-0.5, 0.5])[:, None]
    known = np.where(falls & is_rally, -1.0, 1.0)
    if is_rally:
        public = np.where(falls, -public, public)
        sign, reach = np.where(in_fall, -sign, sign), np.where(in_fall, -reach, reach)
        depth[blocks] = depth[blocks, ::-1]
    return dataclasses.replace(
        drawn,
        public_bp=public,
        value_bp=public + known * (drawn.value_bp - drawn.public_bp),
        sign=sign,
        limit_bp=public[drawn.at_takers] + reach,
        depth_noise=depth,
    )


def _path(drawn: Market, script: Script) -> np.ndarray:
    """The drawn noise as bridges: 0 at the start and the end of the flat part, then the move."""
    time_s, noise = drawn.times_s, drawn.public_bp
    knots = np.array([0.0, script.flat_s, time_s[-1]])
    at_knots = np.interp(knots, time_s, noise)
    wanted = np.array([0.0, 0.0, script.move_bp])
    return noise - np.interp(time_s, knots, at_knots) + np.interp(time_s, knots, wanted)
