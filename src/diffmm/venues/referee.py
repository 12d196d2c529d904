"""hftbacktest as a referee: the same messages and the same orders, its exchange and its queue.

It reads every level as messages change it, keeps no rule of ours, and fills whole orders: when the
opposite best reaches the price, when a print goes through it, and when prints at it exceed what
stood in front (risk-averse: only prints and a smaller display move the queue).
"""

import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from diffmm.evaluation.fill_match import Fills
from diffmm.market import HostBook, Instrument
from diffmm.market.messages import BookMessage, TouchMessage, TradesMessage
from diffmm.simulation.scripted import Script

from .hyperliquid.codec import Codec
from .lines import split


EXTRA = "referee"
NS_PER_MS = 1_000_000
HALF_MS_NS = 500_000
"""Stamps are whole milliseconds; an order comes before the market of its one, as with ours."""


class RefereeError(ValueError):
    """The referee cannot judge; the message says what is missing."""


def load() -> tuple[Any, Any]:
    """The packages `hftbacktest` and `numba`.

    Raises:
        RefereeError: when one is not installed.
    """
    try:
        return importlib.import_module("hftbacktest"), importlib.import_module("numba")
    except ImportError as error:
        raise RefereeError(
            f"found no {error.name}, which judges the fills; install diffmm[{EXTRA}]"
        ) from None


def events(lines: Iterable[str], instrument: Instrument, hft: Any) -> np.ndarray:
    """Its event array: every level that a message changes, and every print.

    Prices are in the instrument's units and sizes in lots, whole numbers that floats hold.

    Args:
        lines: on the exchange's clock, stamps in order.
        instrument: what to read.
        hft: the package.
    """
    codec, book = Codec({instrument.coin: instrument}), HostBook()
    known: tuple[dict[int, int], dict[int, int]] = ({}, {})
    both = hft.EXCH_EVENT | hft.LOCAL_EVENT
    side_flag = (hft.BUY_EVENT, hft.SELL_EVENT)
    out: list[tuple[int, int, float, float]] = []
    seen: set[tuple[int, int]] = set()
    for line in lines:
        stamp, frame = split(line)
        for message in codec.decode(frame):
            if isinstance(message, TradesMessage):
                for one in message.prints:
                    if (one.exchange_ms, one.tid) not in seen:
                        seen.add((one.exchange_ms, one.tid))
                        flag = side_flag[0 if one.sign > 0 else 1]
                        out.append((both | hft.TRADE_EVENT | flag, stamp, one.price, one.size))
                continue
            if not _apply(book, message):
                continue
            for side, levels in enumerate(book.sides):
                now = {price: size for price, size, _ in levels}
                flag, old = both | hft.DEPTH_EVENT | side_flag[side], known[side]
                # What is gone goes first: no book is crossed in between.
                out += [(flag, stamp, price, 0.0) for price in old if price not in now]
                out += [(flag, stamp, p, s) for p, s in now.items() if old.get(p) != s]
                known[side].clear()
                known[side].update(now)
    # A table of named columns, whose type is known only where the package is.
    table: Any = np.zeros(len(out), hft.binding.event_dtype)
    table["ev"], table["exch_ts"], table["px"], table["qty"] = zip(*out, strict=True)
    table["local_ts"] = table["exch_ts"]
    return table


def _apply(book: HostBook, message: Any) -> bool:
    if isinstance(message, BookMessage):
        sides = (list(message.bids), list(message.asks))
        return book.snapshot(*sides, message.exchange_ms, message.depth)
    if isinstance(message, TouchMessage):
        return book.touch(message.bid, message.ask, message.exchange_ms)
    return False


def fills(
    table: np.ndarray, script: Script, start_ns: int, tick: int, latency_ms: float
) -> tuple[Fills, np.ndarray]:
    """What the referee fills of the script, and which orders it refused as crossing.

    Args:
        table: from `events`.
        script: the orders.
        start_ns: time of the tape's first row.
        tick: price step in the instrument's units.
        latency_ms: of an order and of a cancel, one way.

    Raises:
        RefereeError: when the packages are missing.
    """
    hft, numba = load()
    latency_ns = round(latency_ms * NS_PER_MS)
    asset = (
        hft.BacktestAsset()
        .data([table])
        .linear_asset(1.0)
        # It cancels only what was confirmed, so a confirmation takes no time.
        .constant_order_latency(latency_ns - HALF_MS_NS, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(float(tick))
        .lot_size(1.0)
    )
    back = hft.HashMapMarketDepthBacktest([asset])
    n = len(script)
    acts = np.concatenate([script.sent_ms, script.cancel_ms]) * NS_PER_MS + start_ns
    # A cancel goes before an order of the same moment.
    order = np.lexsort((np.repeat([1, 0], n), acts))
    out = np.zeros((n, 2), np.int64)
    numba.njit(_drive)(back, acts[order], order, script.side, script.price.astype(np.float64), out)
    back.close()
    status, when_ms = out[:, 0], (out[:, 1] - start_ns) // NS_PER_MS
    filled = np.flatnonzero(status == hft.FILLED)
    filled = filled[np.argsort(when_ms[filled], kind="stable")]
    told = Fills(
        filled,
        when_ms[filled],
        script.side[filled],
        script.price[filled],
        np.ones(len(filled), np.int64),
    )
    return told, np.flatnonzero(status == hft.EXPIRED)


def _drive(back, acts, order, side, price, out):
    """Send everything at its time; compiled by the referee's own compiler."""
    n = len(side)
    back.elapse(0)  # Its clock starts with the first event, and only now.
    for k in range(len(acts)):
        wait = acts[k] - back.current_timestamp
        if wait > 0 and back.elapse(wait) != 0:
            break
        one = order[k] % n
        if order[k] < n:
            # Post-only (1), limit (0), without waiting.
            if side[one] == 0:
                back.submit_buy_order(0, one, price[one], 1.0, 1, 0, False)
            else:
                back.submit_sell_order(0, one, price[one], 1.0, 1, 0, False)
        else:
            found = back.orders(0).get(one)
            if found is not None and found.cancellable:
                back.cancel(0, one, False)
    back.elapse(1_000_000_000)
    values = back.orders(0).values()
    while values.has_next():
        one = values.get()
        out[one.order_id, 0] = one.status
        out[one.order_id, 1] = one.exch_timestamp
