"""What the Sensor is told, remembers and says: its parameters, state, observations, features."""

import dataclasses
import enum

import equinox as eqx
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE, REAL, SHARE, UNIT

from . import (
    frontier as liquidations,
    participants as quoters,
    propagation as news,
    trend as drifts,
)
from .touch import Touch


class Target(enum.IntEnum):
    """Component of the belief state that an observation is about."""

    V = 0
    MU = 1
    LOG_SIGMA = 2
    INFORMED = 3


OBSERVATIONS = (
    ("fair", Target.V),
    ("mid", Target.V),
    ("lead", Target.V),
    ("flow", Target.MU),
    ("variance", Target.LOG_SIGMA),
)
"""Names and targets of the rows of `Features.z`, in order."""

PARTICIPANTS = (("withdrawal", Target.INFORMED), ("widening", Target.LOG_SIGMA))
"""The rows after them where participants are watched."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices; the shapes come from the event.

    **Attributes:**

    - `participants`: sizes of their stage, `None` to leave it out of the program. With it go
      `Params.participants`: see `with_participants`.
    - `propagation`: how outside news is taken in, the same way: see `with_propagation`.
    - `frontier`: where positions are liquidated, the same way: see `with_frontier`.
    """

    participants: quoters.Config | None = None
    propagation: news.Config | None = None
    frontier: liquidations.Config | None = None

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls()


class Params(eqx.Module):
    queue: Float[Array, ""] = param(REAL, 0.1, unit="s^0.25")
    flow: Float[Array, ""] = param(REAL, 0.5, unit="s^0.25")
    thin: Float[Array, ""] = param(REAL, 0.1, unit="s^0.5")
    depth: Float[Array, ""] = param(REAL, 0.7, unit="s^0.5")
    relaxation: Float[Array, ""] = param(POSITIVE, 2.25, trainable=False)
    follow_memory_s: Float[Array, ""] = param(POSITIVE, 300.0, unit="s", trainable=False)
    prior_follow_s: Float[Array, ""] = param(POSITIVE, 30.0, unit="s", trainable=False)
    thin_log: Float[Array, ""] = param(POSITIVE, 1.8, trainable=False)
    depth_reach: Float[Array, ""] = param(POSITIVE, 3.0, unit="s^0.5", trainable=False)
    flow_decay_s: Float[Array, ""] = param(POSITIVE, 0.5, unit="s")
    depth_memory_s: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")
    rate_memory_s: Float[Array, ""] = param(POSITIVE, 150.0, unit="s")
    prior_trades: Float[Array, ""] = param(POSITIVE, 2.0)
    prior_exposure_s: Float[Array, ""] = param(POSITIVE, 10.0, unit="s")
    prior_trade_share: Float[Array, ""] = param(POSITIVE, 0.1)
    branching: Float[Array, ""] = param(UNIT, 0.36)
    kernel_decay: Float[Array, ""] = param(POSITIVE, 0.28, unit="1/s")
    sample_s: Float[Array, ""] = param(POSITIVE, 1.0, unit="s", trainable=False)
    variance_scale_s: Float[Array, ""] = param(POSITIVE, 2.5, unit="s", trainable=False)
    variance_memory_s: Float[Array, ""] = param(POSITIVE, 120.0, unit="s")
    prior_variance_s: Float[Array, ""] = param(POSITIVE, 5.0, unit="s")
    prior_sigma_half_spreads: Float[Array, ""] = param(POSITIVE, 0.5, unit="1/s^0.5")
    prior_moves: Float[Array, ""] = param(POSITIVE, 1.0)
    freeze_s: Float[Array, ""] = param(POSITIVE, 5.0, unit="s", trainable=False)
    correlation_s: Float[Array, ""] = param(POSITIVE, 1.6, unit="s")
    fair_noise_spread: Float[Array, ""] = param(POSITIVE, 0.3, unit="s^0.5")
    fair_noise_sigma: Float[Array, ""] = param(POSITIVE, 0.1, unit="s")
    mid_noise_spread: Float[Array, ""] = param(POSITIVE, 4.0)
    mid_noise_sigma: Float[Array, ""] = param(POSITIVE, 2.0, unit="s")
    lead_decay_s: Float[Array, ""] = param(POSITIVE, 0.6, unit="s")
    lead_share: Float[Array, ""] = param(SHARE, 0.7)
    lead_noise_sigma: Float[Array, ""] = param(POSITIVE, 0.5, unit="s")
    trend_gain: Float[Array, ""] = param(REAL, 0.0, unit="1/s^0.5")
    trend_precision: Float[Array, ""] = param(SHARE, 0.0)
    variance_noise_s: Float[Array, ""] = param(POSITIVE, 1.5, unit="s")
    participants: quoters.Params | None = None
    propagation: news.Params | None = None
    frontier: liquidations.Params | None = None
    trend: drifts.Params | None = None


class State(eqx.Module):
    touch: Touch
    has_seen: Bool[Array, ""]
    order_flow: Float[Array, ""]
    depth_usd: Float[Array, ""]
    depth_ratio: Float[Array, ""]
    usual_ratio: Float[Array, ""]
    taker_sign: Float[Array, ""]
    trades: Float[Array, "side"]
    trades_usd: Float[Array, ""]
    exposure_s: Float[Array, ""]
    excitation: Float[Array, "side"]
    squares: Float[Array, ""]
    average_mid_bp: Float[Array, ""]
    moves: Float[Array, "2"]
    sampled_s: Float[Array, ""]
    sample_mid_bp: Float[Array, ""]
    index_bp: Float[Array, ""]
    sample_index_bp: Float[Array, ""]
    is_sample: Bool[Array, ""]
    followed: Float[Array, "2"]
    since_sample_s: Float[Array, ""]
    quiet_s: Float[Array, ""]
    is_flowing: Bool[Array, ""]
    reference_bp: Float[Array, ""]
    has_reference: Bool[Array, ""]
    reference_move: Float[Array, ""]
    own_move: Float[Array, ""]
    participants: quoters.State | None = None
    propagation: news.State | None = None
    frontier: liquidations.State | None = None
    trend: drifts.State | None = None


class Features(eqx.Module):
    """Observations for the belief and the scales that pricing needs.

    **Attributes:**

    - `z`, `precision`: rows as in `OBSERVATIONS`; precision 0 is no information.
    - `mid_bp`, `half_spread_bp`, `has_book`: the touch, own size excluded.
    - `index_bp`: expected move of the mid over the next second, if it follows through as usual.
    - `fair_bp`: layered fair value, `mid + relaxation x follow-through x index`.
    - `sigma_bp`: volatility of the mid in bp per sqrt(s), on the scale of seconds.
    - `move_rate`: changes of the mid per second, from the share of samples that found another mid.
    - `arrival_rate`: takers per second on each side now.
    - `base_rate`: of the last minutes.
    - `branching`, `arrival_decay`: how many each taker draws, and how fast that passes, 1/s.
    - `trade_usd`: mean notional that a taker takes.
    - `volume_usd_s`: traded notional per second.
    - `is_flowing`: whether the feed has spoken all the time since the last row.
    - `crisis_tilt`: log factor on the rates into the crisis, from what the participants withdrew
      and from liquidations.
    - `participants`: what is known of them.
    - `informed_shift`: what outside news that is not yet taken in adds to the informed logit.
    - `mode_tilt`: logs of the factors on the entries into quiet, trending, crisis, from its shape.
    - `propagation`: what is known of it.
    - `frontier`: where positions are liquidated.
    """

    z: Float[Array, "observations"]
    precision: Float[Array, "observations"]
    mid_bp: Float[Array, ""]
    half_spread_bp: Float[Array, ""]
    index_bp: Float[Array, ""]
    fair_bp: Float[Array, ""]
    sigma_bp: Float[Array, ""]
    move_rate: Float[Array, ""]
    arrival_rate: Float[Array, "side"]
    base_rate: Float[Array, "side"]
    branching: Float[Array, ""]
    arrival_decay: Float[Array, ""]
    trade_usd: Float[Array, ""]
    volume_usd_s: Float[Array, ""]
    has_book: Bool[Array, ""]
    is_flowing: Bool[Array, ""]
    crisis_tilt: Float[Array, ""] | None = None
    participants: quoters.Participants | None = None
    informed_shift: Float[Array, ""] | None = None
    mode_tilt: Float[Array, "3"] | None = None
    propagation: news.Propagation | None = None
    frontier: liquidations.Frontier | None = None
