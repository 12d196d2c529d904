"""What a position pays to be held over the venue's settlements, and the flow around them.

The venue pays once an interval, on what is held at that instant. A position that is left at the
rate `1 / T` is still there at the k-th settlement with chance `exp(-(left + k interval) / T)`, so
what it is expected to pay is the forecast rate over

    paid_s = interval exp(-left / T) / (1 - exp(-interval / T))

seconds: almost nothing far from the hour, a whole interval just before it, and T on average over
the interval, which is the carry of a rate that accrues evenly. The settlement itself is a jump, as
it is in the account. A quote that fills only after the hour does not pay for it; that happens
within one quote life of the hour and is left out.

The rate that is settled is a mean over the interval, of which the share `u = 1 - left / interval`
is known and stands in the venue's own forecast; only the rest is left to be foreseen:

    base     = venue + average_share (average - venue)
    rest     = base + premium_share (premium - base)
    forecast = u venue + (1 - u) rest

`premium` is the rate that the newest premium alone would give, `average` its exponential mean. With
both shares 0, as shipped, the forecast is the venue's: no recording has a premium to fit them on.
Source: the venue's documentation for the mean; chance of holding at the stamp and mixture, ours
(tests/risk/test_funding.py, where a planted premium is foreseen better).
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE, REAL, SHARE, where
from diffmm.market import Context


BP = 1e4
"""Basis points in one."""
HOUR_S = 3600
"""Seconds of the hour in which rates are told."""


class Params(eqx.Module):
    """Of the forecast, of the clock, and of takers around a settlement.

    **Attributes:**

    - `interval_s`: between settlements; a rule of the exchange.
    - `premium_share`, `average_share`: how the rest of the interval is foreseen.
    - `average_memory_s`: of the exponential mean of the rate.
    - `flow_gain`: largest change of the logarithm of the takers' rates; ships at 0.
    - `ramp_s`, `reversal_s`: how long before a settlement they change, and after it, back.
    """

    interval_s: Float[Array, ""] = param(POSITIVE, 3600.0, unit="s", trainable=False)
    premium_share: Float[Array, ""] = param(SHARE, 0.0)
    average_share: Float[Array, ""] = param(SHARE, 0.0)
    average_memory_s: Float[Array, ""] = param(POSITIVE, 28_800.0, unit="s")
    flow_gain: Float[Array, ""] = param(REAL, 0.0)
    ramp_s: Float[Array, ""] = param(POSITIVE, 600.0, unit="s")
    reversal_s: Float[Array, ""] = param(POSITIVE, 120.0, unit="s")


class State(eqx.Module):
    """The mean rate and where the clock stood at the last decision.

    **Attributes:**

    - `average_1h`: exponential mean of the newest premium's rate; in single precision it comes
      within one percent of a constant one.
    - `settlement_s`: time to the settlement then.
    - `is_known`: whether a context was seen.
    """

    average_1h: Float[Array, ""]
    settlement_s: Float[Array, ""]
    is_known: Bool[Array, ""]


def init(params: Params) -> State:
    """Nothing was told."""
    zero = jnp.zeros_like(params.interval_s)
    return State(zero, zero, jnp.array(False))


def update(params: Params, state: State, context: Context) -> tuple[State, Float[Array, ""]]:
    """The mean rate moves by what the clock says has passed; beside it the forecast of the rate.

    Without a context the rate is 0 and nothing is remembered of it.
    """
    venue, premium = context.funding_rate_1h, context.premium_rate_1h
    passed = jnp.mod(state.settlement_s - context.settlement_s, params.interval_s)
    blend = -jnp.expm1(-passed / params.average_memory_s)
    average = state.average_1h + blend * (premium - state.average_1h)
    average = jnp.where(state.is_known, average, premium)
    new = State(average, context.settlement_s, jnp.ones_like(state.is_known))
    rate = forecast_1h(params, venue, premium, average, context.settlement_s)
    return where(context.is_valid, new, state), jnp.where(context.is_valid, rate, 0.0)


def forecast_1h(
    params: Params,
    venue_1h: Float[Array, "*s"],
    premium_1h: Float[Array, "*s"],
    average_1h: Float[Array, "*s"],
    left_s: Float[Array, "*s"],
) -> Float[Array, "*s"]:
    """Hourly rate foreseen for the coming settlement; the venue's own where the three agree."""
    base = params.average_share * (average_1h - venue_1h)
    rest = base + params.premium_share * (premium_1h - venue_1h - base)
    return venue_1h + left_s / params.interval_s * rest


def paid_s(
    params: Params, left_s: Float[Array, "*s"], holding_s: Float[Array, ""]
) -> Float[Array, "*s"]:
    """Expected seconds of funding that a position held for T on average pays for."""
    chance = jnp.exp(-left_s / holding_s)
    return params.interval_s * chance / -jnp.expm1(-params.interval_s / holding_s)


def carry_bp(
    params: Params,
    rate_1h: Float[Array, "*s"],
    left_s: Float[Array, "*s"],
    holding_s: Float[Array, ""],
) -> Float[Array, "*s"]:
    """What a long position is expected to pay; negative is received."""
    return BP * rate_1h * paid_s(params, left_s, holding_s) / HOUR_S


def flow_log(
    params: Params,
    rate_1h: Float[Array, "*s"],
    left_s: Float[Array, "*s"],
    sigma_bp: Float[Array, ""],
) -> Float[Array, "*s"]:
    """Change of the logarithm of the rate of sellers, minus it of buyers.

    Who would pay leaves before the settlement and comes back after it, the more the larger the
    payment is beside the risk `sigma sqrt(ramp)` of staying out:

        flow_gain tanh(payment / (sigma sqrt(ramp))) [(1 - left / ramp)+ - (1 - since / reversal)+]

    No recording supports it: ours, shipped at 0.
    """
    since_s = params.interval_s - left_s
    before = jnp.maximum(1 - left_s / params.ramp_s, 0.0)
    after = jnp.maximum(1 - since_s / params.reversal_s, 0.0)
    payment = BP * rate_1h * params.interval_s / HOUR_S
    risk = (sigma_bp + jnp.finfo(sigma_bp.dtype).eps) * jnp.sqrt(params.ramp_s)
    return params.flow_gain * jnp.tanh(payment / risk) * (before - after)
