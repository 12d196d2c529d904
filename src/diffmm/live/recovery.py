"""What a run knew, folded from its journal: books, orders that are not over, the last nonce.

A crash and a clean end are recovered the same way. Every order that is not known to be over is of
unknown fate afterwards, and the reconciliation with the venue decides. A new segment begins with
the whole state, so that only the newest segment that has one is read.
"""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

import msgspec

from diffmm.market import Instrument, own
from diffmm.market.reports import FillReport, FundingReport

from . import journal
from .blotter import Blotter, Order, State
from .books import Balance, Books


@dataclasses.dataclass
class Known:
    """What must survive a run.

    **Attributes:**

    - `books`, `blotter`: money and orders.
    - `nonce`: the last one used.
    """

    books: Books
    blotter: Blotter
    nonce: int = 0


def state(known: Known, ns: int, user: str) -> dict[str, Any]:
    """Everything as one record, the first of a segment."""
    books = known.books
    return {
        "t": "state",
        "ns": ns,
        "user": user,
        "nonce": known.nonce,
        "balance": msgspec.to_builtins(books.balance),
        "opened_ms": books.opened_ms,
        "last_ms": books.last_ms,
        "sums": [books.fees_1e8, books.funding_1e8, books.volume_1e8],
        "fills": msgspec.to_builtins(books.recent_fills()),
        "paid": msgspec.to_builtins(books.recent_payments()),
        "orders": [_plain(x) for x in known.blotter.working()],
    }


def recover(folder: pathlib.Path, at: Instrument, user: str) -> Known:
    """Fold what the segments of a folder hold of an account; nothing there is nothing known.

    Raises:
        JournalError: for records that contradict each other, or a damaged file.
    """
    segments = sorted(pathlib.Path(folder).glob(f"*{journal.SUFFIX}"))
    tail: list[list[dict[str, Any]]] = []
    for path in reversed(segments):
        # The newest may end in a torn line; damage in the middle of any is refused.
        journal.recover(path)
        tail.append(journal.read(path))
        begun = [x for x in tail[-1] if x.get("t") == "state"]
        if begun:
            if begun[-1]["user"] != user:
                # The folder served another account before.
                return Known(Books(at), Blotter())
            break
    return fold((x for part in reversed(tail) for x in part), at)


def fold(records: Iterable[dict[str, Any]], at: Instrument) -> Known:
    """State after the records; orders that are not over are UNKNOWN.

    Raises:
        JournalError: for records that contradict each other.
    """
    known = Known(Books(at), Blotter())
    for record in records:
        try:
            known = _step(known, record, at)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise journal.JournalError(
                f"record {str(record)[:200]} does not follow from those before it: {error!r}"
            ) from error
    for order in known.blotter.working():
        if order.state is not State.CLOSING:
            order.state = State.UNKNOWN
        order.slot = None
    return known


def _step(known: Known, record: dict[str, Any], at: Instrument) -> Known:
    kind, books, blotter = record["t"], known.books, known.blotter
    if kind == "state":
        return _whole(record, at)
    known.nonce = max(known.nonce, record.get("nonce", 0))
    if kind == "opening" and books.opened_ms != record["ms"]:
        books.open(msgspec.convert(record["balance"], Balance), record["ms"])
    elif kind == "ownfill":
        fill = msgspec.convert(record["fill"], FillReport)
        if books.fill(fill):
            blotter.filled(fill)
    elif kind == "funding":
        books.funding(msgspec.convert(record["paid"], FundingReport))
    elif kind == "sent":
        for cloid, side, slot, price, size in record["orders"]:
            # The state of a new segment may hold what the record behind it tells.
            if cloid not in blotter.orders:
                expires_ms = record["expires_ms"]
                blotter.add(Order(cloid, side, slot, price, size, record["ns"], expires_ms))
    elif kind == "own":
        for change in msgspec.convert(record["changes"], list[own.Own]):
            if isinstance(change, own.Gone):
                blotter.forget(change.id)
    return known


def _whole(record: dict[str, Any], at: Instrument) -> Known:
    known = Known(Books(at), Blotter(), record["nonce"])
    books = known.books
    if record["balance"] is not None:
        books.open(msgspec.convert(record["balance"], Balance), record["opened_ms"])
        books.last_ms = record["last_ms"]
        books.fees_1e8, books.funding_1e8, books.volume_1e8 = record["sums"]
        fills = msgspec.convert(record["fills"], list[FillReport])
        books.know(fills, msgspec.convert(record["paid"], list[FundingReport]))
    for one in record["orders"]:
        known.blotter.add(Order(**{**one, "state": State(one["state"])}))
    return known


def _plain(order: Order) -> dict[str, Any]:
    plain = dataclasses.asdict(order)
    # How it ended is asked again; that it is not over is what counts.
    return {**plain, "state": int(order.state), "end": None, "canceled_ns": 0, "asked_ns": 0}
