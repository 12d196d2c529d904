"""Answers to `/info`, over HTTP and in posts alike."""

from collections.abc import Callable
from typing import Any

from . import frames, wire
from .book import Order
from .gateway import Gateway
from .listing import money
from .ticker import Ticker


FILLS_A_PAGE, ROWS = 2_000, 500
LIGHT, MIDDLE, HEAVY = 2, 20, 60
WEIGHTS = {
    "l2Book": LIGHT,
    "allMids": LIGHT,
    "clearinghouseState": LIGHT,
    "spotClearinghouseState": LIGHT,
    "orderStatus": LIGHT,
    "exchangeStatus": LIGHT,
    "userRole": HEAVY,
}
FULL_DEPTH, FAST_DEPTH = 20, 5
MARGIN_TABLE = 50


class Unknown(Exception):
    """A request that is not understood; HTTP 422."""


class Desk:
    """Everything that may be asked."""

    def __init__(self, gateway: Gateway, ticker: Ticker):
        self.gateway, self.exchange, self.ticker = gateway, gateway.exchange, ticker
        self._assets = {x.coin: i for i, x in enumerate(self.exchange.listings)}
        self._answers: dict[str, Callable[[wire.Asked, int], Any]] = {
            "meta": self._meta,
            "metaAndAssetCtxs": lambda asked, ms: [self._meta(asked, ms), ticker.contexts()],
            "perpDexs": lambda asked, ms: [None],
            "spotMeta": lambda asked, ms: {"universe": [], "tokens": []},
            "spotClearinghouseState": lambda asked, ms: {"balances": []},
            "allMids": lambda asked, ms: ticker.mids(),
            "l2Book": self._l2_book,
            "recentTrades": lambda asked, ms: ticker.recent(self.asset(asked.coin)),
            "clearinghouseState": lambda asked, ms: self.clearinghouse(asked.user, ms),
            "openOrders": lambda asked, ms: [
                frames.basic_order(self.exchange, x, x.left) for x in self._open(asked)
            ],
            "frontendOpenOrders": lambda asked, ms: self.frontend_orders(asked.user),
            "orderStatus": self._order_status,
            "userFills": lambda asked, ms: self.fills(asked.user),
            "userFillsByTime": self._fills_by_time,
            "userFunding": self._fundings_by_time,
            "userFees": self._fees,
            "userRateLimit": self._rate_limit,
            "userRole": self._role,
            "extraAgents": lambda asked, ms: [],
            "exchangeStatus": lambda asked, ms: {"specialStatuses": None, "time": ms},
            # The test network's faucet.
            "claimDrip": lambda asked, ms: self.gateway.drip(self._user(asked)),
        }

    def answer(self, asked: wire.Asked, now_ms: int) -> Any:
        """The answer's body.

        Raises:
            Unknown: for a type, coin or user that is none.
        """
        answer = self._answers.get(asked.type)
        if answer is None:
            raise Unknown(f"type {asked.type!r}")
        return answer(asked, now_ms)

    def asset(self, coin: Any) -> int:
        """Index of a coin."""
        if not isinstance(coin, str) or coin not in self._assets:
            raise Unknown(f"coin {coin!r}")
        return self._assets[coin]

    def fills(self, user: str) -> list[dict[str, Any]]:
        """Newest executions, newest first."""
        account = self.exchange.accounts.get(user.lower())
        newest = account.fills[: -FILLS_A_PAGE - 1 : -1] if account else []
        return [frames.fill(self.exchange, x) for x in newest]

    def fundings(self, user: str) -> list[dict[str, Any]]:
        """Newest settlements, oldest first."""
        account = self.exchange.accounts.get(user.lower())
        newest = account.fundings[-ROWS:] if account else []
        return [frames.funding(self.exchange, x) for x in newest]

    def clearinghouse(self, user: str, now_ms: int) -> dict[str, Any]:
        """Positions and margin."""
        account = self.exchange.accounts.get(user.lower())
        return frames.clearinghouse(self.exchange, account, now_ms)

    def frontend_orders(self, user: str) -> list[dict[str, Any]]:
        """Resting orders with everything that is known of them."""
        resting = self.exchange.open_orders(user.lower())
        return [frames.frontend_order(self.exchange, x, x.left) for x in resting]

    def _user(self, asked: wire.Asked) -> str:
        if not is_address(asked.user):
            raise Unknown(f"user {asked.user!r}")
        return asked.user.lower()

    def _open(self, asked: wire.Asked) -> list[Order]:
        return self.exchange.open_orders(self._user(asked))

    def _l2_book(self, asked: wire.Asked, now_ms: int) -> dict[str, Any]:
        if asked.nSigFigs is not None:
            # Aggregated books are for looking at; nobody should trade on one.
            raise Unknown("nSigFigs")
        return frames.l2_book(self.exchange, self.asset(asked.coin), now_ms, FULL_DEPTH)

    def _meta(self, asked: wire.Asked, now_ms: int) -> dict[str, Any]:
        universe = [
            {
                "name": x.coin,
                "szDecimals": x.size_decimals,
                "maxLeverage": x.max_leverage,
                "marginTableId": x.max_leverage,
            }
            for x in self.exchange.listings
        ]
        tiers = [
            [
                leverage,
                {
                    "description": "",
                    "marginTiers": [{"lowerBound": "0.0", "maxLeverage": leverage}],
                },
            ]
            for leverage in sorted({x.max_leverage for x in self.exchange.listings})
        ]
        return {"universe": universe, "marginTables": tiers, "collateralToken": 0}

    def _order_status(self, asked: wire.Asked, now_ms: int) -> dict[str, Any]:
        if asked.oid is None:
            raise Unknown("oid")
        oid = asked.oid.lower() if isinstance(asked.oid, str) else asked.oid
        order = self.exchange.find(self._user(asked), oid)
        if order is None:
            return {"status": "unknownOid"}
        told = {
            "order": frames.frontend_order(self.exchange, order, order.written_left),
            "status": order.status,
            "statusTimestamp": order.status_ms,
        }
        return {"status": "order", "order": told}

    def _fills_by_time(self, asked: wire.Asked, now_ms: int) -> list[dict[str, Any]]:
        """From the start, oldest first, so that pages follow one another."""
        account = self.exchange.accounts.get(self._user(asked))
        end_ms = now_ms if asked.endTime is None else asked.endTime
        fills = account.fills if account else []
        within = [x for x in fills if asked.startTime <= x.time_ms <= end_ms]
        return [frames.fill(self.exchange, x) for x in within[:FILLS_A_PAGE]]

    def _fundings_by_time(self, asked: wire.Asked, now_ms: int) -> list[dict[str, Any]]:
        account = self.exchange.accounts.get(self._user(asked))
        end_ms = now_ms if asked.endTime is None else asked.endTime
        rows = account.fundings if account else []
        within = [x for x in rows if asked.startTime <= x.time_ms <= end_ms][:ROWS]
        return [
            {
                "time": x.time_ms,
                "hash": f"0x{0:064x}",
                "delta": {
                    "type": "funding",
                    **{k: v for k, v in frames.funding(self.exchange, x).items() if k != "time"},
                },
            }
            for x in within
        ]

    def _fees(self, asked: wire.Asked, now_ms: int) -> dict[str, Any]:
        rules = self.exchange.rules
        return {
            "dailyUserVlm": [],
            "userCrossRate": money(rules.taker_ppm),
            "userAddRate": money(rules.maker_ppm),
            "activeReferralDiscount": "0.0",
        }

    def _rate_limit(self, asked: wire.Asked, now_ms: int) -> dict[str, Any]:
        user = self._user(asked)
        account, budget = self.exchange.accounts.get(user), self.gateway.budget(user)
        volume = account.volume if account else 0
        return {
            "cumVlm": money(volume),
            "nRequestsUsed": budget.used,
            "nRequestsCap": budget.cap(volume),
            "nRequestsSurplus": 0,
        }

    def _role(self, asked: wire.Asked, now_ms: int) -> dict[str, str]:
        return {"role": "user" if self._user(asked) in self.exchange.accounts else "missing"}


def is_address(text: Any) -> bool:
    """Whether a text is an account's address."""
    if not isinstance(text, str) or len(text) != 42 or not text.lower().startswith("0x"):
        return False
    return all(x in "0123456789abcdef" for x in text[2:].lower())
