"""Messages to rows: the current book in integers, clocks, timers, wakes, anchors.

The same code runs live and in replay, and depends on data and this Config only, never on Params.
"""

import collections
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .book import HostBook
from .event import ASK, BID, Kind
from .instrument import Instrument
from .messages import BookMessage, ContextMessage, Message, TouchMessage, TradesMessage
from .own import Filled, Held, Own, WAKES
from .pack import Layout
from .standing import Standing


BP = 1e4
NS = 1_000_000_000
HOUR_NS = 3_600_000_000_000
MONEY = 10**8
"""Units of money in one USD."""


@dataclasses.dataclass(frozen=True)
class AccountInputs:
    """What the ledger or the command line says of the account."""

    wealth_usd: float = 100_000.0
    room_usd: float = 20_000.0
    gamma_limit_usd: float = 0.2
    maker_fee_bp: float = 1.5
    taker_fee_bp: float = 4.5
    position_usd: float = 0.0


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """When the quotes are evaluated, and what a gap is.

    **Attributes:**

    - `layout`: shapes.
    - `wake_queue_log`: move of the touch's log queue ratio that wakes.
    - `wake_ref_bp`: move of the reference that wakes.
    - `timer_ns`: longest time between wakes; a timer row comes when nothing else does.
    - `frame_rows`: E, rows since the last wake after which one wakes anyway.
    - `most_timers`: a longer gap than this many timers is not bridged; the belief restarts.
    - `reanchor_bp`: distance of the mid from the anchor that moves the anchor.
    - `lag_window_ns`: memory of the smallest lag, from which the age is counted.
    - `base_latency_s`: age of the freshest message.
    - `stale_reference_ns`: age, since its last change, at which a reference is no longer one.
    - `silent_feed_ns`: a feed that says nothing of any coin for so long has lost the book.
    - `queue_cancel_ahead`: share of an unexplained decrease that was in front of our order.
    """

    layout: Layout = dataclasses.field(default_factory=Layout)
    wake_queue_log: float = 1.0
    wake_ref_bp: float = 1.0
    timer_ns: int = 250_000_000
    frame_rows: int = 4
    most_timers: int = 240
    reanchor_bp: float = 100.0
    lag_window_ns: int = 600 * NS
    base_latency_s: float = 0.2
    stale_reference_ns: int = 5 * NS
    silent_feed_ns: int = 2 * NS
    queue_cancel_ahead: float = 0.5


@dataclasses.dataclass
class Counters:
    """What was dropped or odd; printed with every run."""

    duplicate_trades: int = 0
    backfilled_trades: int = 0
    stale_books: int = 0
    crossed_books: int = 0
    one_sided_books: int = 0
    before_first_book: int = 0
    gaps: int = 0
    silences: int = 0


class Encoder:
    """One instrument's messages, and those of its reference, to packed rows."""

    def __init__(
        self,
        instrument: Instrument,
        account: AccountInputs,
        config: EncoderConfig,
        reference: Instrument | None = None,
    ):
        self.instrument, self.reference, self.config = instrument, reference, config
        self.counters = Counters()
        self.anchor = 0
        self.tick = 1
        self.vector = np.zeros(config.layout.width, np.float32)
        self.row = config.layout.views(self.vector)
        self._book, self._reference_book = HostBook(), HostBook()
        self.standing = Standing(config.queue_cancel_ahead)
        self._others: list[list[list[int]]] = [[], []]
        self._position: int | None = None
        self._reference_anchor, self._reference_ns = 0.0, 0
        self._reference_touch: tuple[object, object] | None = None
        self._last_ns = self._wake_ns = self._heard_ns = 0
        self._rows_since_wake = 0
        self._woke: tuple[int, int, float, float] | None = None
        self._lags: collections.deque[tuple[int, float]] = collections.deque()
        self._ids: collections.deque[tuple[int, int]] = collections.deque(maxlen=4096)
        self._known: set[tuple[int, int]] = set()
        self._had_trades = False
        self.set_account(account)

    @property
    def now_ns(self) -> int:
        """Receive time of the newest row."""
        return self._last_ns

    def set_account(self, account: AccountInputs) -> None:
        """New inputs from the ledger."""
        self._write(self.row.account, dataclasses.asdict(account))

    def restart_feed(self) -> None:
        """The connection was lost: the next trades frame repeats history, and is not flow."""
        self._had_trades = False

    def lose_book(self, now_ns: int) -> list[np.ndarray]:
        """The book is not known any more: a row without one, which wakes, so that quotes go.

        Absence is no information: belief keeps what it has, and the next book is believed again.
        """
        rows = self.timers(now_ns)
        if not self.row.book.is_valid.any():
            return rows
        self._book.forget()
        self.row.book.is_valid[...] = self.row.book.usd[...] = 0
        return [*rows, self._emit(Kind.TIMER, max(now_ns, self._last_ns), True)]

    def note(self, changes: Sequence[Own]) -> None:
        """What happened to our own orders, for the next row; it makes none."""
        for change in changes:
            self.standing.apply(change, self._others)
            self._hold(change)
        if self.anchor:
            self._write_orders()

    def own(self, changes: Sequence[Own], now_ns: int) -> list[np.ndarray]:
        """What happened to our own orders: one row that wakes, if anything did that wakes.

        Args:
            changes: in the order in which they became known.
            now_ns: receive stamp.
        """
        now_ns = max(now_ns, self._last_ns)
        fills = [x for x in changes if isinstance(x, Filled)]
        rows = self.timers(now_ns) if self.anchor else []
        if self.anchor:
            self._write_fills(fills)
        self.note(changes)
        if self.anchor and any(isinstance(x, WAKES) for x in changes):
            rows.append(self._emit(Kind.OWN, now_ns, True))
        self.row.fill.usd[...] = self.row.fill.price_bp[...] = self.row.fill.depth_usd[...] = 0
        return rows

    def _write_fills(self, fills: Sequence[Filled]) -> None:
        """Notional, mean price and what was in front of us when we joined, by side."""
        total = np.zeros((2, 3))
        for one in fills:
            order = self.standing.orders.get(one.id)
            joined = order.joined if order else 0
            total[one.side] += one.size * np.array([1.0, self._bp(one.price), joined])
        fill, lot = self.row.fill, float(self.row.rules.lot_usd)
        some = np.maximum(total[:, 0], 1.0)
        fill.usd[...] = total[:, 0] * lot
        fill.price_bp[...], fill.depth_usd[...] = total[:, 1] / some, total[:, 2] / some * lot

    def heard(self, receive_ns: int) -> list[np.ndarray]:
        """The feed spoke of whatever coin; rows only when it had been silent for too long."""
        late = receive_ns - self._heard_ns > self.config.silent_feed_ns
        rows = self.timers(receive_ns) if late else []
        self._heard_ns = max(self._heard_ns, receive_ns)
        return rows

    def on(self, message: Message, receive_ns: int) -> list[np.ndarray]:
        """Rows that one message makes, timers before it included.

        Args:
            message: decoded message of the instrument or its reference; others make no row.
            receive_ns: receive stamp; one that runs backwards counts as the last one.
        """
        receive_ns = max(receive_ns, self._last_ns)
        rows = self.timers(receive_ns)
        self._heard_ns = receive_ns
        coin = getattr(message, "coin", None)
        if coin == self.instrument.coin:
            rows += self._own(message, receive_ns)
        elif self.reference is not None and coin == self.reference.coin:
            rows += self._other(message, receive_ns)
        return rows

    def timers(self, now_ns: int) -> list[np.ndarray]:
        """Timer rows due by `now_ns`, each 250 ms after the last wake; silence loses the book."""
        rows: list[np.ndarray] = []
        if not self.anchor:
            return rows
        lost_ns = self._heard_ns + self.config.silent_feed_ns
        if lost_ns < now_ns and self.row.book.is_valid.any():
            rows = self._timers_until(lost_ns)
            self.counters.silences += 1
            rows += self.lose_book(lost_ns)
        return rows + self._timers_until(now_ns)

    def _timers_until(self, now_ns: int) -> list[np.ndarray]:
        rows: list[np.ndarray] = []
        most = self.config.most_timers
        if now_ns - self._wake_ns > most * self.config.timer_ns:
            self.counters.gaps += 1
        while self._wake_ns + self.config.timer_ns < now_ns:
            if len(rows) == most:
                self._last_ns = self._wake_ns = now_ns - 1
                self.row.restart[...] = 1
                rows.append(self._emit(Kind.TIMER, now_ns, True))
                self.row.restart[...] = 0
                break
            rows.append(self._emit(Kind.TIMER, self._wake_ns + self.config.timer_ns, True))
        return rows

    def _own(self, message: Message, now: int) -> list[np.ndarray]:
        if isinstance(message, TradesMessage):
            return self._trades(message, now)
        if isinstance(message, ContextMessage):
            return self._context(message, now)
        if isinstance(message, BookMessage):
            kind = Kind.BOOK
            fresh = self._book.snapshot(
                list(message.bids), list(message.asks), message.exchange_ms, message.depth
            )
        elif isinstance(message, TouchMessage):
            kind = Kind.BBO
            fresh = self._book.touch(message.bid, message.ask, message.exchange_ms)
        else:
            return []
        if not fresh:
            self.counters.stale_books += 1
            return []
        self._lag(now, message.exchange_ms)
        book = self._book
        self.counters.one_sided_books += not (book.best_bid and book.best_ask)
        crossed = bool(book.best_bid and book.best_ask) and not book.is_two_sided
        self.counters.crossed_books += crossed
        shift = self._anchor_to_book()
        if not self.anchor:
            self.counters.before_first_book += 1
            return []
        self._write_book(now)
        if shift:
            rows = [self._emit(Kind.ANCHOR, now, True)]
            self.row.shift_bp[...] = self.row.shift_ticks[...] = 0
            return rows
        return [self._emit(kind, now, self._touch_woke())]

    def _trades(self, message: TradesMessage, now: int) -> list[np.ndarray]:
        if not self._had_trades:
            self._had_trades = True
            self.counters.backfilled_trades += len(message.prints)
            self._remember((p.exchange_ms, p.tid) for p in message.prints)
            return []
        rows = []
        for one in message.prints:
            key = (one.exchange_ms, one.tid)
            if key in self._known:
                self.counters.duplicate_trades += 1
                continue
            self._remember([key])
            if not self.anchor:
                continue
            self._lag(now, one.exchange_ms)
            trade = self.row.trade
            trade.ticks[...] = self._ticks(one.price, BID if one.sign > 0 else ASK)
            trade.price_bp[...] = self._bp(one.price)
            trade.usd[...] = one.size * self.row.rules.lot_usd
            trade.sign[...] = one.sign
            self.standing.on_print(one.sign, one.price, one.size)
            rows.append(self._emit(Kind.TRADE, now, False))
            trade.usd[...] = 0
        return rows

    def _context(self, message: ContextMessage, now: int) -> list[np.ndarray]:
        if not self.anchor:
            return []
        premium = message.premium_rate_1h
        lot = float(self.row.rules.lot_usd)
        values = {
            "funding_rate_1h": message.funding_rate_1h,
            "premium_rate_1h": message.funding_rate_1h if premium is None else premium,
            "open_interest_usd": message.open_interest * lot * 10**self.instrument.size_decimals,
            "mark_bp": self._bp(message.mark) if message.mark else 0.0,
            "is_valid": 1,
        }
        self._write(self.row.context, values)
        return [self._emit(Kind.CONTEXT, now, False)]

    def _other(self, message: Message, now: int) -> list[np.ndarray]:
        book = self._reference_book
        if isinstance(message, TouchMessage):
            fresh = book.touch(message.bid, message.ask, message.exchange_ms)
        elif isinstance(message, BookMessage):
            fresh = book.snapshot(
                list(message.bids), list(message.asks), message.exchange_ms, message.depth
            )
        else:
            return []
        if not fresh or not book.is_two_sided or not self.anchor:
            return []
        bid, ask = book.sides[BID][0][0], book.sides[ASK][0][0]
        self._reference_anchor = self._reference_anchor or (bid + ask) / 2
        reference, moved = self.row.reference, float(self.row.reference.mid_bp)
        low = BP * math.log(bid / self._reference_anchor)
        high = BP * math.log(ask / self._reference_anchor)
        reference.mid_bp[...], reference.half_spread_bp[...] = (low + high) / 2, (high - low) / 2
        reference.is_valid[...] = 1
        # A feed that repeats itself may be frozen: its information is as old as its last change.
        touch = (book.sides[BID][0][:2], book.sides[ASK][0][:2])
        if touch != self._reference_touch:
            self._reference_touch, self._reference_ns = touch, now
        if float(reference.mid_bp) == moved and self._last_ns:
            return []
        at_wake = self._woke[3] if self._woke else 0.0
        woke = abs(float(reference.mid_bp) - at_wake) > self.config.wake_ref_bp
        return [self._emit(Kind.REFERENCE, now, woke)]

    def _emit(self, kind: Kind, now: int, woke: bool) -> np.ndarray:
        """Finish the row: clocks, ages, wake; a copy of the buffer."""
        row, config = self.row, self.config
        dt_s = (now - self._last_ns) / NS if self._last_ns else 0.0
        row.kind[...], row.is_valid[...] = int(kind), 1
        row.dt_s[...] = dt_s
        if kind not in (Kind.BOOK, Kind.BBO, Kind.ANCHOR):
            row.book.age_s[...] += np.float32(dt_s) * row.book.is_valid
        row.orders.age_s[...] += np.float32(dt_s) * row.orders.is_live
        if kind in (Kind.TIMER, Kind.REFERENCE, Kind.CONTEXT, Kind.OWN):
            row.age_s[...] += np.float32(dt_s)
        age_ns = now - self._reference_ns
        if row.reference.is_valid:
            row.reference.age_s[...] = age_ns / NS
            row.reference.is_valid[...] = age_ns < config.stale_reference_ns
        if row.context.is_valid:
            row.context.settlement_s[...] = (HOUR_NS - now % HOUR_NS) / NS
        self._rows_since_wake += 1
        wake = woke or self._rows_since_wake >= config.frame_rows
        wake = wake or now - self._wake_ns >= config.timer_ns
        row.wake[...] = wake
        self._last_ns = now
        if wake:
            self._wake_ns, self._rows_since_wake = now, 0
            self._woke = self._touch_state()
        return self.vector.copy()

    def _touch_state(self) -> tuple[int, int, float, float]:
        ticks, usd = self.row.book.ticks[:, 0], self.row.book.usd[:, 0]
        ratio = math.log(usd[BID] / usd[ASK]) if usd.min() > 0 else 0.0
        return int(ticks[BID]), int(ticks[ASK]), ratio, float(self.row.reference.mid_bp)

    def _touch_woke(self) -> bool:
        if self._woke is None:
            return True
        bid, ask, ratio, _ = self._touch_state()
        moved = (bid, ask) != self._woke[:2]
        return moved or abs(ratio - self._woke[2]) > self.config.wake_queue_log

    def _lag(self, now: int, exchange_ms: int) -> None:
        """Measured lag, its minimum over the window, and the age from it."""
        lag = now / NS - exchange_ms / 1000
        lags = self._lags
        while lags and lags[-1][1] >= lag:
            lags.pop()
        lags.append((now, lag))
        while lags[0][0] < now - self.config.lag_window_ns:
            lags.popleft()
        self.row.lag_s[...] = lag
        self.row.age_s[...] = max(lag - lags[0][1], 0.0) + self.config.base_latency_s

    def _anchor_to_book(self) -> bool:
        """Fix the first anchor, or move it; true when it moved."""
        if not self._book.is_two_sided:
            return False
        bid, ask = self._book.sides[BID][0][0], self._book.sides[ASK][0][0]
        tick = self.instrument.tick(bid)
        middle = (bid + ask) // 2 // tick * tick
        first = not self.anchor
        far = not first and abs(BP * math.log(middle / self.anchor)) > self.config.reanchor_bp
        if not (first or far or tick != self.tick):
            return False
        old, old_tick = self.anchor, self.tick
        self.anchor, self.tick = middle, tick
        scale = 10 ** (self.instrument.price_decimals + self.instrument.size_decimals)
        rules = self.row.rules
        if first:
            rules.lot_usd[...] = middle / scale
            if self._position is not None:
                self.row.account.position_usd[...] = self._position * float(rules.lot_usd)
            rules.min_notional_usd[...] = self.instrument.min_notional_usd
        else:
            self.row.shift_bp[...] = BP * math.log(old / middle)
            # With another tick no integer price survives; every order is pulled at that row.
            self.row.shift_ticks[...] = (old - middle) // tick if tick == old_tick else 0
            self.row.context.mark_bp[...] += self.row.shift_bp
        rules.tick_bp[...] = BP * math.log1p(tick / middle)
        return not first

    def _write_book(self, now: int) -> None:
        book, levels = self.row.book, self.config.layout.levels
        others = [self.standing.without(side, x) for side, x in enumerate(self._book.sides)]
        if self.standing.orders:
            self.standing.on_book(others, self._book.stamp_ms)
        self._others = others
        for side, rows in enumerate(others):
            n = min(len(rows), levels)
            book.is_valid[side] = 0
            book.usd[side] = 0
            if n == 0:
                continue
            book.is_valid[side, :n] = 1
            prices = np.array([x[0] for x in rows[:n]], np.float64)
            book.ticks[side, :n] = [self._ticks(x[0], side) for x in rows[:n]]
            book.price_bp[side, :n] = BP * np.log(prices / self.anchor)
            lot = float(self.row.rules.lot_usd)
            book.usd[side, :n] = np.array([x[1] for x in rows[:n]], np.float64) * lot
            newest = self._book.stamp_ms
            book.age_s[side, :n] = [(newest - x[2]) / 1000 for x in rows[:n]]
            book.ticks[side, n:] = book.ticks[side, n - 1]
            book.price_bp[side, n:] = book.price_bp[side, n - 1]

        self._write_orders()

    def _write_orders(self) -> None:
        """Our orders by slot; what stands in front of each is what others show there."""
        orders, book = self.row.orders, self.row.book
        if not orders.is_live.any() and not self.standing.orders:
            return
        before = np.where(orders.is_live > 0, orders.age_s, 0.0)
        for name in ("is_live", "is_resting", "usd", "ahead_usd", "age_s"):
            field = getattr(orders, name)
            field[...] = 0
        lot = float(self.row.rules.lot_usd)
        for order in self.standing.in_slots():
            at = order.side, order.slot
            ticks = self._ticks(order.price, order.side)
            better = (
                book.ticks[order.side] > ticks
                if order.side == BID
                else (book.ticks[order.side] < ticks)
            )
            in_front = float((book.usd[order.side] * book.is_valid[order.side])[better].sum())
            orders.is_live[at], orders.ticks[at] = 1, ticks
            orders.is_resting[at] = order.rested_ms is not None
            orders.price_bp[at], orders.usd[at] = self._bp(order.price), order.size * lot
            orders.ahead_usd[at] = in_front + order.ahead * lot
            orders.age_s[at] = before[at] if order.is_told else 0.0
            order.is_told = True

    def _hold(self, change: Own) -> None:
        """The ledger's figures, in the engine's units."""
        if isinstance(change, Held):
            account = self.row.account
            account.position_usd[...] = change.position * float(self.row.rules.lot_usd)
            account.wealth_usd[...] = change.value_1e8 / MONEY
            self._position = change.position

    def _ticks(self, price: int, side: int) -> int:
        """Ticks from the anchor; a price off the grid rounds away from the market."""
        away = price - self.anchor
        return away // self.tick if side == BID else -(-away // self.tick)

    def _bp(self, price: int) -> float:
        return BP * math.log(price / self.anchor)

    def _remember(self, keys) -> None:
        for key in keys:
            if len(self._ids) == self._ids.maxlen:
                self._known.discard(self._ids[0])
            self._ids.append(key)
            self._known.add(key)

    @staticmethod
    def _write(views, values: dict) -> None:
        for name, value in values.items():
            getattr(views, name)[...] = value
