"""Orders written down beforehand on a recorded market, so that another rule can be given them too.

At most one order a side is alive at a time, so a fill says by its time and side whose it is. What
is placed or cancelled at a row is sent when that row is known. Source: ours.
"""

import dataclasses
import functools as ft
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32

from diffmm.core import Stage, where
from diffmm.evaluation.fill_match import Fills
from diffmm.execution import Targets
from diffmm.market import Event, Kind, Tape

from . import hard_fills
from .resting import Params


MS_PER_S = 1_000.0


@dataclasses.dataclass(frozen=True)
class Config:
    """When orders are sent, and how long each stands.

    **Attributes:**

    - `every_s`: from one order of a side to the next.
    - `life_s`: from sending an order to sending its cancel.
    - `start_s`: before the first order.
    """

    every_s: float = 5.0
    life_s: float = 4.0
    start_s: float = 5.0


@dataclasses.dataclass(frozen=True)
class Script:
    """Orders of one lot that join the touch, in order of sending.

    **Attributes:**

    - `row`, `cancel_row`: rows after which order and cancel are sent.
    - `sent_ms`, `cancel_ms`: the time of those rows, since the tape's first row.
    - `side`: 0 for a bid.
    - `ticks`: price from the anchor in force at `row`, and `price` in the instrument's units.
    """

    row: np.ndarray
    cancel_row: np.ndarray
    sent_ms: np.ndarray
    cancel_ms: np.ndarray
    side: np.ndarray
    ticks: np.ndarray
    price: np.ndarray

    def __len__(self) -> int:
        return len(self.row)


class Sent(eqx.Module):
    """What is sent when a row is known, by side; neither means that nothing changes."""

    places: Bool[Array, "side"]
    cancels: Bool[Array, "side"]
    ticks: Int32[Array, "side"]


def times_ms(tape: Tape) -> np.ndarray:
    """Time of each row since the first, whole milliseconds as the venue stamps them."""
    dt_s = np.asarray(tape.events().dt_s, np.float64)
    return np.round(np.cumsum(dt_s) * MS_PER_S - dt_s[0] * MS_PER_S).astype(np.int64)


def prices(tape: Tape, row: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """Prices in the instrument's units of ticks counted from the anchor in force at a row."""
    at, anchor, tick = (np.array(x) for x in zip(*tape.anchors, strict=True))
    newest = np.searchsorted(at, row, side="right") - 1
    return anchor[newest] + ticks * tick[newest]


def join_the_touch(tape: Tape, latency_ms: float, config: Config) -> Script:
    """Both sides join the touch at fixed times, for a fixed life.

    Raises:
        ValueError: when two orders of a side could be alive at once, or a cancel be first.
    """
    if config.life_s * MS_PER_S <= latency_ms:
        raise ValueError(
            f"a life of {config.life_s} s ends before the order arrives, {latency_ms} ms after it "
            "was sent; give a longer one"
        )
    if config.life_s + 2 * latency_ms / MS_PER_S >= config.every_s:
        raise ValueError(
            f"a life of {config.life_s} s and two latencies of {latency_ms} ms do not end within "
            f"{config.every_s} s; a fill would not say which order it was"
        )
    events, now = tape.events(), times_ms(tape)
    last_s = now[-1] / MS_PER_S - config.life_s
    due = np.arange(config.start_s, last_s, config.every_s) * MS_PER_S
    row = np.searchsorted(now, due)
    cancel = np.searchsorted(now, now[row] + config.life_s * MS_PER_S)
    ticks, valid = np.asarray(events.book.ticks[:, :, 0]), np.asarray(events.book.is_valid[:, :, 0])
    kind = np.asarray(events.kind)
    moves = np.cumsum(kind == int(Kind.ANCHOR))
    # An order whose anchor moves would need its price told twice.
    ok = valid[row].all(axis=1) & (ticks[row, 0] < ticks[row, 1]) & (moves[row] == moves[cancel])
    # Rows may come late: an order waits for the cancel of the one before it.
    ok[1:] &= now[row[1:]] > now[cancel[:-1]] + latency_ms
    row, cancel = np.repeat(row[ok], 2), np.repeat(cancel[ok], 2)
    side = np.tile([0, 1], ok.sum())
    at = ticks[row, side]
    return Script(row, cancel, now[row], now[cancel], side, at, prices(tape, row, at))


def sent(script: Script, rows: int) -> Sent:
    """The script row by row."""
    places, cancels = np.zeros((2, rows, 2), bool)
    ticks = np.zeros((rows, 2), np.int32)
    places[script.row, script.side] = True
    cancels[script.cancel_row, script.side] = True
    ticks[script.row, script.side] = script.ticks
    return Sent(places, cancels, ticks)


def update(
    params: Params, state: hard_fills.State, inputs: tuple[Event, Sent], *, config: Any
) -> tuple[hard_fills.State, hard_fills.Filled]:
    """One row and what is sent after it: what it filled."""
    event, order = inputs
    state, (_, filled) = hard_fills.update(params, state, event, config=config)
    targets = Targets(
        ticks=order.ticks[:, None],
        lots=order.places[:, None].astype(order.ticks.dtype),
        keep=~(order.places | order.cancels)[:, None],
        gamma_usd=jnp.zeros_like(event.dt_s),
        is_valid=event.is_valid,
        health=jnp.zeros((), jnp.uint32),
    )
    acts = jnp.any(order.places | order.cancels)
    return where(acts, hard_fills.act(state, targets, event), state), filled


def fills(tape: Tape, script: Script, filled: hard_fills.Filled) -> Fills:
    """The rows' fills as those of the script's orders.

    Args:
        tape: what the orders stood on.
        script: the orders.
        filled: what `stage` said of every row, stacked.
    """
    lots, lots_ticks = np.asarray(filled.lots), np.asarray(filled.lots_ticks)
    row, side = np.nonzero(lots)
    size = lots[row, side]
    price, now = prices(tape, row, lots_ticks[row, side] // size), times_ms(tape)
    order = np.zeros_like(row)
    for one in (0, 1):
        of, here = np.flatnonzero(script.side == one), side == one
        order[here] = of[np.searchsorted(script.row[of], row[here]) - 1]
    return Fills(order, now[row], side, price, size)


@ft.cache
def stage(fill_on_touch: bool) -> Stage:
    """The rule with one slot a side."""
    config = hard_fills.Config(slots=1, fill_on_touch=fill_on_touch)
    return Stage(ft.partial(hard_fills.init, config=config), ft.partial(update, config=config))
