"""What is said after an event: each class, and how far the confident ones have withdrawn."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.market import Event

from . import cycles, mixture, response, standing
from .changes import Changes
from .records import Config, Params, Participants, State


def said(
    params: Params,
    state: State,
    found: Changes,
    traded: Float[Array, "side rows"],
    by_row: Float[Array, "classes side rows"],
    quotes: Float[Array, " classes"],
    stands: standing.Standing,
    event: Event,
    config: Config,
) -> Participants:
    """The output of one event.

    Args:
        params: of the stage.
        state: after the event.
        found: changes of the book.
        traded: of them, what prints explain.
        by_row: whose they are.
        quotes: of each class in this event.
        stands: what each class displays.
        event: the event.
        config: static sizes.
    """
    mix, classes = params.mixture, state.classes
    belief = cycles.period_weights(mix, classes)
    share = jnp.exp(mixture.log_share(mix, classes))
    n = classes.size.n - mix.size_count
    sure = mixture.certainty(classes)
    stability = sure * n / (n + params.confident_count)
    usual = stability * stands.normal_usd
    whole = jnp.sum(usual)
    total = jnp.where(whole > 0, whole, 1)
    missing = jnp.maximum(stands.normal_usd - jnp.sum(stands.depth_usd, axis=1), 0)
    withdrawal = jnp.sum(stability * missing) / total
    has_spread = (stands.spread_bp > 0) & (stands.normal_bp > 0)
    ratio = jnp.where(has_spread, stands.spread_bp, 1) / jnp.where(has_spread, stands.normal_bp, 1)
    widening = jnp.sum(usual * jnp.log(ratio)) / total
    along = lambda x: jnp.sum(belief * x[None, :], axis=1)
    ahead = response.expected(
        params.response,
        state.response,
        along(state.cosine),
        along(state.sine),
        jnp.asarray(config.horizons_s, belief.dtype),
    )
    told = jnp.where(event.is_valid & (whole > 0), event.dt_s, 0)
    is_event = found.is_event & event.is_valid
    kinds = classes.kind / jnp.sum(classes.kind, axis=1)[:, None]
    return Participants(
        change_usd=jnp.where(is_event, found.usd, 0),
        traded_usd=jnp.where(is_event, traded, 0),
        responsibility=by_row,
        quotes=jnp.where(event.is_valid, quotes, 0),
        size_usd=jnp.exp(classes.size.mean),
        size_sd=jnp.sqrt(classes.size.var),
        share=share,
        stability=stability,
        period_weight=belief,
        rayleigh=cycles.rayleigh(classes),
        phase=cycles.phase(mix, classes, state.cosine, state.sine),
        kind=kinds,
        latency_s=jnp.exp(classes.latency.mean),
        standing=stands,
        toxicity_bp=state.markout_bp / (state.events + params.markout_count),
        expected_quotes=ahead,
        withdrawal=withdrawal,
        widening=widening,
        crisis_tilt=params.crisis_gain * withdrawal,
        z=jnp.stack(
            [
                params.withdrawal_base + params.withdrawal_gain * withdrawal,
                params.widening_gain * widening,
            ]
        ),
        precision=told * jnp.stack([params.withdrawal_precision, params.widening_precision]),
    )
