"""Which decreases of the book were trades: each print explains as much of one as it can, once.

A print may come before the book that shows it or after (about 45 ms after the touch it moved), so
both wait for each other. Their match fades with the time between them, `sigmoid((w - dt) / T)`: the
hard rule is its limit `T -> 0`. Never is more explained than was traded, nor than is gone.
Source: ours, tests of both orders, of the limit and of conservation.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE, small
from diffmm.market import Event

from .changes import Changes


WAITING = 8
"""Prints, and decreases, that wait for each other; the oldest leave."""


class Params(eqx.Module):
    """Time between a print and the book that shows it.

    **Attributes:**

    - `window_s`: within which they are the same.
    - `softness_s`: temperature of that.
    """

    window_s: Float[Array, ""] = param(POSITIVE, 0.3, unit="s", trainable=False)
    softness_s: Float[Array, ""] = param(POSITIVE, 0.05, unit="s", trainable=False)


class Waiting(eqx.Module):
    """Prints not yet seen on the book, or decreases without a print.

    **Attributes:**

    - `ticks`, `sign`: price and side of the book, -1 for bids.
    - `usd`: what is left of it, 0 in an empty place.
    - `wait_s`: since when.
    """

    ticks: Float[Array, " waiting"]
    sign: Float[Array, " waiting"]
    usd: Float[Array, " waiting"]
    wait_s: Float[Array, " waiting"]


class State(eqx.Module):
    """Both queues; `shares` are the classes that a waiting decrease was counted for."""

    prints: Waiting
    falls: Waiting
    shares: Float[Array, "waiting classes"]


def init(one: Float[Array, ""], classes: int) -> State:
    """Nothing waits."""
    zero = jnp.zeros((WAITING,), one.dtype)
    none = Waiting(zero, zero, zero, zero)
    return State(none, none, jnp.zeros((WAITING, classes), one.dtype))


def passed(state: State, dt_s: Float[Array, ""], shift_ticks: Float[Array, ""]) -> State:
    """The same after some time, about the anchor now in force."""
    older = lambda x: Waiting(x.ticks + shift_ticks, x.sign, x.usd, x.wait_s + dt_s)
    return State(older(state.prints), older(state.falls), state.shares)


def match(params: Params, wait_s: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Share of a match that counts after some time."""
    return jax.nn.sigmoid((params.window_s - wait_s) / params.softness_s)


def on_book(
    params: Params, state: State, found: Changes, sign: Float[Array, "side"]
) -> tuple[State, Float[Array, "side rows"]]:
    """Explain the decreases of a new book by the prints that wait.

    Returns:
        The state without what was used, and how much of each row traded, in USD.
    """
    prints = state.prints
    fell = jnp.where(found.is_event, jnp.maximum(-found.usd, 0), 0)
    at = found.ticks[:, :, None] == prints.ticks[None, None, :]
    at = at & (sign[:, None, None] == prints.sign[None, None, :])
    whole = jnp.where(at, prints.usd[None, None, :], 0)
    ready = whole * match(params, prints.wait_s)[None, None, :]
    traded = jnp.minimum(fell, jnp.sum(ready, axis=2))
    # In proportion to the prints' own sizes: a faded match would divide by next to nothing.
    there = jnp.sum(whole, axis=2)
    share = traded / jnp.where(there > 0, there, 1)
    used = jnp.sum(whole * share[:, :, None], axis=(0, 1))
    left = Waiting(prints.ticks, prints.sign, jnp.maximum(prints.usd - used, 0), prints.wait_s)
    return State(left, state.falls, state.shares), traded


def remember(
    state: State,
    found: Changes,
    traded: Float[Array, "side rows"],
    shares: Float[Array, "classes side rows"],
    sign: Float[Array, "side"],
) -> State:
    """Let the largest unexplained decrease of each side wait for its print."""
    falls, kept = state.falls, state.shares
    unexplained = jnp.maximum(-found.usd - traded, 0)
    for side in range(2):
        # The touch is where prints are; of one book the largest decrease there is the likely one.
        near = found.is_event[side] & (found.distance[side] <= 1)
        size = jnp.where(near, unexplained[side], 0)
        row = jnp.argmax(size)
        is_new = size[row] > 0
        add = lambda x, y, is_new=is_new: jnp.where(is_new, _push(x, y), x)
        falls = Waiting(
            add(falls.ticks, found.ticks[side, row]),
            add(falls.sign, sign[side]),
            add(falls.usd, size[row]),
            add(falls.wait_s, jnp.zeros_like(size[row])),
        )
        kept = jnp.where(is_new, jnp.concatenate([shares[:, side, row][None, :], kept[:-1]]), kept)
    return State(state.prints, falls, kept)


def on_print(params: Params, state: State, event: Event) -> tuple[State, Float[Array, " classes"]]:
    """Let a print explain the decreases that wait for one; what is left of it waits itself.

    Returns:
        The state, and how many events of each class turn out to have been trades.
    """
    trade, falls = event.trade, state.falls
    ticks = trade.ticks.astype(falls.ticks.dtype)
    at = (falls.ticks == ticks) & (falls.sign == trade.sign)
    ready = jnp.where(at, falls.usd * match(params, falls.wait_s), 0)
    # The newest first: what the print still has after those before.
    before = small.running(ready, 0) - ready
    used = jnp.clip(trade.usd - before, 0, ready)
    share = used / jnp.where(falls.usd > 0, falls.usd, 1)
    turned = jnp.sum(share[:, None] * state.shares, axis=0)
    left = trade.usd - jnp.sum(used)
    falls = Waiting(falls.ticks, falls.sign, falls.usd - used, falls.wait_s)
    is_print = trade.usd > 0
    add = lambda x, y: jnp.where(is_print, _push(x, y), x)
    prints = Waiting(
        add(state.prints.ticks, ticks),
        add(state.prints.sign, trade.sign),
        add(state.prints.usd, jnp.maximum(left, 0)),
        add(state.prints.wait_s, jnp.zeros_like(left)),
    )
    keep = state.shares * (1 - share)[:, None]
    return State(prints, falls, keep), turned


def _push(x: Float[Array, " n"], new: Float[Array, ""]) -> Float[Array, " n"]:
    return jnp.concatenate([new[None], x[:-1]])
