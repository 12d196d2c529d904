"""A thin market of known makers, in exact integers: whose every change of the book is, is recorded.

Each maker keeps one order a side at its own distance from the mid. It quotes anew at the beats of
its clock (a period with jitter) or some time after the mid moved (a lognormal latency), with a size
about its own (lognormal). Others add and cancel sizes of no pattern, takers take from the touch,
and the mid is a random walk in ticks. One message is one maker's doing, so a test knows whose.
"""

import dataclasses
import heapq
import itertools
import math

import numpy as np
from numpy.random import default_rng, Generator  # noqa: TID251 - always from an explicit seed

from diffmm.market import AccountInputs, ASK, BID, Encoder, EncoderConfig, Instrument, Tape
from diffmm.market.messages import BookMessage, Message, Print, TradesMessage


NS = 1_000_000_000
START_MS = 1_767_227_400_000
AT = Instrument("MAKERS", 2, 3, fixed_tick=1)
MID_TICKS = 1_000
NOBODY, TAKER = -1, -2
"""Whose a change is that is no maker's."""


@dataclasses.dataclass(frozen=True)
class Maker:
    """One manner of quoting.

    **Attributes:**

    - `size_lots`, `size_sd`: median size, and spread of its logarithm.
    - `distance_ticks`: of its quotes from the mid.
    - `period_s`, `jitter_s`: of its clock; a period of 0 is no clock.
    - `latency_s`: median time from a mid move to its quotes; 0 for a maker that does not look.
    - `gone_s`: `(from, to)` while it shows nothing.
    """

    size_lots: int
    size_sd: float = 0.05
    distance_ticks: int = 2
    period_s: float = 0.0
    jitter_s: float = 0.05
    latency_s: float = 0.0
    gone_s: tuple[float, float] = (math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class Config:
    """The market around the makers.

    **Attributes:**

    - `makers`: who quotes.
    - `duration_s`: length.
    - `move_rate`: moves of the mid by a tick, per second.
    - `noise_rate`, `noise_lots`: changes by nobody in particular, per second, and their median.
    - `taker_rate`, `taker_lots`: takers per second, and their median size.
    - `levels`, `base_lots`: depth that stands behind everything and never moves.
    """

    makers: tuple[Maker, ...]
    duration_s: float = 600.0
    move_rate: float = 0.2
    noise_rate: float = 0.5
    noise_lots: int = 4_000
    taker_rate: float = 0.1
    taker_lots: int = 2_000
    levels: int = 20
    base_lots: int = 20_000


@dataclasses.dataclass(frozen=True)
class Market:
    """One run: `(receive_ns, message)` in order, and whose each message is."""

    messages: tuple[tuple[int, Message], ...]
    whose: tuple[int, ...]


def simulate(config: Config, seed: int) -> Market:
    """Draw one run; same seed, same market."""
    return _Run(config, default_rng(seed)).run()


def tape(market: Market, config: EncoderConfig) -> tuple[Tape, np.ndarray]:
    """The run as rows of the live path, and whose each row is (`NOBODY` for timers)."""
    encoder = Encoder(AT, AccountInputs(), config)
    rows: list[np.ndarray] = []
    whose: list[int] = []
    anchors: list[tuple[int, int, int]] = []
    for (stamp, message), who in zip(market.messages, market.whose, strict=True):
        made = encoder.on(message, stamp)
        rows += made
        whose += [NOBODY] * (len(made) - 1) + [who] * bool(made)
        if made and (not anchors or anchors[-1][1:] != (encoder.anchor, encoder.tick)):
            anchors.append((len(rows) - 1, encoder.anchor, encoder.tick))
    packed = np.stack(rows)
    made_of = Tape(packed, config.layout, config.frame_rows, AT, tuple(anchors))
    return made_of, np.array(whose)


class _Run:
    """The market while it runs: a queue of things to come, and orders by owner, side and price."""

    def __init__(self, config: Config, rng: Generator):
        self.config, self.rng, self.mid = config, rng, MID_TICKS
        self.orders: list[list[tuple[int, int]]] = [[(0, 0)] * 2 for _ in config.makers]
        self.noise: list[dict[int, int]] = [{}, {}]
        self.queue: list[tuple[float, int, int, int]] = []
        self.out: list[tuple[int, Message]] = []
        self.whose: list[int] = []
        self.count = itertools.count(1)

    def run(self) -> Market:
        config, rng = self.config, self.rng
        for kind, rate in enumerate((config.move_rate, config.noise_rate, config.taker_rate)):
            self._later(rng.exponential(1 / rate), kind, 0)
        for who, maker in enumerate(config.makers):
            self._later(0.01 * who, QUOTE, who)
            if maker.period_s:
                self._later(maker.period_s * rng.random(), BEAT, who)
        while self.queue and self.queue[0][0] < config.duration_s:
            time_s, _, kind, who = heapq.heappop(self.queue)
            self._happen(time_s, kind, who)
        return Market(tuple(self.out), tuple(self.whose))

    def _happen(self, time_s: float, kind: int, who: int) -> None:
        config, rng = self.config, self.rng
        if kind == MOVE:
            self._later(time_s + rng.exponential(1 / config.move_rate), MOVE, 0)
            self.mid += int(rng.choice((-1, 1)))
            for i, maker in enumerate(config.makers):
                if maker.latency_s:
                    wait_s = maker.latency_s * math.exp(0.3 * rng.standard_normal())
                    self._later(time_s + wait_s, QUOTE, i)
        elif kind == NOISE:
            self._later(time_s + rng.exponential(1 / config.noise_rate), NOISE, 0)
            self._stray()
            self._tell(time_s, NOBODY)
        elif kind == TAKE:
            self._later(time_s + rng.exponential(1 / config.taker_rate), TAKE, 0)
            self._take(time_s)
        elif kind == BEAT:
            maker = config.makers[who]
            at_s = time_s + abs(maker.jitter_s * rng.standard_normal())
            self._later(at_s, QUOTE, who)
            self._later(time_s + maker.period_s, BEAT, who)
        else:
            self._quote(time_s, who)
            self._tell(time_s, who)

    def _later(self, time_s: float, kind: int, who: int) -> None:
        heapq.heappush(self.queue, (time_s, next(self.count), kind, who))

    def _quote(self, time_s: float, who: int) -> None:
        """Both sides anew about the mid."""
        maker = self.config.makers[who]
        is_gone = maker.gone_s[0] <= time_s < maker.gone_s[1]
        for side, sign in enumerate((-1, 1)):
            size = maker.size_lots * math.exp(maker.size_sd * self.rng.standard_normal())
            price = self.mid + sign * maker.distance_ticks
            self.orders[who][side] = (price, 0 if is_gone else max(round(size), 1))

    def _stray(self) -> None:
        """A size of no pattern is added, or the oldest of them leaves."""
        side = int(self.rng.integers(2))
        mine = self.noise[side]
        if mine and self.rng.random() < 0.5:
            del mine[next(iter(mine))]
            return
        sign = (-1, 1)[side]
        price = self.mid + sign * int(self.rng.integers(1, 8))
        size = self.config.noise_lots * math.exp(1.0 * self.rng.standard_normal())
        mine[price] = mine.get(price, 0) + max(round(size), 1)

    def _take(self, time_s: float) -> None:
        """A taker takes of the touch, of makers first."""
        side = int(self.rng.integers(2))
        levels = self._levels(side)
        price, shown = levels[0]
        wanted = self.config.taker_lots * math.exp(0.5 * self.rng.standard_normal())
        left = size = min(max(round(wanted), 1), shown - 1)
        if size < 1:
            return
        for orders in self.orders:
            if orders[side][0] == price:
                used = min(left, orders[side][1])
                orders[side], left = (price, orders[side][1] - used), left - used
        stray = self.noise[side]
        if left and price in stray:
            used = min(left, stray[price])
            stray[price], left = stray[price] - used, left - used
        # What always stands behind is not used up.
        at_ms = START_MS + round(time_s * 1000)
        sign = 1 if side == ASK else -1
        told = Print(sign, price, size - left, at_ms, len(self.out) + 1)
        if size > left:
            self._say(time_s, TradesMessage(AT.coin, (told,)), TAKER)
            self._tell(time_s, TAKER)

    def _levels(self, side: int) -> list[tuple[int, int]]:
        sign = (-1, 1)[side]
        total: dict[int, int] = {}
        for k in range(self.config.levels):
            total[MID_TICKS + sign * (40 + k)] = self.config.base_lots
        owned = [orders[side] for orders in self.orders]
        for price, size in itertools.chain(owned, self.noise[side].items()):
            if size:
                total[price] = total.get(price, 0) + size
        inside = (lambda p: p < self.mid) if side == BID else (lambda p: p > self.mid)
        return sorted(((p, s) for p, s in total.items() if inside(p)), key=lambda x: sign * x[0])

    def _tell(self, time_s: float, who: int) -> None:
        sides = [tuple(self._levels(side)[: self.config.levels]) for side in (BID, ASK)]
        at_ms = START_MS + round(time_s * 1000)
        book = BookMessage(AT.coin, at_ms, sides[0], sides[1], self.config.levels)
        self._say(time_s, book, who)

    def _say(self, time_s: float, message: Message, who: int) -> None:
        self.out.append((START_MS * 1_000_000 + round(time_s * NS), message))
        self.whose.append(who)


MOVE, NOISE, TAKE, BEAT, QUOTE = range(5)
"""What happens next."""
