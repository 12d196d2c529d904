"""What a generative world is made of: a public price, other makers, takers, and four cost sources.

Every source is a number that may be 0, and then the source does not exist. The laws are those that
`pricing` states, so that what a world realises can be compared with what was predicted, term by
term. Prices are in bp about the starting mid, times in s, sizes in USD.
"""

import math

import msgspec


LARGEST_BP = 1_000.0
"""Scales of a market are far below this; more would mean that a unit was mistaken."""


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} = {value}, expected {low:g} to {high:g}")


def _above(name: str, value: float, low: float) -> None:
    if not (value > low and math.isfinite(value)):
        raise ValueError(f"{name} = {value}, expected a finite number above {low:g}")


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file; unknown names and values outside their range are refused."""


class Market(_Table, frozen=True, kw_only=True):
    """The instrument and its public estimate of value M, a Brownian motion with jumps.

    **Attributes:**

    - `volatility_bp`: of M, bp per sqrt(s).
    - `jump_rate_s`, `jump_bp`: public jumps of either sign, exponential of this mean.
    - `feed_lag_s`, `feed_jitter_s`: receive time less exchange time, its constant and mean rest.
    """

    coin: str = "SIM"
    size_decimals: int = 2
    mid_usd: float = 110.0
    duration_s: float = 3600.0
    volatility_bp: float
    jump_rate_s: float = 0.0
    jump_bp: float = 0.0
    feed_lag_s: float = 0.2
    feed_jitter_s: float = 0.01

    def __post_init__(self):
        _above("mid_usd", self.mid_usd, 0.0)
        _above("duration_s", self.duration_s, 0.0)
        _within("size_decimals", self.size_decimals, 0, 6)
        _within("volatility_bp", self.volatility_bp, 0.0, LARGEST_BP)
        _within("jump_rate_s", self.jump_rate_s, 0.0, 1.0)
        _within("jump_bp", self.jump_bp, 0.0, LARGEST_BP)
        _within("feed_lag_s", self.feed_lag_s, 0.0, 10.0)
        _within("feed_jitter_s", self.feed_jitter_s, 0.0, 1.0)


class Makers(_Table, frozen=True, kw_only=True):
    """The other makers' book, placed anew around M every block.

    **Attributes:**

    - `half_spread_bp`: of their touch about M.
    - `levels`, `level_gap_ticks`: how far the book goes.
    - `touch_usd`, `depth_growth`: level k shows `touch_usd exp(depth_growth k)` on average.
    - `size_noise`: standard deviation of the logarithm of a displayed size.
    - `block_s`, `blocks_per_book`: cadence of the touch, and touches to one whole book.
    """

    half_spread_bp: float
    levels: int = 20
    level_gap_ticks: int = 2
    touch_usd: float = 3000.0
    depth_growth: float = 0.1
    size_noise: float = 0.1
    block_s: float = 0.5
    blocks_per_book: int = 4

    def __post_init__(self):
        _within("half_spread_bp", self.half_spread_bp, 0.1, LARGEST_BP)
        _within("levels", self.levels, 1, 20)
        _within("level_gap_ticks", self.level_gap_ticks, 1, 1000)
        _above("touch_usd", self.touch_usd, 0.0)
        _within("depth_growth", self.depth_growth, 0.0, 1.0)
        _within("size_noise", self.size_noise, 0.0, 2.0)
        _above("block_s", self.block_s, 0.0)
        _within("blocks_per_book", self.blocks_per_book, 1, 1000)


class Takers(_Table, frozen=True, kw_only=True):
    """A Poisson flow of takers, each with a reservation limit price.

    **Attributes:**

    - `rate_s`: arrivals of both signs, whether or not they find a price they accept.
    - `mean_usd`: mean of the exponential size.
    - `reach_bp`: an uninformed one pays up to `M + Exp(reach_bp)`.
    """

    rate_s: float
    mean_usd: float
    reach_bp: float

    def __post_init__(self):
        _within("rate_s", self.rate_s, 0.0, 1000.0)
        _above("mean_usd", self.mean_usd, 0.0)
        _within("reach_bp", self.reach_bp, 0.01, LARGEST_BP)


class Private(_Table, frozen=True, kw_only=True):
    """Private information: V = M + e with e ~ N(0, sd^2), made public `delay_s` after it arose.

    **Attributes:**

    - `informed_share`: of arrivals; an informed one buys below, and sells above, `V + noise`.
    - `sd_bp`, `delay_s`: the innovation and when M takes it in, after which the next is drawn.
    - `noise_bp`: standard deviation of an informed taker's error about V.
    """

    informed_share: float = 0.0
    sd_bp: float = 0.0
    delay_s: float = 30.0
    noise_bp: float = 1.0

    def __post_init__(self):
        _within("informed_share", self.informed_share, 0.0, 1.0)
        _within("sd_bp", self.sd_bp, 0.0, LARGEST_BP)
        _above("delay_s", self.delay_s, 0.0)
        _within("noise_bp", self.noise_bp, 0.01, LARGEST_BP)


class Sniping(_Table, frozen=True, kw_only=True):
    """Public moves that reach us before our cancel does.

    **Attributes:**

    - `probability`: kappa, that someone takes every quote beyond M once in a window.
    - `window_s`: life of a quote: age of what we see, time between wakes, cancel latency.
    """

    probability: float = 0.0
    window_s: float = 0.8

    def __post_init__(self):
        _within("probability", self.probability, 0.0, 1.0)
        _above("window_s", self.window_s, 0.0)


class Unwinding(_Table, frozen=True, kw_only=True):
    """Share omega of our fills that is taken out at the half spread and the taker fee."""

    share: float = 0.0

    def __post_init__(self):
        _within("share", self.share, 0.0, 1.0)


class Funding(_Table, frozen=True, kw_only=True):
    """Hourly rate that a long position pays at each full hour; negative is received."""

    rate_1h: float = 0.0

    def __post_init__(self):
        _within("rate_1h", self.rate_1h, -0.04, 0.04)


class Drift(_Table, frozen=True, kw_only=True):
    """Times in which M drifts one way, the takers with it, and the book leans out of its way.

    **Attributes:**

    - `start_rate_s`, `lasts_s`: how often a drift begins when there is none, and its mean length.
    - `speed_bp_s`: of M in it, of either sign.
    - `turned`: share of the uninformed takers against it that trade with it instead.
    - `lean`: log of what the side in its way shows less over the other side.
    - `lean_noise`, `lean_memory_s`: a lean that is always there and means nothing, an OU process.
    """

    start_rate_s: float = 0.0
    lasts_s: float = 300.0
    speed_bp_s: float = 0.0
    turned: float = 0.0
    lean: float = 0.0
    lean_noise: float = 0.0
    lean_memory_s: float = 60.0

    def __post_init__(self):
        _within("start_rate_s", self.start_rate_s, 0.0, 1.0)
        _above("lasts_s", self.lasts_s, 0.0)
        _within("speed_bp_s", self.speed_bp_s, 0.0, LARGEST_BP)
        _within("turned", self.turned, 0.0, 1.0)
        _within("lean", self.lean, 0.0, 5.0)
        _within("lean_noise", self.lean_noise, 0.0, 2.0)
        _above("lean_memory_s", self.lean_memory_s, 0.0)

    @property
    def exists(self) -> bool:
        """Whether anything of it can happen."""
        return self.start_rate_s > 0 or self.lean_noise > 0


class World(_Table, frozen=True, kw_only=True):
    """A whole world; the last five tables may be left out: four sources of cost, and a drift."""

    title: str
    market: Market
    makers: Makers
    takers: Takers
    private: Private = Private()
    sniping: Sniping = Sniping()
    unwinding: Unwinding = Unwinding()
    funding: Funding = Funding()
    drift: Drift = Drift()


def parse(text: str) -> World:
    """A world from TOML.

    Raises:
        ValueError: with the table, the name, what was found and what was expected.
    """
    try:
        return msgspec.toml.decode(text, type=World)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a world: {error}") from error
