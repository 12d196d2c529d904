"""What is published: each block's changes, and each feed's state at its cadence."""

import collections
from typing import Any

from . import frames
from .config import NS
from .desk import Desk, FAST_DEPTH, FULL_DEPTH
from .exchange import Changed, Exchange, Filled, Printed
from .streams import Key, Streams
from .ticker import Ticker


MS = 1_000_000
FAST_NS, CONTEXT_NS, STATE_NS, SLOW_NS = NS // 2, NS, 4 * NS, 5 * NS
CADENCES = {
    FAST_NS: ("l2Book",),
    CONTEXT_NS: ("activeAssetCtx",),
    STATE_NS: ("openOrders", "clearinghouseState"),
    SLOW_NS: ("l2Book", "allMids"),
}
"""How often the whole state of which feeds is sent; the fast book and the slow one are one feed."""


class Bulletin:
    """From what happened to who is told."""

    def __init__(self, exchange: Exchange, desk: Desk, ticker: Ticker, streams: Streams):
        self.exchange, self.desk, self.ticker, self.streams = exchange, desk, ticker, streams
        self._touch: dict[str, Any] = {}

    def after_block(self, now_ns: int) -> None:
        """What a block changed, to whoever asked to be told."""
        exchange = self.exchange
        prints: dict[str, list[Any]] = collections.defaultdict(list)
        updates: dict[str, list[Any]] = collections.defaultdict(list)
        fills: dict[str, list[Any]] = collections.defaultdict(list)
        gone: dict[str, list[Any]] = collections.defaultdict(list)
        for one in exchange.happened():
            match one:
                case Printed():
                    self.ticker.on_print(one)
                    coin = exchange.listings[one.asset].coin
                    if self.streams.is_wanted("trades", coin):
                        prints[coin].append(frames.trade(exchange, one))
                case Filled(owner, fill):
                    fills[owner].append(frames.fill(exchange, fill))
                case Changed():
                    updates[one.owner].append(frames.order_update(exchange, one))
                    if one.is_by_venue:
                        coin = exchange.listings[one.order.asset].coin
                        gone[one.owner].append({"coin": coin, "oid": one.order.oid})
        for coin, rows in prints.items():
            self._say("trades", coin, "trades", rows, now_ns)
        self._touches(now_ns)
        for user, rows in updates.items():
            self._say("orderUpdates", user, "orderUpdates", rows, now_ns)
        for user, rows in fills.items():
            self._say("userEvents", user, "user", {"fills": rows}, now_ns)
            self._say("userFills", user, "userFills", {"user": user, "fills": rows}, now_ns)
        for user, rows in gone.items():
            self._say("userEvents", user, "user", {"nonUserCancel": rows}, now_ns)

    def settle(self, now_ns: int) -> None:
        """Funding is paid; each account hears of it."""
        told: dict[str, list[Any]] = collections.defaultdict(list)
        for address, paid in self.ticker.settle(now_ns // MS):
            told[address].append(frames.funding(self.exchange, paid))
        for user, rows in told.items():
            for row in rows:
                self._say("userEvents", user, "user", {"funding": row}, now_ns)
            data = {"user": user, "fundings": rows}
            self._say("userFundings", user, "userFundings", data, now_ns)

    def on_cadence(self, every_ns: int, now_ns: int) -> None:
        """The feeds of one cadence."""
        if every_ns == SLOW_NS:
            self.ticker.sample()
        for feed in CADENCES[every_ns]:
            for key in self.streams.keys(feed):
                if feed != "l2Book" or key[2] == (every_ns == FAST_NS):
                    self.streams.publish(key, feed, self.state(key, now_ns // MS), now_ns)

    def state(self, key: Key, now_ms: int) -> Any:
        """A feed's whole content as it is now; `None` for one that only tells of changes."""
        feed, of, fast = key
        exchange, desk = self.exchange, self.desk
        match feed:
            case "bbo":
                return frames.bbo(exchange, desk.asset(of), now_ms)
            case "l2Book":
                depth = FAST_DEPTH if fast else FULL_DEPTH
                book = frames.l2_book(exchange, desk.asset(of), now_ms, depth)
                return {**book, "fast": True} if fast else book
            case "trades":
                return self.ticker.recent(desk.asset(of))
            case "activeAssetCtx":
                return {"coin": of, "ctx": self.ticker.context(desk.asset(of))}
            case "allMids":
                return {"mids": self.ticker.mids()}
            case "userFills":
                return {"isSnapshot": True, "user": of, "fills": desk.fills(of)}
            case "userFundings":
                return {"isSnapshot": True, "user": of, "fundings": desk.fundings(of)}
            case "openOrders":
                return {"dex": "", "user": of, "orders": desk.frontend_orders(of)}
            case "clearinghouseState":
                state = desk.clearinghouse(of, now_ms)
                return {"dex": "", "user": of, "clearinghouseState": state}
        return None

    def _touches(self, now_ns: int) -> None:
        """Best bid and offer, where they are not what was sent last."""
        for key in self.streams.keys("bbo"):
            told = frames.bbo(self.exchange, self.desk.asset(key[1]), now_ns // MS)
            if self._touch.get(key[1]) != told["bbo"]:
                self._touch[key[1]] = told["bbo"]
                self.streams.publish(key, "bbo", told, now_ns)

    def _say(self, feed: str, of: str, channel: str, data: Any, now_ns: int) -> None:
        self.streams.publish((feed, of, False), channel, data, now_ns)
