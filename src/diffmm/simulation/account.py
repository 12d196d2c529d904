"""What a world takes from our account beside prices and fees: unwinding and funding, in integers.

Money and rates count 1e-8. Prices and sizes are the instrument's integers.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .generative import Market, price, START_MS


UNITS = 10**8
"""Units of money in one USD, and of a rate in one."""
BP = 10_000
HOUR_MS = 3_600_000


@dataclasses.dataclass(frozen=True)
class OwnFill:
    """One fill of ours; `sign` is +1 when our ask was lifted."""

    time_s: float
    sign: int
    price: int
    size: int


@dataclasses.dataclass(frozen=True)
class Costs:
    """What the world took, 1e-8 USD; negative is received."""

    unwinding_1e8: int
    funding_1e8: int


def settle(market: Market, fills: Sequence[OwnFill], taker_fee_bp: float) -> Costs:
    """Costs of a run.

    Unwinding takes the world's share of every fill at the half spread and the taker fee; the
    position stays, so that the risk of holding it is counted once. Funding is paid on the position
    at each full hour, at the public price.
    """
    world = market.world
    share = round(world.unwinding.share * UNITS)
    cost = round((world.makers.half_spread_bp + taker_fee_bp) / BP * UNITS)
    notional = sum(_money(market, one.price, one.size) for one in fills)
    rate = round(world.funding.rate_1h * UNITS)
    paid = 0
    for time_s in settlements_s(float(market.times_s[-1])):
        held = -sum(one.sign * one.size for one in fills if one.time_s < time_s)
        at = int(np.searchsorted(market.times_s, time_s)) - 1
        mark = round(float(price(market, market.public_bp[at])))
        paid += _money(market, mark, held) * rate // UNITS
    return Costs(notional * share * cost // UNITS**2, paid)


def settlements_s(duration_s: float) -> list[float]:
    """Full hours within a run, in seconds from its start."""
    first = math.floor(START_MS / HOUR_MS) + 1
    last = math.floor((START_MS + duration_s * 1000) / HOUR_MS)
    return [(hour * HOUR_MS - START_MS) / 1000 for hour in range(first, last + 1)]


def _money(market: Market, price_units: int, size: int) -> int:
    at = market.instrument
    return price_units * size * UNITS // 10 ** (at.price_decimals + at.size_decimals)
