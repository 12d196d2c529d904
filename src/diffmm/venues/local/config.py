"""What an embedded venue is made of."""

import dataclasses

from .exchange import Rules
from .limits import FREE_REQUESTS
from .listing import Listing, USD


NS = 1_000_000_000
LISTINGS = (
    Listing("SIM", size_decimals=2, max_leverage=20),
    Listing("BTC", size_decimals=5, max_leverage=40),
    Listing("ETH", size_decimals=4, max_leverage=25),
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Numbers of one venue; the defaults are Hyperliquid's where it states them.

    **Attributes:**

    - `block_ns`, `block_jitter_ns`: a block every so long, and at most so much later.
    - `funding_ns`: wall time between settlements; shorter than an hour accelerates the clock.
    - `free_requests`: of an address before it has traded.
    - `scheduled_volume`: micro-USD to be traded before an account may schedule a cancel.
    - `drip`: micro-USD that the faucet pays to an address, once.
    - `has_traffic_limits`: whether what one machine may send is limited.
    - `greeting`: a bare text sent on connect, as old servers did; empty for none.
    """

    listings: tuple[Listing, ...] = LISTINGS
    rules: Rules = dataclasses.field(default_factory=Rules)
    block_ns: int = 70_000_000
    block_jitter_ns: int = 10_000_000
    funding_ns: int = 3600 * NS
    free_requests: int = FREE_REQUESTS
    scheduled_volume: int = 1_000_000 * USD
    drip: int = 100_000 * USD
    has_traffic_limits: bool = True
    greeting: str = ""
