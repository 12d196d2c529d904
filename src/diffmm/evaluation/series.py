"""A tape's rows as exact prices and times, and the fills of a run on it."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from diffmm.market import ASK, BID, Event, Kind, Tape

from .ledger import Ledger
from .markouts import Markouts


NS = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Series:
    """What every row says in integers; prices in the instrument's units.

    **Attributes:**

    - `time_ns`: receive time since the first row, gaps that were not bridged left out.
    - `anchor`, `tick`: in force at the row.
    - `bid`, `ask`: touch; meaningless where `has_book` is false.
    - `has_book`: two-sided and not crossed.
    - `lot_usd`: notional of a size unit at the first anchor.
    - `settlements`: `(time_ns, rate)` of each funding settlement that the tape passes.
    """

    time_ns: np.ndarray
    anchor: np.ndarray
    tick: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    has_book: np.ndarray
    lot_usd: float
    settlements: tuple[tuple[int, str], ...]


class Fill(NamedTuple):
    """Our fills in one row on one side: `value` is the sum of price times size."""

    row: int
    side: int
    value: int
    size: int


def series(tape: Tape) -> Series:
    """Vectorised over the rows of a tape."""
    event = tape.events()
    time_ns = np.cumsum(np.rint(np.asarray(event.dt_s, np.float64) * NS).astype(np.int64))
    moved = np.array(tape.anchors, np.int64)
    in_force = np.searchsorted(moved[:, 0], np.arange(len(tape.rows)), side="right") - 1
    anchor, tick = moved[in_force, 1], moved[in_force, 2]
    touch = np.asarray(event.book.ticks[:, :, 0], np.int64)
    bid, ask = (anchor + touch[:, side] * tick for side in (BID, ASK))
    has_book = np.asarray(event.book.is_valid[:, :, 0]).all(axis=1) & (bid < ask)
    return Series(
        time_ns,
        anchor,
        tick,
        bid,
        ask,
        has_book,
        float(event.rules.lot_usd[0]),
        tuple(_settlements(time_ns, event)),
    )


def fills(
    prices: Series, index: np.ndarray, lots: npt.ArrayLike, lots_ticks: npt.ArrayLike
) -> list[Fill]:
    """Fills of a run in order of rows.

    Args:
        prices: of the tape.
        index: row numbers `[frames, E]`.
        lots: `[frames, E, side]`, zero on padding.
        lots_ticks: the same times ticks from the anchor.
    """
    lots, lots_ticks = np.asarray(lots), np.asarray(lots_ticks)
    frame, slot, side = np.nonzero(lots)
    row = index[frame, slot]
    size = lots[frame, slot, side].astype(np.int64)
    ticks = lots_ticks[frame, slot, side].astype(np.int64)
    value = prices.anchor[row] * size + prices.tick[row] * ticks
    columns = (row, side, value, size)
    return [Fill(*map(int, one)) for one in zip(*columns, strict=True)]


def score(prices: Series, ours: list[Fill], rows: int, ledger: Ledger, markouts: Markouts) -> None:
    """Stream the first `rows` rows and our fills through a ledger and markouts.

    A fill comes before the mid of its own row, so a touch that moved through us counts as adverse.
    """
    booked = np.flatnonzero(prices.has_book)
    moved = booked[np.diff((prices.bid + prices.ask)[booked], prepend=-1) != 0]
    by_row: dict[int, list[Fill]] = {}
    for fill in ours:
        by_row.setdefault(fill.row, []).append(fill)
    due = iter([*prices.settlements, (None, "0")])
    at_ns, rate = next(due)
    for row in np.union1d(moved, np.array(list(by_row), np.int64)):
        now = int(prices.time_ns[row])
        if row >= rows:
            break
        while at_ns is not None and at_ns <= now:
            ledger.on_funding(rate)
            at_ns, rate = next(due)
        for fill in by_row.get(int(row), ()):
            ledger.on_fills(now, fill.side, fill.value, fill.size)
            markouts.on_fills(now, fill.side, fill.value, fill.size)
        if prices.has_book[row]:
            ledger.on_mid(now, int(prices.bid[row]), int(prices.ask[row]))
            markouts.on_mid(now, int(prices.bid[row]), int(prices.ask[row]))
    end = int(prices.time_ns[rows - 1])
    while at_ns is not None and at_ns <= end:
        ledger.on_funding(rate)
        at_ns, rate = next(due)
    markouts.advance(end + 1)


def _settlements(time_ns: np.ndarray, event: Event) -> Iterator[tuple[int, str]]:
    """A context row promises a settlement; it happens unless a newer row came before it."""
    rows = np.flatnonzero(np.asarray(event.kind) == int(Kind.CONTEXT))
    left_s = np.asarray(event.context.settlement_s, np.float64)
    until = np.append(time_ns[rows], time_ns[-1])[1:]
    for row, end in zip(rows, until, strict=True):
        at = int(time_ns[row]) + round(left_s[row] * NS)
        if at <= end:
            yield at, str(event.context.funding_rate_1h[row])
