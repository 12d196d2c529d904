"""Hard limits of a run, in exact integers; a live run has none by default, a person states each.

A table of a TOML file, every key required, prices and sizes as the venue's decimal strings:

    [limits]
    max_order = "0.5"            # coins an order
    max_position = "2"           # coins, over all that could still be filled
    collar_bp = 200              # an order's distance from either reference
    max_reference_gap_bp = 100   # distance of the references from each other
    max_open_orders = 40
    max_messages_per_min = 1800  # over the socket; the venue allows 2000; a third of it at once
    cancel_reserve = 150         # of that third, only for cancels
    max_loss_usd = "500"         # since the run's start; beyond it the kill latch falls
"""

import dataclasses
from typing import Any

from diffmm.market import AccountInputs, Instrument
from diffmm.market.instrument import units


MONEY_DECIMALS = 8


class LimitsError(ValueError):
    """A table of limits that cannot be followed; says what was found and expected."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What no engine output can exceed.

    **Attributes:**

    - `max_order`, `max_position`: size units.
    - `collar_bp`: of a price from each of the two references.
    - `max_reference_gap_bp`: of the references (mid and mark) from each other.
    - `max_open_orders`: orders that are not over.
    - `max_messages_per_min`, `cancel_reserve`: actions sent, and how many only cancels may use.
    - `max_loss_1e8`: money lost since the start of the run.
    """

    max_order: int
    max_position: int
    collar_bp: int
    max_reference_gap_bp: int
    max_open_orders: int
    max_messages_per_min: int
    cancel_reserve: int
    max_loss_1e8: int


def parse(table: dict[str, Any], at: Instrument) -> Limits:
    """Limits from a table.

    Raises:
        LimitsError: for a key that is missing, unknown, or no limit.
    """
    wanted = {
        "max_order": at.size_decimals,
        "max_position": at.size_decimals,
        "max_loss_usd": MONEY_DECIMALS,
    }
    whole = {x.name for x in dataclasses.fields(Limits) if x.name not in {*wanted, "max_loss_1e8"}}
    if odd := set(table) ^ (set(wanted) | whole):
        raise LimitsError(f"[limits]: {', '.join(sorted(odd))} missing or unknown")
    found: dict[str, int] = {}
    for name, decimals in wanted.items():
        try:
            found[name] = units(str(table[name]), decimals)
        except ValueError as error:
            raise LimitsError(f"[limits] {name}: {error}") from error
    for name in whole:
        if type(table[name]) is not int:
            raise LimitsError(f"[limits] {name}: found {table[name]!r}, expected a whole number")
        found[name] = table[name]
    for name, value in found.items():
        if value <= 0:
            raise LimitsError(f"[limits] {name}: found {table[name]!r}, expected above zero")
    found["max_loss_1e8"] = found.pop("max_loss_usd")
    return Limits(**found)


def of_paper(account: AccountInputs, at: Instrument, price: int) -> Limits:
    """Limits of a run on the embedded venue, twice what the engine is asked to respect.

    Twice, because an order that replaces another counts beside it until the cancel is confirmed.
    """
    usd = 10 ** (at.price_decimals + at.size_decimals)
    room = max(round(account.room_usd) * usd // max(price, 1), 1)
    return Limits(
        max_order=room,
        max_position=2 * room,
        collar_bp=500,
        max_reference_gap_bp=200,
        max_open_orders=64,
        max_messages_per_min=1800,
        cancel_reserve=150,
        max_loss_1e8=round(account.wealth_usd) * 10**MONEY_DECIMALS // 20,
    )
