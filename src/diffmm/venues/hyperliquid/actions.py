"""Trading actions as they go over the wire: keys in the order that is signed, strings from ints."""

from collections.abc import Iterable
from typing import Any

from diffmm.market import BID
from diffmm.market.instrument import Instrument, text, units


def order(
    asset: int,
    at: Instrument,
    side: int,
    price: int,
    size: int,
    cloid: str,
    *,
    closes: bool = False,
) -> dict[str, Any]:
    """One order of an `order` action: post-only, or immediate and reduce-only where it closes.

    Raises:
        ValueError: when the strings do not read back as the integers.
    """
    p, s = text(price, at.price_decimals), text(size, at.size_decimals)
    if units(p, at.price_decimals) != price or units(s, at.size_decimals) != size:
        raise ValueError(f"{p!r} and {s!r} do not read back as {price} and {size}")
    terms = {"limit": {"tif": "Ioc" if closes else "Alo"}}
    return {"a": asset, "b": side == BID, "p": p, "s": s, "r": closes, "t": terms, "c": cloid}


def place(orders: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """An `order` action."""
    return {"type": "order", "orders": list(orders), "grouping": "na"}


def cancel(asset: int, cloids: Iterable[str]) -> dict[str, Any]:
    """A `cancelByCloid` action."""
    cancels = [{"asset": asset, "cloid": cloid} for cloid in cloids]
    return {"type": "cancelByCloid", "cancels": cancels}


def cancel_oids(asset: int, oids: Iterable[int]) -> dict[str, Any]:
    """A `cancel` action, for orders that have no id of ours."""
    return {"type": "cancel", "cancels": [{"a": asset, "o": oid} for oid in oids]}


def schedule_cancel(time_ms: int | None) -> dict[str, Any]:
    """The venue's dead-man switch; `None` disarms it."""
    return {"type": "scheduleCancel"} | ({} if time_ms is None else {"time": time_ms})


def user_subscriptions(user: str) -> list[dict[str, Any]]:
    """The feeds of one account."""
    return [{"type": kind, "user": user} for kind in ("orderUpdates", "userFills", "userEvents")]
