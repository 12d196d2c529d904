"""Sizes, parameters, memory and output of the participants' stage."""

import dataclasses

import equinox as eqx
from jaxtyping import Array, Bool, Float

from diffmm.core import interval, param, POSITIVE, REAL, SHARE

from . import attribution, response, standing, statistics
from .changes import Levels


@dataclasses.dataclass(frozen=True)
class Config:
    """Static sizes.

    **Attributes:**

    - `classes`: K, 2 to 8.
    - `levels`: of the book.
    - `bins`: of the depth profile; each is twice as deep as the one before.
    - `horizons_s`: at which the next quotes are expected.
    """

    classes: int = 6
    levels: int = 20
    bins: int = 6
    horizons_s: tuple[float, ...] = (1.0, 5.0)

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(classes=3, levels=4, bins=3)


class Params(eqx.Module):
    """What is not a part's own.

    **Attributes:**

    - `similar`: difference of log sizes up to which two changes are of one order.
    - `answer_s`: a touch move longer ago is not what is answered.
    - `markout_s`, `markout_count`: horizon of the toxicity, and what its prior of 0 is worth.
    - `confident_count`: events after which a class is half believed.
    - `withdrawal_*`, `widening_*`: of the two observations, whose precision ships as 0.
    - `crisis_gain`: log factor on the rates into the crisis for a whole withdrawal; ships as 0. Its
      bound keeps the exact transition of the modes exact.
    """

    attribution: attribution.Params
    mixture: statistics.Params
    response: response.Params
    standing: standing.Params
    similar: Float[Array, ""] = param(POSITIVE, 0.05)
    answer_s: Float[Array, ""] = param(POSITIVE, 3.0, unit="s", trainable=False)
    markout_s: Float[Array, ""] = param(POSITIVE, 5.0, unit="s", trainable=False)
    markout_count: Float[Array, ""] = param(POSITIVE, 50.0)
    confident_count: Float[Array, ""] = param(POSITIVE, 30.0)
    withdrawal_base: Float[Array, ""] = param(REAL, -1.0)
    withdrawal_gain: Float[Array, ""] = param(REAL, 1.0)
    withdrawal_precision: Float[Array, ""] = param(SHARE, 0.0, unit="1/s")
    widening_gain: Float[Array, ""] = param(REAL, 0.5)
    widening_precision: Float[Array, ""] = param(SHARE, 0.0, unit="1/s")
    crisis_gain: Float[Array, ""] = param(interval(-3.0, 3.0), 0.0)


class State(eqx.Module):
    """What is remembered.

    **Attributes:**

    - `book`: the last two-sided book, ticks as floats (exact below 2**24).
    - `mid_bp`: its mid.
    - `log_scale`: logarithm of a typical level's USD.
    - `cosine`, `sine`: of the time modulo each period.
    - `touch_s`: since the touch moved.
    - `quoted_s`: since each class's last quote.
    - `direction`: decayed signed events of each class, bids added and asks withdrawn positive.
    - `markout_bp`, `events`: what the mid did after them, summed, and how many they were.
    """

    book: Levels
    mid_bp: Float[Array, ""]
    has_seen: Bool[Array, ""]
    log_scale: Float[Array, ""]
    cosine: Float[Array, " periods"]
    sine: Float[Array, " periods"]
    touch_s: Float[Array, ""]
    quoted_s: Float[Array, " classes"]
    classes: statistics.Classes
    waiting: attribution.State
    response: response.State
    standing: standing.State
    direction: Float[Array, " classes"]
    markout_bp: Float[Array, " classes"]
    events: Float[Array, " classes"]


class Participants(eqx.Module):
    """What is known of the classes after an event.

    **Attributes:**

    - `change_usd`: signed changes of this row, as in `Changes`; 0 where there is no event.
    - `traded_usd`: how much of each decrease a print explains.
    - `responsibility`: whose each of them is, summing to 1 over classes, the prior without events.
    - `quotes`: how many quotes of each class this row brought, at most 1.
    - `size_usd`, `size_sd`: characteristic size, and spread of its logarithm.
    - `share`: of all events.
    - `stability`: in [0, 1]: how surely its events are its own, and how many there were.
    - `period_weight`, `rayleigh`: belief in and evidence for each candidate period.
    - `phase`: where in its cycle each class is now, in turns after its mean quote.
    - `kind`: shares of add, cancel and replace.
    - `latency_s`: median time from a touch move to its quote.
    - `standing`: displayed size, spread and lean, now and normal.
    - `toxicity_bp`: move of the mid after its events in their direction, shrunk to 0.
    - `expected_quotes`: within each horizon.
    - `withdrawal`, `widening`, `crisis_tilt`: over the confident classes; the tilt is a log factor.
    - `z`, `precision`: observations of informed_logit and log sigma.
    """

    change_usd: Float[Array, "side rows"]
    traded_usd: Float[Array, "side rows"]
    responsibility: Float[Array, "classes side rows"]
    quotes: Float[Array, " classes"]
    size_usd: Float[Array, " classes"]
    size_sd: Float[Array, " classes"]
    share: Float[Array, " classes"]
    stability: Float[Array, " classes"]
    period_weight: Float[Array, "classes periods"]
    rayleigh: Float[Array, "classes periods"]
    phase: Float[Array, " classes"]
    kind: Float[Array, "classes kinds"]
    latency_s: Float[Array, " classes"]
    standing: standing.Standing
    toxicity_bp: Float[Array, " classes"]
    expected_quotes: Float[Array, "classes horizons"]
    withdrawal: Float[Array, ""]
    widening: Float[Array, ""]
    crisis_tilt: Float[Array, ""]
    z: Float[Array, "2"]
    precision: Float[Array, "2"]
