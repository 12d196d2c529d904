"""Signed actions: whose they are, whether they may run, and what they did, in the venue's words."""

import enum
from collections.abc import Callable
from typing import Any

from diffmm.venues.hyperliquid.signer import recover, SigningError

from . import wire
from .account import Account
from .book import Tif
from .config import Config
from .exchange import Exchange, NewOrder, Placed
from .limits import Budget, DAY_MS, Nonces, STALE_WEIGHT
from .listing import decimal, units, USD
from .refusals import Refusal, Refused


LEAST_SCHEDULE_MS = 5_000
TRIGGERS_A_DAY = 10
MOST_IN_BATCH = 1_000
BAND = 95
"""Percent of the mark that a price may be away from it."""
TIFS = {"Alo": Tif.ALO, "Ioc": Tif.IOC, "FrontendMarket": Tif.IOC, "Gtc": Tif.GTC}


Run = Callable[[int], object]
"""Something done in a block, given its time in ns."""


class Turn(enum.IntEnum):
    """When an action runs within its block."""

    RESTING = 0
    CANCEL = 1
    CROSSING = 2


class Invalid(Exception):
    """One text refuses the whole action."""


class Gateway:
    """Between the wire and the exchange.

    **Attributes:**

    - `budgets`: requests by address.
    - `schedules`: when all orders of an address are to be cancelled, ms.
    """

    def __init__(self, exchange: Exchange, config: Config):
        self.exchange, self.config = exchange, config
        self.budgets: dict[str, Budget] = {}
        self.schedules: dict[str, int] = {}
        self._nonces: dict[str, Nonces] = {}
        self._triggers: dict[str, tuple[int, int]] = {}

    def drip(self, address: str) -> bool:
        """Pay an address its first money; false where it has had it."""
        if address in self.exchange.accounts:
            return False
        self.exchange.open_account(address, self.config.drip)
        return True

    def budget(self, address: str) -> Budget:
        """Requests of an address."""
        if address not in self.budgets:
            self.budgets[address] = Budget(self.config.free_requests)
        return self.budgets[address]

    def account_of(self, signed: wire.Signed) -> Account:
        """Who signed.

        Raises:
            Invalid: nobody known here.
        """
        if signed.vaultAddress is not None:
            raise Invalid(f"Vault not registered: {signed.vaultAddress.lower()}")
        action = wire.canonical(signed.action)
        try:
            address = recover(action, signed.signature, signed.nonce, None, signed.expiresAfter)
        except SigningError:
            raise Invalid("Unable to recover signer.") from None
        account = self.exchange.accounts.get(address)
        if account is None or account.is_house:
            raise Invalid(f"L1 error: User or API Wallet {address} does not exist.")
        return account

    def run(self, account: Account, signed: wire.Signed, now_ns: int) -> dict[str, Any]:
        """Execute an action in its block; the answer's body."""
        try:
            self._admit(account, signed, now_ns)
            return {"status": "ok", "response": self._do(account, signed.action, now_ns)}
        except Invalid as error:
            return {"status": "err", "response": str(error)}

    def due_ms(self) -> int | None:
        """When the next scheduled cancel fires."""
        return min(self.schedules.values(), default=None)

    def fire(self, now_ms: int) -> None:
        """Cancel everything of those whose schedule has come."""
        for address in [x for x, at in self.schedules.items() if at <= now_ms]:
            del self.schedules[address]
            day, count = self._triggers.get(address, (0, 0))
            today = now_ms // DAY_MS
            self._triggers[address] = (today, count + 1 if day == today else 1)
            for order in self.exchange.open_orders(address):
                self.exchange.withdraw(order, "scheduledCancel", now_ms, is_by_venue=True)

    def _admit(self, account: Account, signed: wire.Signed, now_ns: int) -> None:
        now_ms, address = now_ns // 1_000_000, account.address
        refusal = self._nonces.setdefault(address, Nonces()).refusal(signed.nonce, now_ms)
        if refusal is not None:
            raise Invalid(refusal)
        weight, budget = weight_of(signed.action), self.budget(address)
        if signed.expiresAfter is not None and signed.expiresAfter < now_ms:
            budget.used += STALE_WEIGHT * weight
            raise Invalid("Action already expired")
        is_cancel = turn_of(signed.action) is Turn.CANCEL
        refusal = budget.refusal(weight, is_cancel, account.volume, now_ns)
        if refusal is not None:
            raise Invalid(refusal)

    def _do(self, account: Account, action: wire.Action, now_ns: int) -> dict[str, Any]:
        now_ms = now_ns // 1_000_000
        match action:
            case wire.Place():
                placed = [self._place(account, x, now_ms) for x in self._batch(action.orders)]
                return _answer("order", placed)
            case wire.Cancel() | wire.CancelByCloid():
                pairs = [
                    (x.a, x.o) if isinstance(x, wire.ByOid) else (x.asset, x.cloid)
                    for x in action.cancels
                ]
                return _answer("cancel", [self._cancel(account, *x, now_ms) for x in pairs])
            case wire.BatchModify():
                self._batch([x.order for x in action.modifies])
                changed = [self._modify(account, x, action.a, now_ms) for x in action.modifies]
                return _answer("order", changed)
            case wire.Modify():
                self._batch([action.order])
                change = wire.Change(oid=action.oid, order=action.order)
                said = self._modify(account, change, action.a, now_ms)
                if "error" in said:
                    raise Invalid(said["error"])
            case wire.ScheduleCancel():
                self._schedule(account, action.time, now_ms)
            case wire.UpdateLeverage():
                self._leverage(account, action)
            case wire.Noop():
                pass
        return {"type": "default"}

    def _batch(self, orders: list[wire.Order]) -> list[wire.Order]:
        """What can be said of a batch by itself refuses the whole of it."""
        if not 0 < len(orders) <= MOST_IN_BATCH:
            raise Invalid(f"Batch of {len(orders)} orders; from 1 to {MOST_IN_BATCH} are taken")
        for order in orders:
            if not 0 <= order.a < len(self.exchange.listings):
                raise Invalid(f"Invalid asset {order.a}")
            listing = self.exchange.listings[order.a]
            price = self._units(order.p, listing.price_decimals)
            self._units(order.s, listing.size_decimals)
            mark = self.exchange.marks[order.a]
            if price and mark and abs(price - mark) * 100 > BAND * mark:
                raise Invalid(
                    f"Order price cannot be more than {BAND}% away from the reference price"
                )
        return orders

    def _units(self, text: str, decimals: int) -> int | None:
        try:
            return units(text, decimals)
        except ValueError:
            raise Invalid(f"Invalid decimal {text[:40]!r}") from None

    def _parsed(self, order: wire.Order, tif: Tif | None = None) -> NewOrder | Refused:
        listing = self.exchange.listings[order.a]
        if order.t.limit is None:
            return Refused(Refusal.TRIGGER, order.a)
        price = self._units(order.p, listing.price_decimals)
        size = self._units(order.s, listing.size_decimals)
        if price is None:
            return Refused(Refusal.TICK, order.a)
        if price == 0:
            return Refused(Refusal.PRICE, order.a)
        if size is None:
            return Refused(Refusal.SIZE, order.a)
        if size == 0:
            return Refused(Refusal.ZERO, order.a)
        tif = tif or TIFS[order.t.limit.tif]
        return NewOrder(order.a, order.b, price, size, tif, order.r, order.c)

    def _place(self, account: Account, order: wire.Order, now_ms: int) -> dict[str, Any]:
        return self._placed(account, self._parsed(order), now_ms)

    def _placed(self, account: Account, new: NewOrder | Refused, now_ms: int) -> dict[str, Any]:
        done = self.exchange.place(account, new, now_ms) if isinstance(new, NewOrder) else new
        return {"error": done.words} if isinstance(done, Refused) else self._told(done)

    def _told(self, done: Placed) -> dict[str, Any]:
        order, listing = done.order, self.exchange.listings[done.order.asset]
        named: dict[str, Any] = {"oid": order.oid}
        if order.cloid is not None:
            named["cloid"] = order.cloid
        if order.status == "open":
            return {"resting": named}
        mean = decimal(done.paid * 100 // max(done.filled, 1), listing.price_decimals + 2)
        return {"filled": {"totalSz": listing.size_text(done.filled), "avgPx": mean, **named}}

    def _cancel(self, account: Account, asset: int, oid: int | str, now_ms: int) -> Any:
        refused = self.exchange.cancel(account, asset, oid, now_ms)
        return "success" if refused is None else {"error": refused.words}

    def _modify(
        self, account: Account, change: wire.Change, is_forced: bool, now_ms: int
    ) -> dict[str, Any]:
        """Cancel and place; without force the new one only rests, and only in place of the old."""
        order = change.order
        tif = order.t.limit and TIFS[order.t.limit.tif]
        new = self._parsed(order, None if is_forced or tif is Tif.IOC else Tif.ALO)
        if isinstance(new, Refused):
            return {"error": new.words}
        if not is_forced and tif is Tif.IOC:
            return {"error": Refused(Refusal.MODIFY, order.a).words}
        missing = self.exchange.cancel(account, order.a, change.oid, now_ms)
        if missing is not None and not is_forced:
            return {"error": Refused(Refusal.MODIFY, order.a).words}
        return self._placed(account, new, now_ms)

    def _schedule(self, account: Account, time_ms: int | None, now_ms: int) -> None:
        required = self.config.scheduled_volume
        if account.volume < required:
            raise Invalid(
                "Cannot set scheduled cancel time until enough volume traded. "
                f"Required: ${required // USD}. Traded: ${decimal(account.volume // 10_000, 2)}."
            )
        if time_ms is None:
            self.schedules.pop(account.address, None)
            return
        if time_ms < now_ms + LEAST_SCHEDULE_MS:
            raise Invalid("Scheduled cancel time too early, must be at least 5 seconds from now.")
        day, count = self._triggers.get(account.address, (0, 0))
        if day == now_ms // DAY_MS and count >= TRIGGERS_A_DAY:
            raise Invalid("Too many scheduled cancels triggered today.")
        self.schedules[account.address] = time_ms

    def _leverage(self, account: Account, action: wire.UpdateLeverage) -> None:
        if not 0 <= action.asset < len(self.exchange.listings):
            raise Invalid(f"Invalid asset {action.asset}")
        if not action.isCross:
            raise Invalid("Only cross margin is kept here.")
        if not 1 <= action.leverage <= self.exchange.listings[action.asset].max_leverage:
            raise Invalid("Invalid leverage value")
        account.leverage[action.asset] = action.leverage


def weight_of(action: wire.Action) -> int:
    """Requests that an action counts: a batch of n counts n."""
    for batch in ("orders", "cancels", "modifies"):
        if hasattr(action, batch):
            return max(len(getattr(action, batch)), 1)
    return 1


def turn_of(action: wire.Action) -> Turn:
    """First what cannot cross, then cancels, then what may; a change counts as its new order."""
    match action:
        case wire.Cancel() | wire.CancelByCloid():
            return Turn.CANCEL
        case wire.Place():
            orders = action.orders
        case wire.Modify():
            orders = [action.order]
        case wire.BatchModify():
            orders = [x.order for x in action.modifies]
        case _:
            return Turn.RESTING
    is_resting = all(x.t.limit is not None and x.t.limit.tif == "Alo" for x in orders)
    return Turn.RESTING if is_resting else Turn.CROSSING


def _answer(kind: str, statuses: list[Any]) -> dict[str, Any]:
    return {"type": kind, "data": {"statuses": statuses}}
