"""What the venue says of orders, fills, books and accounts, in its own shapes."""

from typing import Any

from . import house
from .account import Account, DEFAULT_LEVERAGE, Fill, Funding
from .book import Order
from .exchange import Changed, Exchange, Printed
from .listing import decimal, money


RATE_DECIMALS = 10
NO_SIZE = "0.0"


def side(is_buy: bool) -> str:
    """`B` buys, `A` sells."""
    return "B" if is_buy else "A"


def bbo(exchange: Exchange, asset: int, time_ms: int) -> dict[str, Any]:
    """The touch."""
    book, listing = exchange.books[asset], exchange.listings[asset]
    best = [next(iter(_levels(exchange, asset, x.depth(1))), None) for x in (book.bids, book.asks)]
    return {"coin": listing.coin, "time": time_ms, "bbo": best}


def l2_book(exchange: Exchange, asset: int, time_ms: int, depth: int) -> dict[str, Any]:
    """Levels of both sides."""
    book = exchange.books[asset]
    sides = [_levels(exchange, asset, x.depth(depth)) for x in (book.bids, book.asks)]
    return {"coin": exchange.listings[asset].coin, "time": time_ms, "levels": sides}


def trade(exchange: Exchange, one: Printed) -> dict[str, Any]:
    """One print."""
    listing = exchange.listings[one.asset]
    return {
        "coin": listing.coin,
        "side": side(one.is_buy),
        "px": listing.price_text(one.price),
        "sz": listing.size_text(one.size),
        "time": one.time_ms,
        "hash": one.hash,
        "tid": one.tid,
        "users": [one.buyer, one.seller],
    }


def basic_order(exchange: Exchange, order: Order, left: int) -> dict[str, Any]:
    """An order as `orderUpdates` and `openOrders` have it."""
    listing = exchange.listings[order.asset]
    return {
        "coin": listing.coin,
        "side": side(order.is_buy),
        "limitPx": listing.price_text(order.price),
        "sz": listing.size_text(left),
        "oid": order.oid,
        "timestamp": order.placed_ms,
        "origSz": listing.size_text(order.size),
        "cloid": order.cloid,
    }


def frontend_order(exchange: Exchange, order: Order, left: int) -> dict[str, Any]:
    """An order as `frontendOpenOrders` and `orderStatus` have it."""
    return {
        **basic_order(exchange, order, left),
        "triggerCondition": "N/A",
        "isTrigger": False,
        "triggerPx": NO_SIZE,
        "children": [],
        "isPositionTpsl": False,
        "reduceOnly": order.is_reduce_only,
        "orderType": "Limit",
        "tif": order.tif.value,
    }


def order_update(exchange: Exchange, changed: Changed) -> dict[str, Any]:
    """One change of an order's status."""
    return {
        "order": basic_order(exchange, changed.order, changed.left),
        "status": changed.status,
        "statusTimestamp": changed.time_ms,
    }


def fill(exchange: Exchange, one: Fill) -> dict[str, Any]:
    """One execution as its owner sees it."""
    listing = exchange.listings[one.asset]
    told = {
        "coin": listing.coin,
        "px": listing.price_text(one.price),
        "sz": listing.size_text(one.size),
        "side": side(one.is_buy),
        "time": one.time_ms,
        "startPosition": listing.size_text(one.start_position),
        "dir": one.direction,
        "closedPnl": money(one.closed_pnl),
        "hash": one.hash,
        "oid": one.oid,
        "crossed": one.is_taker,
        "fee": money(one.fee),
        "tid": one.tid,
        "feeToken": "USDC",
        "twapId": None,
    }
    return told if one.cloid is None else {**told, "cloid": one.cloid}


def funding(exchange: Exchange, one: Funding) -> dict[str, Any]:
    """One settlement; `usdc` is what was received."""
    listing = exchange.listings[one.asset]
    return {
        "time": one.time_ms,
        "coin": listing.coin,
        "usdc": money(one.credit),
        "szi": listing.size_text(one.size),
        "fundingRate": rate(one.rate),
        "nSamples": None,
    }


def rate(value: int) -> str:
    """A rate in 1e-10."""
    return decimal(value, RATE_DECIMALS)


def mid(exchange: Exchange, asset: int) -> str | None:
    """The mid, exact."""
    twice = exchange.books[asset].mid2()
    decimals = exchange.listings[asset].price_decimals
    return None if twice is None else decimal(twice * 5, decimals + 1)


def asset_context(
    exchange: Exchange, asset: int, hourly: int, day: tuple[int, int, int]
) -> dict[str, Any]:
    """Funding, interest and prices; `day` is the opening price, notional and size of the day."""
    listing, book = exchange.listings[asset], exchange.books[asset]
    impacts = [x.impact(house.IMPACT) for x in (book.bids, book.asks)]
    opened, notional, size = day
    interest = sum(max(x.size(asset), 0) for x in exchange.accounts.values())
    texts = [None if x is None else listing.price_text(x) for x in impacts]
    return {
        "funding": rate(hourly),
        "openInterest": listing.size_text(interest),
        "prevDayPx": listing.price_text(opened),
        "dayNtlVlm": money(notional),
        "premium": rate(house.premium(exchange, asset)),
        "oraclePx": listing.price_text(exchange.oracles[asset]),
        "markPx": listing.price_text(exchange.marks[asset]),
        "midPx": mid(exchange, asset),
        "impactPxs": None if None in texts else texts,
        "dayBaseVlm": listing.size_text(size),
    }


def clearinghouse(exchange: Exchange, account: Account | None, time_ms: int) -> dict[str, Any]:
    """Positions and margin of an account; an unknown one has nothing."""
    account = account or Account("")
    marks, value = exchange.marks, account.value(exchange.marks)
    held = [(asset, account.positions[asset]) for asset in sorted(account.positions)]
    used = sum(
        -(-abs(p.size * marks[a]) // account.leverage.get(a, DEFAULT_LEVERAGE)) for a, p in held
    )
    summary = {
        "accountValue": money(value),
        "totalNtlPos": money(sum(abs(p.size * marks[a]) for a, p in held)),
        "totalRawUsd": money(account.cash),
        "totalMarginUsed": money(used),
    }
    return {
        "marginSummary": summary,
        "crossMarginSummary": dict(summary),
        "crossMaintenanceMarginUsed": money(used // 2),
        "withdrawable": money(max(value - used, 0)),
        "assetPositions": [_position(exchange, account, asset) for asset, _ in held],
        "time": time_ms,
    }


def _position(exchange: Exchange, account: Account, asset: int) -> dict[str, Any]:
    listing, held = exchange.listings[asset], account.positions[asset]
    worth = held.size * exchange.marks[asset]
    leverage = account.leverage.get(asset, DEFAULT_LEVERAGE)
    entry = decimal(abs(held.cost) * 100 // abs(held.size), listing.price_decimals + 2)
    unrealised = worth - held.cost
    margin = -(-abs(worth) // leverage)
    equity = unrealised * 10_000 * leverage // max(abs(held.cost), 1)
    paid = money(held.funding_paid)
    return {
        "type": "oneWay",
        "position": {
            "coin": listing.coin,
            "szi": listing.size_text(held.size),
            "leverage": {"type": "cross", "value": leverage},
            "entryPx": entry,
            "positionValue": money(abs(worth)),
            "unrealizedPnl": money(unrealised),
            "returnOnEquity": decimal(equity, 4),
            "liquidationPx": None,
            "marginUsed": money(margin),
            "maxLeverage": listing.max_leverage,
            "cumFunding": {"allTime": paid, "sinceOpen": paid, "sinceChange": NO_SIZE},
        },
    }


def _levels(
    exchange: Exchange, asset: int, levels: list[tuple[int, int, int]]
) -> list[dict[str, Any]]:
    listing = exchange.listings[asset]
    return [{"px": listing.price_text(p), "sz": listing.size_text(s), "n": n} for p, s, n in levels]
