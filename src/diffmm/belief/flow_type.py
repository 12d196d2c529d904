"""Who filled us: a posterior over types of takers, and how informed each type is.

Naive Bayes in log space. Features of the taker are standardised by what they are in general, and
are then normal about `typical` of each type with one and the same unit variance:

    log P(type | z) = log share + sum over known features of (typical z - typical^2 / 2) - log Z

so it is linear in z, and a feature without a feed is left out exactly: it adds nothing. The share
of informed takers is the mean over types, a mixture and no point estimate,

    pi = sum over types of P(type | .) sigmoid(logit + b_type)

with the posterior where a taker filled us and with the shares where a quote still waits, or where a
taker stopped short of it.

Features, for our ask; a bid sees the mirror image:

    size         log of the fill over the mean print
    recency      exp(-time since our last fill on this side / memory)
    reference    move of the reference that is not yet in the local mid, over the unit of a depth
    interest     decayed log change of open interest
    one_sided    (bought - sold) / (bought + sold + mean print), decayed
    dispersion   log(1 + variance of log print sizes) of takers on this side, decayed
    sweep        log(1 + what the last taker on this side took / what the touch displayed)

Source: ours; tested in `tests/belief/test_flow_type.py`, fitted by `learning.flow_type`.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE, REAL
from diffmm.features import Features, OBSERVATIONS
from diffmm.market import ASK, BID, Event, SIDE_SIGN


TYPES = ("liquidation", "arbitrage", "maker", "retail", "whale")
FEATURES = ("size", "recency", "reference", "interest", "one_sided", "dispersion", "sweep")
NOTHING = (0.0,) * len(FEATURES)
LEAD = [name for name, _ in OBSERVATIONS].index("lead")


class Params(eqx.Module):
    """As declared every type is as informed and looks as any other: no effect.

    **Attributes:**

    - `log_share`: logs of the types' shares, up to a constant.
    - `informed_bias`: b_type, what a type adds to the informed logit.
    - `typical`: mean of the standardised features of each type.
    - `centre`, `spread`: by which features are standardised.
    - `memory_s`: of what is decayed.
    - `match_s`: a print no older than this may be the one that filled us.
    """

    log_share: Float[Array, " types"] = param(REAL, (0.0,) * len(TYPES))
    informed_bias: Float[Array, " types"] = param(REAL, (0.0,) * len(TYPES))
    typical: Float[Array, "types kinds"] = param(REAL, (NOTHING,) * len(TYPES))
    centre: Float[Array, " kinds"] = param(REAL, NOTHING, trainable=False)
    spread: Float[Array, " kinds"] = param(POSITIVE, (1.0,) * len(FEATURES), trainable=False)
    memory_s: Float[Array, ""] = param(POSITIVE, 20.0, unit="s", trainable=False)
    match_s: Float[Array, ""] = param(POSITIVE, 2.0, unit="s", trainable=False)


class State(eqx.Module):
    """What is remembered; axis `side` is the side of ours that a taker meets.

    **Attributes:**

    - `recency`: 1 at a fill of ours, decaying.
    - `taken_usd`: decayed notional of prints.
    - `sizes`: decayed count of prints, and sums of their log size and its square.
    - `swept`: last taker's notional over the touch that he met.
    - `since_print_s`: his age.
    - `interest_usd`, `has_interest`, `interest_change`: open interest as last told, its change.
    """

    recency: Float[Array, "side"]
    taken_usd: Float[Array, "side"]
    sizes: Float[Array, "side 3"]
    swept: Float[Array, "side"]
    since_print_s: Float[Array, "side"]
    interest_usd: Float[Array, ""]
    has_interest: Bool[Array, ""]
    interest_change: Float[Array, ""]


class FlowType(eqx.Module):
    """What this row says of a taker who fills us on each side.

    **Attributes:**

    - `z`, `is_known`: features in order of `FEATURES`, standardised, and whether there are any.
    - `log_type`: log probabilities in order of `TYPES`; the shares where nothing was filled.
    """

    z: Float[Array, "side kinds"]
    is_known: Bool[Array, "side kinds"]
    log_type: Float[Array, "side types"]


def init(params: Params) -> State:
    """Nothing seen; the last print is too old to be anybody's."""
    zero = jnp.zeros_like(params.memory_s)
    two = jnp.stack([zero, zero])
    old = 2 * jnp.stack([params.match_s, params.match_s])
    return State(two, two, jnp.stack([two] * 3, 1), two, old, zero, jnp.array(False), zero)


def update(
    params: Params,
    state: State,
    inputs: tuple[Event, Features, Float[Array, ""], Float[Array, ""]],
    *,
    filled: Float[Array, ""] | None = None,
) -> tuple[State, FlowType]:
    """Fold one event, and classify whoever filled us in it.

    Args:
        params: of the classifier.
        state: before the event.
        inputs: event, its features, unit of a depth in bp and mean print in USD, both above zero.
        filled: how much of a fill the event's fills are, as in the belief.
    """
    event, seen, unit_bp, trade_usd = inputs
    new = _fold(params, state, event, trade_usd)
    z, is_known = _standardised(params, new, event, seen, unit_bp, trade_usd)
    is_fill = event.fill.usd > 0
    found = jax.vmap(lambda z, known: log_posterior(params, z, known))(z, is_known)
    log_type = jnp.where(is_fill[:, None], found, log_prior(params)[None, :])
    share = is_fill.astype(z.dtype) * (1.0 if filled is None else filled)
    new = dataclasses.replace(new, recency=new.recency + share * (1 - new.recency))
    return new, FlowType(z, is_known, log_type)


def log_prior(params: Params) -> Float[Array, " types"]:
    """Log shares of the types, before anything is known of a taker."""
    return jax.nn.log_softmax(params.log_share)


def log_posterior(
    params: Params, z: Float[Array, " kinds"], is_known: Bool[Array, " kinds"]
) -> Float[Array, " types"]:
    """Log probabilities of one taker's types given the features of his that are known.

    Args:
        params: of the classifier.
        z: standardised features.
        is_known: which of them there are; the others say nothing.
    """
    given = jnp.where(is_known, z, 0.0)[None, :]
    each = params.typical * given - params.typical**2 / 2
    evidence = jnp.sum(jnp.where(is_known[None, :], each, 0.0), axis=1)
    return jax.nn.log_softmax(params.log_share + evidence)


def informed(
    params: Params | None, log_type: Float[Array, " types"] | None, logit: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """`sum P(type) sigmoid(logit + b_type)`; `sigmoid(logit)` without types, and where all b are 0.

    Args:
        params: of the classifier, `None` where there is none.
        log_type: log probabilities; `None` for the shares.
        logit: what the belief says of every type alike.
    """
    alike = jax.nn.sigmoid(logit)
    if params is None:
        return alike
    log_type = log_prior(params) if log_type is None else log_type
    # Written as what types add, so that without biases it is exactly what it is without types.
    share = jnp.exp(log_type)
    more = [
        share[k] * (jax.nn.sigmoid(logit + params.informed_bias[k]) - alike)
        for k in range(share.shape[0])
    ]
    return alike + sum(more[1:], more[0])


def _fold(params: Params, state: State, event: Event, trade_usd: Float[Array, ""]) -> State:
    keep = jnp.exp(-event.dt_s / params.memory_s)
    sign = jnp.asarray(SIDE_SIGN, keep.dtype)
    hit = (event.trade.usd > 0) & (event.trade.sign == sign)
    usd = jnp.where(hit, event.trade.usd, 0.0)
    log_size = jnp.log(jnp.where(hit, event.trade.usd / trade_usd, 1.0))
    counted = jnp.stack([hit.astype(keep.dtype), log_size, log_size**2], axis=1)
    touch_usd = event.book.usd[:, 0]
    share = usd / jnp.where(touch_usd > 0, touch_usd, trade_usd)
    # A taker who meets several orders leaves a print for each, in one message.
    goes_on = (event.dt_s == 0) & (state.since_print_s == 0)
    swept = share + jnp.where(goes_on, state.swept, 0.0)
    told = event.context.is_valid & (event.context.open_interest_usd > 0)
    interest = jnp.where(told, event.context.open_interest_usd, state.interest_usd)
    both = told & state.has_interest & (event.shift_bp == 0)
    ratio = jnp.where(both, interest / jnp.where(both, state.interest_usd, 1.0), 1.0)
    return State(
        recency=state.recency * keep,
        taken_usd=state.taken_usd * keep + usd,
        sizes=state.sizes * keep + counted,
        swept=jnp.where(hit, swept, state.swept),
        since_print_s=jnp.where(hit, 0.0, state.since_print_s + event.dt_s),
        interest_usd=interest,
        has_interest=state.has_interest | told,
        interest_change=state.interest_change * keep + jnp.log(ratio),
    )


def _standardised(
    params: Params,
    state: State,
    event: Event,
    seen: Features,
    unit_bp: Float[Array, ""],
    trade_usd: Float[Array, ""],
) -> tuple[Float[Array, "side kinds"], Bool[Array, "side kinds"]]:
    """Features of a taker on each side, and which of them are known."""
    sign = jnp.asarray(SIDE_SIGN, unit_bp.dtype)
    two, yes = jnp.ones_like(sign), jnp.ones_like(sign, dtype=bool)
    is_fill, is_many = event.fill.usd > 0, state.sizes[:, 0] > 1
    count = jnp.where(is_many, state.sizes[:, 0], 1.0)
    mean = state.sizes[:, 1] / count
    variance = jnp.where(is_many, jnp.maximum(state.sizes[:, 2] / count - mean**2, 0.0), 0.0)
    taken = state.taken_usd
    lead_bp = seen.z[LEAD] - seen.fair_bp
    found = {
        "size": (jnp.log(jnp.where(is_fill, event.fill.usd / trade_usd, 1.0)), is_fill),
        "recency": (state.recency, yes),
        "reference": (sign * lead_bp / unit_bp, yes & event.reference.is_valid),
        "interest": (two * state.interest_change, yes & state.has_interest),
        "one_sided": (sign * (taken[ASK] - taken[BID]) / (jnp.sum(taken) + trade_usd), yes),
        "dispersion": (jnp.log1p(variance), is_many),
        "sweep": (jnp.log1p(state.swept), state.since_print_s < params.match_s),
    }
    raw = jnp.stack([found[name][0] for name in FEATURES], axis=1)
    is_known = jnp.stack([found[name][1] for name in FEATURES], axis=1)
    z = (raw - params.centre[None, :]) / params.spread[None, :]
    return jnp.where(is_known, z, 0.0), is_known
