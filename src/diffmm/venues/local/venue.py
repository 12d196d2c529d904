"""The embedded venue as one pure machine: events in, frames and replies out.

    answers = venue.on(event, now_ns);   call again no later than venue.next_due_ns()

No clock, no socket, no randomness: time comes with the events and the market with its seed, so the
same events give the same frames. Actions wait for the next block and run there in three turns:
orders that only rest, cancels, orders that may cross.
"""

import dataclasses
from typing import Any, Protocol

from . import frames, house
from .bulletin import Bulletin, CADENCES, MS
from .config import Config
from .counter import Counter
from .desk import Desk
from .events import Answer, Connected, Disconnected, Event, Received, Request
from .exchange import Exchange
from .gateway import Gateway, Run, Turn
from .streams import Streams
from .ticker import Ticker


JITTER = 2_654_435_761
"""A multiplicative hash: blocks are not quite regular, and this stands in for the network."""


class Market(Protocol):
    """Who else trades. Everything it does happens in the next block, in its turn."""

    def open(self, exchange: Exchange, now_ns: int) -> None:
        """Set marks and oracles and put the first orders on the books."""
        ...

    def next_ns(self) -> int | None:
        """When it acts next; `None`: never again."""
        ...

    def act(self, exchange: Exchange, now_ns: int) -> list[tuple[Turn, Run]]:
        """What it wants done."""
        ...


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is so for one account, whatever its owner believes; exact integers.

    **Attributes:**

    - `open_orders`: `frontendOpenOrders` rows by oid.
    - `fills`: `userFills` rows, oldest first (the newest that are kept).
    - `positions`: signed sizes by coin, in size units.
    - `cash`, `value`, `fees`, `funding`, `deposited`: micro-USD; `value` at the marks, `funding` as
      received. `cash = deposited - signed trades - fees + funding`.
    """

    open_orders: dict[int, dict[str, Any]]
    fills: list[dict[str, Any]]
    positions: dict[str, int]
    cash: int
    value: int
    fees: int
    funding: int
    deposited: int


class Venue:
    """The venue; everything of it hangs here.

    **Attributes:**

    - `exchange`: books and accounts, for checkers.
    - `gateway`, `streams`: budgets and schedules; websockets.
    """

    def __init__(self, config: Config, market: Market, start_ns: int):
        self.config, self.market, self.start_ns = config, market, start_ns
        self.exchange = Exchange(config.listings, config.rules)
        self.gateway = Gateway(self.exchange, config)
        ticker = Ticker(self.exchange)
        desk = Desk(self.gateway, ticker)
        self.streams = Streams(desk, config.has_traffic_limits)
        self._bulletin = Bulletin(self.exchange, desk, ticker, self.streams)
        self._counter = Counter(self.gateway, desk, self._bulletin, self.streams, self._enqueue)
        self._pending: list[tuple[Turn, int, Run]] = []
        self._queued = 0
        self._now_ns, self._block_ns = start_ns, None
        self._cadence_ns = {every: _after(start_ns, every) for every in CADENCES}
        self._funding_ns = _after(start_ns, config.funding_ns)
        market.open(self.exchange, start_ns)
        self.exchange.happened()

    def on(self, event: Event, now_ns: int) -> list[Answer]:
        """Everything that is to be sent now.

        Raises:
            ValueError: for a time before the last one.
        """
        if now_ns < self._now_ns:
            raise ValueError(f"time ran backwards: {now_ns} after {self._now_ns}")
        self._advance(now_ns)
        self._now_ns = now_ns
        match event:
            case Connected(conn):
                self.streams.open(conn, now_ns)
                if self.config.greeting:
                    self.streams.send(conn, self.config.greeting, now_ns)
            case Received(conn, text):
                if conn in self.streams.lines:
                    self._counter.received(conn, text, now_ns)
            case Disconnected(conn):
                self.streams.close(conn)
            case Request():
                self._counter.requested(event, now_ns)
        out, self.streams.out = self.streams.out, []
        return out

    def next_due_ns(self) -> int:
        """When the venue wants to be called, if nothing happens before."""
        schedule_ms = self.gateway.due_ms()
        due = [
            self._funding_ns,
            *self._cadence_ns.values(),
            self._block_ns,
            self.market.next_ns(),
            self.streams.idle_ns(),
            None if schedule_ms is None else schedule_ms * MS,
        ]
        return max(min(x for x in due if x is not None), self._now_ns)

    def truth(self, address: str) -> Truth:
        """What is so for an account.

        Raises:
            KeyError: for an address that was never paid.
        """
        exchange, address = self.exchange, address.lower()
        account = exchange.accounts[address]
        orders = exchange.open_orders(address)
        return Truth(
            open_orders={x.oid: frames.frontend_order(exchange, x, x.left) for x in orders},
            fills=[frames.fill(exchange, x) for x in account.fills],
            positions={exchange.listings[a].coin: p.size for a, p in account.positions.items()},
            cash=account.cash,
            value=account.value(exchange.marks),
            fees=account.fees,
            funding=sum(x.credit for x in account.fundings),
            deposited=account.deposited,
        )

    def _advance(self, now_ns: int) -> None:
        """Do everything that was due up to now, each at its own time."""
        while (due_ns := self.next_due_ns()) <= now_ns:
            self._now_ns = due_ns
            market_ns = self.market.next_ns()
            if market_ns is not None and market_ns <= due_ns:
                for turn, run in self.market.act(self.exchange, due_ns):
                    self._enqueue(turn, run, due_ns)
            elif self._block_ns is not None and self._block_ns <= due_ns:
                self._block(due_ns)
            else:
                self._tick(due_ns)

    def _tick(self, now_ns: int) -> None:
        """What is due by the clock alone."""
        schedule_ms = self.gateway.due_ms()
        if schedule_ms is not None and schedule_ms * MS <= now_ns:
            self._enqueue(Turn.CANCEL, lambda at_ns: self.gateway.fire(at_ns // MS), now_ns)
            self._block(now_ns)
        if self._funding_ns <= now_ns:
            self._funding_ns = _after(now_ns, self.config.funding_ns)
            self._bulletin.settle(now_ns)
        for every, due_ns in self._cadence_ns.items():
            if due_ns <= now_ns:
                self._cadence_ns[every] = _after(now_ns, every)
                self._bulletin.on_cadence(every, now_ns)
        self.streams.end_idle(now_ns)

    def _enqueue(self, turn: Turn, run: Run, now_ns: int) -> None:
        """Have something done in the next block."""
        self._pending.append((turn, self._queued, run))
        self._queued += 1
        if self._block_ns is None:
            number = (now_ns - self.start_ns) // self.config.block_ns + 1
            late_ns = number * JITTER % max(self.config.block_jitter_ns, 1)
            self._block_ns = self.start_ns + number * self.config.block_ns + late_ns

    def _block(self, now_ns: int) -> None:
        """Run what waits, by turn and within a turn in order of arrival; tell everybody."""
        pending, self._pending, self._block_ns = sorted(self._pending), [], None
        self.exchange.begin_block((now_ns - self.start_ns) // self.config.block_ns)
        for _, _, run in pending:
            run(now_ns)
        for asset in range(len(self.exchange.listings)):
            house.mark(self.exchange, asset)
        self._bulletin.after_block(now_ns)


def _after(now_ns: int, every_ns: int) -> int:
    """The next whole multiple of a period of the clock."""
    return (now_ns // every_ns + 1) * every_ns
