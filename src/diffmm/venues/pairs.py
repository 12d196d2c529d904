"""A table of two venues' best prices on one clock, as lines that a tape is read from.

Columns: `timestamp_ms`, `symbol` (`THEIRS|OURS`), `maker_bid`, `maker_ask`, `hl_bid`, `hl_ask`. It
holds no sizes, so every quote stands for one unit: the touch's queue ratio is zero.
"""

import csv
import json
from collections.abc import Iterable, Iterator


HEADER = "timestamp_ms,"
COLUMNS = {"timestamp_ms", "symbol", "maker_bid", "maker_ask", "hl_bid", "hl_ask"}


class TableError(ValueError):
    """A table that is not one of pairs; the message says what was found and expected."""


def lines(rows: Iterable[str]) -> Iterator[str]:
    """Two `bbo` frames a row: the other venue's, which is the reference, then our market's.

    Args:
        rows: text of the table, its header first.

    Raises:
        TableError: for a table without those columns.
    """
    table = csv.DictReader(rows)
    if missing := COLUMNS - set(table.fieldnames or ()):
        raise TableError(f"no columns {sorted(missing)}; expected {sorted(COLUMNS)}")
    for row in table:
        at_ms = int(row["timestamp_ms"])
        theirs, _, ours = row["symbol"].partition("|")
        for coin, side in ((theirs, "maker"), (ours, "hl")):
            quotes = [{"px": row[f"{side}_{x}"], "sz": "1", "n": 1} for x in ("bid", "ask")]
            data = {"coin": coin, "time": at_ms, "bbo": quotes}
            frame = json.dumps({"channel": "bbo", "data": data}, separators=(",", ":"))
            yield f"{at_ms * 1_000_000} {frame}"
