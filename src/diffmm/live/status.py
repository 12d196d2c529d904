"""What a running session says of itself on a terminal: one line, rewritten, or a plain one."""

import datetime
from typing import TextIO

from diffmm.evaluation.ledger import MONEY_DECIMALS
from diffmm.market import ASK, BID
from diffmm.market.instrument import text

from .quoter import Quoter


NS = 1_000_000_000
BP = 1e4
CLEAR = "\r\x1b[2K"
"""To the start of the line, and empty it."""
SHORT = {"spread": "spr", "adverse": "adv", "inventory": "inv", "funding": "fund", "fees": "fee"}


def line(core: Quoter) -> str:
    """Market, quotes, position, money and step time at this moment."""
    at = core.intake.encoder.instrument
    mid2 = core.ledger.mid2
    if mid2 is None:
        return f"waiting for a two-sided book of {at.coin}"
    parts = [
        clock(core.now_ns),
        f"mid {text(mid2 * 5, at.price_decimals + 1)}",
        " ".join(_quote(core, side, name) for side, name in ((BID, "bid"), (ASK, "ask"))),
        f"pos {_signed(core.ledger.position, at.size_decimals)}",
        money(core),
        core.fills_are.replace("fills", f"fills {core.ledger.fills}", 1),
    ]
    taken = core.stepper.stopwatch.quantiles_us().get("decide")
    if taken:
        parts.append(f"decide p50 {taken['p50'] / 1e3:.1f} p99 {taken['p99'] / 1e3:.1f} ms")
    parts.append("PULLED" if core.is_pulled else f"{core.standing} orders")
    faults = sum(core.faults.values())
    return " | ".join([*parts, f"faults {faults}"])


def money(core: Quoter) -> str:
    """PnL and its parts in USD; funding is settled in the summary only."""
    usd = 10**MONEY_DECIMALS
    parts = core.ledger.pnl_parts_1e8
    told = " ".join(f"{SHORT[name]} {x / usd:+.2f}" for name, x in parts.items())
    return f"pnl {core.ledger.pnl_1e8 / usd:+.2f} ({told})"


def clock(now_ns: int) -> str:
    """UTC time of day of the session's clock."""
    at = datetime.datetime.fromtimestamp(now_ns // NS, datetime.UTC)
    return f"{at:%H:%M:%S}Z"


class Status:
    """Writer of status lines and of words between them.

    **Attributes:**

    - `interval_s`: wall seconds between lines.
    """

    def __init__(self, stream: TextIO, interval_s: float):
        self.interval_s = interval_s
        self._stream, self._is_terminal = stream, stream.isatty()

    def show(self, core: Quoter) -> None:
        """The line of this moment."""
        if self._is_terminal:
            self._stream.write(CLEAR + line(core))
        else:
            self._stream.write(line(core) + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the rewritten line standing."""
        if self._is_terminal:
            self._stream.write("\n")
            self._stream.flush()

    def say(self, words: str) -> None:
        """One line that stays."""
        self._stream.write((CLEAR if self._is_terminal else "") + words + "\n")
        self._stream.flush()


def _quote(core: Quoter, side: int, name: str) -> str:
    order, at = core.best(side), core.intake.encoder.instrument
    if order is None:
        return f"{name} -"
    return f"{name} {text(order[0], at.price_decimals)}x{text(order[1], at.size_decimals)}"


def _signed(value: int, decimals: int) -> str:
    return ("-" if value < 0 else "+") + text(abs(value), decimals)
