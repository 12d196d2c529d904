"""A whole market from a seed, in exact integers: what the venue would have sent, and the truth.

The market does not know of us, so it can be made beforehand. A taker carries the worst price he
accepts; `hard_fills` with `takers_have_limits` lets him meet our quotes, inside the spread too, and
tells the engine only of prints that then happen. `prints="public"` keeps the prints that would have
happened without us, which is what a stream can show.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from diffmm.market import AccountInputs, Encoder, EncoderConfig, Instrument, Tape
from diffmm.market.book import Level
from diffmm.market.messages import (
    BookMessage,
    ContextMessage,
    Message,
    Print,
    TouchMessage,
    TradesMessage,
)

from . import laws
from .world import World


BP = 1e4
NS = 1_000_000_000
START_MS = 1_767_227_400_000
"""Half past an hour, so that an hour of market holds one funding settlement."""
CONTEXT_S = 10.0
SNIPER_SIZES = 100.0
"""A sniper takes all that he finds: this many mean takers is more than anyone shows."""
OPEN_INTEREST_USD = 1e7
LEANS = np.array([0.5, -0.5])
"""Share of a lean by side, bids and asks."""
FARTHEST_BP = 2_000.0
"""Limit prices are cut here; nobody quotes so far away."""


@dataclasses.dataclass(frozen=True)
class Market:
    """The truth of one run; every price in bp about the starting mid.

    **Attributes:**

    - `times_s`, `public_bp`, `value_bp`: M and V where anything happens.
    - `at_blocks`, `at_takers`: indices into them.
    - `kind`, `sign`, `limit_bp`, `usd`: of each taker.
    - `depth_noise`: logarithms of displayed sizes about their mean, `[blocks, side, level]`.
    - `lag_s`: receive less exchange time of each of `times_s`.
    - `drift_bp_s`: of M at each of `times_s`.
    """

    world: World
    instrument: Instrument
    times_s: np.ndarray
    public_bp: np.ndarray
    value_bp: np.ndarray
    at_blocks: np.ndarray
    at_takers: np.ndarray
    kind: np.ndarray
    sign: np.ndarray
    limit_bp: np.ndarray
    usd: np.ndarray
    depth_noise: np.ndarray
    lag_s: np.ndarray
    drift_bp_s: np.ndarray


def simulate(world: World, seed: int, duration_s: float | None = None) -> Market:
    """Draw one run.

    Args:
        world: its laws.
        seed: same seed, same market; a source switched off leaves the other draws alone.
        duration_s: in place of the world's own.
    """
    streams, span = laws.Streams.of(seed), duration_s or world.market.duration_s
    blocks = np.arange(0.0, span, world.makers.block_s)
    arrivals = np.sort(
        streams.takers.random(streams.takers.poisson(world.takers.rate_s * span)) * span
    )
    kind = laws.kinds(world.private, streams.takers, arrivals.size)
    # A sniper takes stale bids as well as stale asks: one taker of each sign, the same limit.
    snipes = np.repeat(laws.snipes(world, streams.snipers, span), 2)
    takers = np.concatenate([arrivals, snipes])
    order = np.argsort(np.concatenate([blocks, takers]), kind="stable")
    times = np.concatenate([blocks, takers])[order]
    place = np.argsort(order)
    public, value = _values(world, streams, times)
    at_takers = place[blocks.size :]
    at_arrivals, at_snipes = at_takers[: arrivals.size], at_takers[arrivals.size :]
    sign, limit = laws.limits(world, streams.takers, kind, public[at_arrivals], value[at_arrivals])
    usd = laws.sizes(world.takers, streams.takers, arrivals.size)
    both = np.tile([1, -1], snipes.size // 2)
    shape = (blocks.size, 2, world.makers.levels)
    market = world.market
    drawn = Market(
        world=world,
        instrument=Instrument.hyperliquid(market.coin, market.size_decimals),
        times_s=times,
        public_bp=public,
        value_bp=value,
        at_blocks=place[: blocks.size],
        at_takers=at_takers,
        kind=np.concatenate([kind, np.full(snipes.size, laws.SNIPER)]),
        sign=np.concatenate([sign, both]),
        limit_bp=np.concatenate([limit, public[at_snipes]]),
        usd=np.concatenate([usd, np.full(snipes.size, SNIPER_SIZES * world.takers.mean_usd)]),
        depth_noise=world.makers.size_noise * streams.makers.standard_normal(shape),
        lag_s=market.feed_lag_s
        + market.feed_jitter_s * streams.feed.standard_exponential(times.size),
        drift_bp_s=np.zeros(times.size),
    )
    return _drifting(drawn, streams.drift) if world.drift.exists else drawn


def bend(market: Market, public_bp: np.ndarray, turned: np.ndarray, lean: np.ndarray) -> Market:
    """The same market about another public price, some takers turned and the book leaning.

    A limit stands as far from the new price as it stood from the old one, on the other side where
    its taker is turned; what is private stays beyond the price what it was.

    Args:
        market: one run.
        public_bp: M at each time.
        turned: which takers trade the other way.
        lean: log of displayed bids over asks that is added at each block.
    """
    way = np.where(turned, -1, 1)
    reach = market.limit_bp - market.public_bp[market.at_takers]
    return dataclasses.replace(
        market,
        public_bp=public_bp,
        value_bp=public_bp + market.value_bp - market.public_bp,
        sign=way * market.sign,
        limit_bp=public_bp[market.at_takers] + way * reach,
        depth_noise=market.depth_noise + lean[:, None, None] * LEANS[:, None],
    )


def _drifting(drawn: Market, rng: laws.Generator) -> Market:
    """The drift of the world laid over a run."""
    sign, moved = laws.drifts(drawn.world, rng, drawn.times_s)
    lean = laws.leans(drawn.world, rng, drawn.times_s[drawn.at_blocks], sign[drawn.at_blocks])
    chance = rng.random(drawn.sign.size)
    against = sign[drawn.at_takers] * drawn.sign < 0
    turned = against & (drawn.kind == laws.UNINFORMED) & (chance < drawn.world.drift.turned)
    bent = bend(drawn, drawn.public_bp + moved, turned, lean)
    return dataclasses.replace(bent, drift_bp_s=sign * drawn.world.drift.speed_bp_s)


def messages(market: Market, prints: Literal["limits", "public"]) -> Iterator[tuple[int, Message]]:
    """Receive stamp in ns and message, in order of receipt.

    Args:
        market: one run.
        prints: every taker at his limit price, or only prints that the book alone would give.
    """
    coin, world, at = market.instrument.coin, market.world, market.instrument
    # The first frame of prints is history by the venue's rule; here there is none.
    yield _stamp(0.0, market.lag_s[0], 0), TradesMessage(coin, ())
    blocks = dict(zip(market.at_blocks.tolist(), range(market.at_blocks.size), strict=True))
    takers = dict(zip(market.at_takers.tolist(), range(market.at_takers.size), strict=True))
    last_ns, told_s, book = 0, -math.inf, None
    for i, time_s in enumerate(market.times_s.tolist()):
        last_ns = _stamp(time_s, market.lag_s[i], last_ns)
        exchange_ms = START_MS + round(time_s * 1000)
        if i in blocks:
            k = blocks[i]
            book = _book(market, k, exchange_ms)
            is_whole = k % world.makers.blocks_per_book == 0
            touch = TouchMessage(coin, exchange_ms, book.bids[0], book.asks[0])
            yield last_ns, book if is_whole else touch
            if time_s - told_s >= CONTEXT_S:
                told_s = time_s
                mark = price(market, market.public_bp[i])
                interest = OPEN_INTEREST_USD / world.market.mid_usd
                yield last_ns, ContextMessage(coin, world.funding.rate_1h, interest, round(mark))
            continue
        k = takers[i]
        sign = int(market.sign[k])
        limit = _limit(market, k)
        size = max(1, round(market.usd[k] / world.market.mid_usd * 10**at.size_decimals))
        if prints == "public":
            limit, size = _meets(book, sign, limit, size)
        if size > 0:
            one = Print(sign, limit, size, exchange_ms, k + 1)
            yield last_ns, TradesMessage(coin, (one,))


def tape(market: Market, account: AccountInputs, config: EncoderConfig) -> tuple[Tape, Encoder]:
    """The run as the rows of the live path; a print row holds the taker's limit price.

    Replay it with `hard_fills.Config(takers_have_limits=True)`.
    """
    encoder = Encoder(market.instrument, account, config)
    rows: list[np.ndarray] = []
    anchors: list[tuple[int, int, int]] = []
    for stamp, message in messages(market, "limits"):
        before = len(rows)
        made = encoder.on(message, stamp)
        rows += made
        if made and (not anchors or anchors[-1][1:] != (encoder.anchor, encoder.tick)):
            anchors.append((before, encoder.anchor, encoder.tick))
    packed = np.stack(rows)
    out = Tape(packed, config.layout, config.frame_rows, market.instrument, tuple(anchors))
    return out, encoder


def price(market: Market, at_bp: np.ndarray | float) -> np.ndarray | float:
    """Price of a bp coordinate in the instrument's units, not rounded."""
    unit = market.world.market.mid_usd * 10**market.instrument.price_decimals
    return unit * np.exp(np.clip(at_bp, -FARTHEST_BP, FARTHEST_BP) / BP)


def _values(
    world: World, streams: laws.Streams, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """M and V at each time: V holds one secret more than M, which takes it in at its time."""
    public = np.cumsum(laws.moves(world, streams.price, np.diff(times, prepend=times[:1])))
    if world.private.sd_bp == 0:
        return public, public
    phase = streams.secrets.random()
    period = np.floor(times / world.private.delay_s + phase).astype(int)
    known = np.cumsum(laws.secrets(world.private, streams.secrets, period[-1] + 1))
    before = np.concatenate([[0.0], known[:-1]])
    return public + before[period], public + known[period]


def _book(market: Market, k: int, exchange_ms: int) -> BookMessage:
    """The other makers' book at one block."""
    makers, at = market.world.makers, market.instrument
    centre = market.public_bp[market.at_blocks[k]]
    levels = np.arange(makers.levels)
    mean = makers.touch_usd * np.exp(makers.depth_growth * levels)
    coins = mean * np.exp(market.depth_noise[k]) / market.world.market.mid_usd
    size = np.maximum(1, np.round(coins * 10**at.size_decimals)).astype(int)
    sides: list[tuple[Level, ...]] = []
    for side, sign in enumerate((-1, 1)):
        raw = float(price(market, centre + sign * makers.half_spread_bp))
        tick = at.tick(round(raw))
        touch = round(raw / tick) * tick
        prices = touch + sign * levels * makers.level_gap_ticks * tick
        pairs = zip(prices.tolist(), size[side].tolist(), strict=True)
        sides.append(tuple((int(p), int(s)) for p, s in pairs))
    return BookMessage(at.coin, exchange_ms, sides[0], sides[1], makers.levels)


def _limit(market: Market, k: int) -> int:
    """A taker's limit in price units, rounded so that he never pays more than he would."""
    raw = float(price(market, market.limit_bp[k]))
    return math.floor(raw) if market.sign[k] > 0 else math.ceil(raw)


def _meets(book: BookMessage, sign: int, limit: int, size: int) -> tuple[int, int]:
    """Price of the first level a taker meets, and how much he gets up to his limit."""
    levels = book.asks if sign > 0 else book.bids
    found = sum(s for p, s in levels if sign * p <= sign * limit)
    return levels[0][0], min(size, found)


def _stamp(time_s: float, lag_s: float, last_ns: int) -> int:
    return max(START_MS * 1_000_000 + round((time_s + lag_s) * NS), last_ns)
