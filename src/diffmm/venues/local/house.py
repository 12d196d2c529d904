"""Marks, and funding once an hour, in exact integers.

    premium = (max(impact bid - oracle, 0) - max(oracle - impact ask, 0)) / oracle
    rate per hour = (P + clamp(1e-4 - P, -5e-4, 5e-4)) / 8,   P the mean premium of the hour
    credit = -(position x oracle x rate), rounded down

What rounding leaves over is the house's. Source: the venue's documentation.
"""

from .account import Funding
from .exchange import Exchange
from .listing import USD


RATE = 10**10
"""Units of a rate in one."""
INTEREST_8H, CLAMP, CAP_1H = RATE // 10_000, 5 * RATE // 10_000, 4 * RATE // 100
HOURS = 8
IMPACT = 6_000 * USD


def mark(exchange: Exchange, asset: int) -> None:
    """Median of best bid, best ask and last trade; stays where a side is empty."""
    book, last = exchange.books[asset], exchange.last_price[asset]
    bid, ask = book.bids.best(), book.asks.best()
    if bid is not None and ask is not None:
        exchange.marks[asset] = min(max(last or bid, bid), ask)


def premium(exchange: Exchange, asset: int) -> int:
    """Of the impact prices over the oracle, in rate units; 0 where the book is too thin."""
    book, oracle = exchange.books[asset], exchange.oracles[asset]
    bid, ask = book.bids.impact(IMPACT), book.asks.impact(IMPACT)
    if bid is None or ask is None or oracle <= 0:
        return 0
    return (max(bid - oracle, 0) - max(oracle - ask, 0)) * RATE // oracle


def hourly_rate(premiums: int, samples: int) -> int:
    """Rate of one hour from the sum of its premium samples."""
    mean = premiums // samples if samples else 0
    rate = (mean + min(max(INTEREST_8H - mean, -CLAMP), CLAMP)) // HOURS
    return min(max(rate, -CAP_1H), CAP_1H)


def settle(exchange: Exchange, asset: int, rate: int, now_ms: int) -> list[tuple[str, Funding]]:
    """Pay one coin's funding between all positions; what each account outside the house got."""
    paid: list[tuple[str, Funding]] = []
    oracle = exchange.oracles[asset]
    for address, account in exchange.accounts.items():
        held = account.positions.get(asset)
        if held is None:
            continue
        credit = -held.size * oracle * rate // RATE
        account.cash += credit
        exchange.house -= credit
        held.funding_paid -= credit
        if not account.is_house:
            account.fundings.append(Funding(now_ms, asset, credit, held.size, rate))
            paid.append((address, account.fundings[-1]))
    return paid
