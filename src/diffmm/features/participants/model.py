"""Who quotes here: classes of events on the book, what each displays, and when it quotes again.

One event: compare the book with the last one, explain decreases by prints, give every change to the
classes that it looks like, learn from it, move what each class owns, and measure each against its
own normal. Two observations follow, both of zero information until evidence gives them precision:

    withdrawal = sum_k c_k max(normal_k - now_k, 0) / sum_k c_k normal_k      of informed_logit
    widening   = sum_k c_k normal_k log(spread_k / usual_k) / sum_k c_k normal_k    of log sigma

with `c_k` the confidence in a class. Withdrawal also tilts the modes towards the crisis. Only
anonymous books exist, so a class is a manner of quoting, not an account. Source: part 4 of the
reference; tests recover planted makers.
"""

import dataclasses
import functools as ft

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import numerics, Stage, where
from diffmm.market import Event, SIDE_SIGN

from . import attribution, cycles, mixture, response, standing, statistics, summary
from .changes import Changes, changes, Levels
from .marks import marks
from .records import Config, Params, Participants, State


MOST_CLASSES = 8
"""As many as have a prior size in `statistics.Params.size_offset`."""


def init(params: Params, *, config: Config) -> State:
    """Nothing seen."""
    one = jnp.ones_like(params.similar)
    zero, n, k = 0 * one, config.levels, config.classes
    none = jnp.zeros((2, n), one.dtype)
    turned = jnp.zeros_like(params.mixture.period_s)
    each = jnp.zeros((k,), one.dtype)
    return State(
        book=Levels(none, none, jnp.zeros((2, n), bool)),
        mid_bp=zero,
        has_seen=jnp.array(False),
        log_scale=zero,
        cosine=turned + 1,
        sine=turned,
        touch_s=params.answer_s,
        quoted_s=each + params.mixture.interval_s,
        classes=statistics.prior(params.mixture, zero, k, config.bins),
        waiting=attribution.init(one, k),
        response=response.init(one, k, len(config.horizons_s)),
        standing=standing.init(one, k, n),
        direction=each,
        markout_bp=each,
        events=each,
    )


def update(
    params: Params, state: State, event: Event, *, config: Config
) -> tuple[State, Participants]:
    """Fold one event."""
    now = _levels(event)
    has_book = jnp.all(now.is_valid[:, 0]) & (now.ticks[0, 0] < now.ticks[1, 0])
    timed = _passed(params, _started(params, state, now, has_book, config), event, config)
    found = changes(timed.book, where(has_book, now, timed.book))
    sign = jnp.asarray(SIDE_SIGN, now.usd.dtype)
    waiting, traded = attribution.on_book(params.attribution, timed.waiting, found, sign)
    seen = marks(
        params.similar,
        found,
        traded,
        timed.standing.owned_usd,
        timed,
        config.bins,
        params.answer_s,
        params.mixture.resolution_s,
    )
    shares = _shares(params, timed, found, seen)
    quotes = jnp.minimum(jnp.sum(shares.quotes(seen), axis=0), 1)
    by_row = shares.both.T.reshape(config.classes, *found.usd.shape)
    new = _learnt(params, timed, found, seen, shares, by_row, quotes)
    waiting = attribution.remember(waiting, found, traded, by_row, sign)
    waiting, turned = attribution.on_print(params.attribution, waiting, event)
    new = dataclasses.replace(new, waiting=waiting, classes=_recount(new.classes, turned))
    mid = jnp.where(has_book, (event.book.price_bp[0, 0] + event.book.price_bp[1, 0]) / 2, 0)
    new = _marked_out(params, new, mid, has_book)
    owned = standing.moved(timed.standing, found, where(has_book, now, timed.book), by_row)
    distance = jnp.where(has_book, jnp.abs(event.book.price_bp - mid), 0)
    owned, stands = standing.observed(
        params.standing, owned, distance, jnp.where(has_book, event.dt_s, 0)
    )
    new = dataclasses.replace(
        new,
        standing=owned,
        book=where(has_book, now, timed.book),
        has_seen=timed.has_seen | has_book,
    )
    new = where(event.is_valid, new, state)
    said = summary.said(params, new, found, traded, by_row, quotes, stands, event, config)
    return new, said


def _levels(event: Event) -> Levels:
    book = event.book
    return Levels(book.ticks.astype(book.usd.dtype), book.usd, book.is_valid)


def _started(
    params: Params, state: State, now: Levels, has_book: Bool[Array, ""], config: Config
) -> State:
    """The first book gives sizes their scale."""
    valid = now.is_valid & (now.usd > 0)
    logs = jnp.where(valid, numerics.safe_log(now.usd), 0)
    log_scale = jnp.sum(logs) / jnp.maximum(jnp.sum(valid.astype(logs.dtype)), 1)
    classes = statistics.prior(params.mixture, log_scale, config.classes, config.bins)
    first = dataclasses.replace(state, log_scale=log_scale, classes=classes)
    return where(state.has_seen | ~has_book, state, first)


def _passed(params: Params, state: State, event: Event, config: Config) -> State:
    """Everything that time alone does, and the move of the anchor."""
    dt_s = event.dt_s
    mix = params.mixture
    half_cos, half_sin = _turned(state.cosine, state.sine, dt_s / 2, mix.period_s)
    belief = cycles.period_weights(mix, state.classes)
    along = lambda x: jnp.sum(belief * x[None, :], axis=1)
    to = statistics.prior(mix, state.log_scale, config.classes, config.bins)
    keep = jnp.exp(-dt_s / mix.memory_s)
    cosine, sine = _turned(state.cosine, state.sine, dt_s, mix.period_s)
    shift = event.shift_ticks.astype(dt_s.dtype)
    # With another tick size the old prices cannot be compared.
    kept = (event.shift_bp == 0) | (event.shift_ticks != 0)
    fade = jnp.exp(-dt_s / params.markout_s)
    return dataclasses.replace(
        state,
        book=Levels(state.book.ticks + shift, state.book.usd, state.book.is_valid & kept),
        mid_bp=state.mid_bp + event.shift_bp,
        cosine=cosine,
        sine=sine,
        touch_s=state.touch_s + dt_s,
        quoted_s=state.quoted_s + dt_s,
        classes=statistics.forget(state.classes, to, keep),
        waiting=attribution.passed(state.waiting, dt_s, shift),
        response=response.passed(
            params.response,
            state.response,
            along(half_cos),
            along(half_sin),
            jnp.asarray(config.horizons_s, dt_s.dtype),
            dt_s,
        ),
        direction=state.direction * fade,
        markout_bp=state.markout_bp * keep,
        events=state.events * keep,
    )


def _turned(
    cosine: Float[Array, " periods"],
    sine: Float[Array, " periods"],
    dt_s: Float[Array, ""],
    period_s: Float[Array, " periods"],
) -> tuple[Float[Array, " periods"], Float[Array, " periods"]]:
    """Phases some time later, on the circle again: rounding does not grow."""
    angle = cycles.TAU * dt_s / period_s
    c, s = jnp.cos(angle), jnp.sin(angle)
    x, y = cosine * c - sine * s, sine * c + cosine * s
    length = jnp.sqrt(x**2 + y**2)
    return x / length, y / length


def _shares(params: Params, state: State, found: Changes, seen: statistics.Marks) -> mixture.Shares:
    """Responsibilities of every row; the prior where there is no event."""
    share = mixture.log_share(params.mixture, state.classes)
    prior = standing.log_prior(
        params.standing, state.standing, found, state.book, share, seen.has_order
    )
    like = mixture.log_likelihood(params.mixture, state.classes, seen)
    is_event = found.is_event.reshape(-1, 1)
    evidence = mixture.Log(*(jnp.where(is_event, x, 0) for x in like))
    return mixture.responsibilities(prior, evidence)


def _learnt(
    params: Params,
    state: State,
    found: Changes,
    seen: statistics.Marks,
    shares: mixture.Shares,
    by_row: Float[Array, "classes side rows"],
    quotes: Float[Array, " classes"],
) -> State:
    """Statistics, cycles and answers with this row in them."""
    levels = state.book.usd.shape[1]
    at_touch = found.is_event & (found.distance == 0)
    moved = jnp.any(at_touch[:, :levels] & (found.usd[:, :levels] == -state.book.usd))
    moved = moved | jnp.any(at_touch[:, levels:])
    tilt = jnp.asarray(SIDE_SIGN, quotes.dtype)[:, None] * -jnp.sign(found.usd)
    weight = seen.weight.reshape(found.usd.shape)
    signed = jnp.sum(by_row * (tilt * weight)[None], axis=(1, 2))
    return dataclasses.replace(
        state,
        classes=mixture.learn(params.mixture, state.classes, seen, shares),
        response=response.quoted(state.response, quotes, moved.astype(quotes.dtype)),
        touch_s=jnp.where(moved, 0, state.touch_s),
        quoted_s=state.quoted_s * (1 - quotes),
        direction=state.direction + signed,
        events=state.events + jnp.sum(shares.both * seen.weight[:, None], axis=0),
    )


def _recount(classes: statistics.Classes, turned: Float[Array, " classes"]) -> statistics.Classes:
    """Decreases counted as cancels that a later print explains are none."""
    kind = classes.kind
    less = jnp.minimum(turned, kind[:, statistics.CANCEL] / 2)
    return dataclasses.replace(classes, kind=kind.at[:, statistics.CANCEL].add(-less))


def _marked_out(
    params: Params, state: State, mid: Float[Array, ""], has_book: Bool[Array, ""]
) -> State:
    """What the mid did since the last book, for those who acted before."""
    move = jnp.where(has_book & state.has_seen, mid - state.mid_bp, 0)
    return dataclasses.replace(
        state,
        mid_bp=jnp.where(has_book, mid, state.mid_bp),
        markout_bp=state.markout_bp + state.direction * move,
    )


def build(config: Config) -> Stage[Params, State, Event, Participants]:
    """Bind the static sizes.

    Raises:
        ValueError: for a number of classes that has no prior sizes.
    """
    if not 2 <= config.classes <= MOST_CLASSES:
        raise ValueError(f"classes {config.classes}, expected 2 to {MOST_CLASSES}; choose another")
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
