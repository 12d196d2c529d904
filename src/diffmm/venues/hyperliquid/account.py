"""The venue's words about our account, to reports in exact integers.

User feeds (`orderUpdates`, `userFills`, `user`), answers of `/info`, and replies to actions. What
cannot be read raises `WordError`: about money nothing is guessed.
"""

from typing import Any

import msgspec

from diffmm.market import ASK, BID
from diffmm.market.instrument import Instrument, signed_units, units
from diffmm.market.reports import (
    AccountReport,
    Cancellation,
    Fate,
    FillReport,
    FundingReport,
    OrderReport,
    Placement,
)


MONEY_DECIMALS = 8
ENDS = {"scheduledCancel": Fate.CANCELED, "internalCancel": Fate.CANCELED}
SIDES = {"B": BID, "A": ASK}


class WordError(ValueError):
    """Words about our account that cannot be read; says what was found."""


class _Order(msgspec.Struct):
    coin: str
    side: str
    limitPx: str
    sz: str
    oid: int
    timestamp: int = 0
    origSz: str | None = None
    cloid: str | None = None


class _Update(msgspec.Struct):
    order: _Order
    status: str
    statusTimestamp: int


class _Fill(msgspec.Struct):
    coin: str
    px: str
    sz: str
    side: str
    time: int
    oid: int
    fee: str
    tid: int
    crossed: bool = False
    cloid: str | None = None


class _Fills(msgspec.Struct):
    fills: list[_Fill]
    user: str = ""
    isSnapshot: bool = False


class _Funding(msgspec.Struct):
    time: int
    coin: str
    usdc: str


class _Event(msgspec.Struct):
    fills: list[_Fill] = []
    funding: _Funding | None = None


class _Delta(msgspec.Struct):
    coin: str = ""
    usdc: str = "0"
    type: str = "funding"


class _FundingRow(msgspec.Struct):
    time: int
    delta: _Delta


class _Status(msgspec.Struct):
    status: str
    order: _Update | None = None


class _Position(msgspec.Struct):
    coin: str
    szi: str


class _Held(msgspec.Struct):
    position: _Position


class _Margin(msgspec.Struct):
    accountValue: str
    totalRawUsd: str


class _State(msgspec.Struct):
    marginSummary: _Margin
    time: int
    assetPositions: list[_Held] = []


class _Reply(msgspec.Struct):
    status: str
    response: msgspec.Raw


class _Data(msgspec.Struct):
    statuses: list[Any] = []


class _Body(msgspec.Struct):
    type: str
    data: _Data = msgspec.field(default_factory=_Data)


def fate(status: str) -> Fate:
    """What a status means, by its suffix; the list is open, so an unknown one is unclear."""
    if status in ("open", "triggered"):
        return Fate.OPEN
    if status == "filled":
        return Fate.FILLED
    if status == "canceled" or status.endswith("Canceled"):
        return Fate.CANCELED
    if status == "rejected" or status.endswith("Rejected"):
        return Fate.REJECTED
    return ENDS.get(status, Fate.UNCLEAR)


class Words:
    """Reader of one account's words about one instrument; others' coins are left out."""

    def __init__(self, at: Instrument):
        self.at = at

    def order_updates(self, data: bytes) -> list[OrderReport]:
        """`orderUpdates`."""
        updates = _decode(data, list[_Update])
        return [self._order(x) for x in updates if x.order.coin == self.at.coin]

    def user_fills(self, data: bytes) -> list[FillReport]:
        """`userFills`, its snapshot too."""
        return self._fills(_decode(data, _Fills).fills)

    def user_event(self, data: bytes) -> tuple[list[FillReport], list[FundingReport]]:
        """`user`: fills or one funding payment."""
        told = _decode(data, _Event)
        paid = [told.funding] if told.funding and told.funding.coin == self.at.coin else []
        return self._fills(told.fills), [
            FundingReport(x.time, signed_units(x.usdc, MONEY_DECIMALS)) for x in paid
        ]

    def fills(self, data: bytes) -> list[FillReport]:
        """Answer to `userFillsByTime`."""
        return self._fills(_decode(data, list[_Fill]))

    def fundings(self, data: bytes) -> list[FundingReport]:
        """Answer to `userFunding`."""
        rows = [x for x in _decode(data, list[_FundingRow]) if x.delta.coin == self.at.coin]
        return [FundingReport(x.time, signed_units(x.delta.usdc, MONEY_DECIMALS)) for x in rows]

    def open_orders(self, data: bytes) -> list[OrderReport]:
        """Answer to `openOrders`; every one of them is open."""
        orders = [x for x in _decode(data, list[_Order]) if x.coin == self.at.coin]
        return [self._order(_Update(x, "open", x.timestamp)) for x in orders]

    def order_status(self, data: bytes) -> OrderReport | None:
        """Answer to `orderStatus`; `None` when the venue knows no such order."""
        told = _decode(data, _Status)
        if told.order is not None:
            return self._order(told.order)
        if told.status == "unknownOid":
            return None
        raise WordError(f"orderStatus says {told.status!r}, expected 'order' or 'unknownOid'")

    def account(self, data: bytes) -> AccountReport:
        """Answer to `clearinghouseState`."""
        told = _decode(data, _State)
        szi = [x.position.szi for x in told.assetPositions if x.position.coin == self.at.coin]
        position = signed_units(szi[0], self.at.size_decimals) if szi else 0
        money = told.marginSummary
        return AccountReport(
            told.time,
            position,
            signed_units(money.totalRawUsd, MONEY_DECIMALS),
            signed_units(money.accountValue, MONEY_DECIMALS),
        )

    def _order(self, told: _Update) -> OrderReport:
        one = told.order
        try:
            left = units(one.sz, self.at.size_decimals)
            size = left if one.origSz is None else units(one.origSz, self.at.size_decimals)
            price = units(one.limitPx, self.at.price_decimals)
        except ValueError as error:
            raise WordError(f"order {one.oid}: {error}") from error
        meant = fate(told.status)
        return OrderReport(
            one.cloid,
            one.oid,
            _side(one.side),
            price,
            size,
            left,
            meant,
            told.status,
            told.statusTimestamp,
        )

    def _fills(self, told: list[_Fill]) -> list[FillReport]:
        return [self._fill(x) for x in told if x.coin == self.at.coin]

    def _fill(self, one: _Fill) -> FillReport:
        try:
            price = units(one.px, self.at.price_decimals)
            size = units(one.sz, self.at.size_decimals)
            fee = signed_units(one.fee, MONEY_DECIMALS)
        except ValueError as error:
            raise WordError(f"fill {one.tid}: {error}") from error
        if price <= 0 or size <= 0:
            raise WordError(f"fill {one.tid}: price {one.px!r} size {one.sz!r}")
        side = _side(one.side)
        return FillReport(
            one.tid, one.cloid, one.oid, side, price, size, fee, one.time, one.crossed
        )


def placements(body: bytes, count: int) -> list[Placement] | str:
    """Replies to an `order` action by order, or the error of the whole action.

    Raises:
        WordError: when there is not one reply an order; then nothing is known of any.
    """
    told = _statuses(body, count)
    return told if isinstance(told, str) else [_placement(x) for x in told]


def cancellations(body: bytes, count: int) -> list[Cancellation] | str:
    """Replies to a cancel action by order, or the error of the whole action.

    Raises:
        WordError: when there is not one reply an order.
    """
    told = _statuses(body, count)
    if isinstance(told, str):
        return told
    return [Cancellation(None if x == "success" else _error(x)) for x in told]


def refusal(body: bytes) -> str | None:
    """The error of an action that has no replies by order, `None` for success."""
    told = _decode(body, _Reply)
    return None if told.status == "ok" else _text(told.response)


def _statuses(body: bytes, count: int) -> list[Any] | str:
    told = _decode(body, _Reply)
    if told.status != "ok":
        return _text(told.response)
    statuses = _decode(bytes(told.response), _Body).data.statuses
    if len(statuses) != count:
        raise WordError(f"{len(statuses)} replies to {count} orders")
    return statuses


def _placement(told: Any) -> Placement:
    if isinstance(told, dict):
        for kind in ("resting", "filled"):
            if isinstance(told.get(kind), dict) and isinstance(told[kind].get("oid"), int):
                return Placement(told[kind]["oid"], kind == "resting", None)
        if isinstance(told.get("error"), str):
            return Placement(None, False, told["error"])
    raise WordError(f"a reply of no known shape: {str(told)[:200]}")


def _error(told: Any) -> str:
    if isinstance(told, dict) and isinstance(told.get("error"), str):
        return told["error"]
    raise WordError(f"a reply of no known shape: {str(told)[:200]}")


def _text(raw: msgspec.Raw) -> str:
    told = msgspec.json.decode(bytes(raw))
    return told if isinstance(told, str) else str(told)[:200]


def _side(text: str) -> int:
    if text not in SIDES:
        raise WordError(f"side {text!r}, expected 'B' or 'A'")
    return SIDES[text]


def _decode(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WordError(f"{error} in {bytes(data)[:200]!r}") from error
