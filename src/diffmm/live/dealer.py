"""Decisions to real orders: targets against what stands, through the gate, to the desk; and back.

The engine's output is untrusted: it becomes integers here, and each order passes the gate with
everything counted that was sent before it. What happens to orders goes back to the engine as rows.
"""

import collections
import dataclasses
from typing import Any

import msgspec
import numpy as np

from diffmm.engine.stepper import Decision
from diffmm.execution.diff import Cancel, diff, Place
from diffmm.market import AccountInputs, BID, Kind, own
from diffmm.market.reports import FillReport, FundingReport
from diffmm.venues.intake import Intake

from .books import Books
from .desk import Desk
from .events import Act, Action, Send, Write
from .gate import Denial, gate, Intended, Snapshot, Tokens, Working
from .limits import Limits
from .quoter import Quoter, Standing, Stepper
from .wire import Wire


class Dealer(Quoter):
    """One instrument's engine with real orders.

    **Attributes:**

    - `desk`, `books`, `wire`, `limits`: as given.
    - `slots`: cloid of the order in each slot of the engine.
    - `intents`: cancels and places sent.
    - `denials`: orders that the gate kept back, by code.
    - `mark`: the venue's mark price, in price units.
    """

    def __init__(
        self,
        stepper: Stepper,
        intake: Intake,
        account: AccountInputs,
        desk: Desk,
        books: Books,
        wire: Wire,
        limits: Limits,
    ):
        super().__init__(stepper, intake, account)
        self.desk, self.books, self.wire, self.limits = desk, books, wire, limits
        self.slots: dict[tuple[int, int], str] = {}
        self.intents = 0
        self.denials: collections.Counter[str] = collections.Counter()
        self.mark: int | None = None
        self.may_open = self.is_reduce_only = False
        self._tokens = Tokens(limits.max_messages_per_min)
        # Where messages run short, new orders are sent as often as they last, evenly.
        self._pace_ns, self._placed_ns = 2 * self._tokens.interval_ns, 0
        self._out: list[Action] = []
        self._unbooked: list[FillReport] = []
        if books.balance is not None:
            self.ledger.start(books.balance.position)

    def write(self, record: dict[str, Any]) -> None:
        """Append to the journal."""
        self._out.append(Write(record))

    @property
    def venue_ms(self) -> int:
        """The venue's clock now."""
        return self.wire.venue_ms(self.now_ns)

    @property
    def epoch(self) -> int | None:
        """Connection to post on, `None` to go over HTTP: without one, or with no message left."""
        has_left = self._tokens.left(self.now_ns) > 0
        return self.wire.epoch if self.wire.is_ready and has_left else None

    def best(self, side: int) -> tuple[int, int] | None:
        """Price and size of our order nearest to the market, those being cancelled left out."""
        orders = [self.desk.blotter.orders[x] for at, x in self.slots.items() if at[0] == side]
        pick = max if side == BID else min
        order = pick(orders, key=lambda x: x.price, default=None)
        return order and (order.price, order.left)

    @property
    def standing(self) -> int:
        """How many orders are not over."""
        return sum(1 for _ in self.desk.blotter.working())

    def snapshot(self) -> Snapshot:
        """What the gate is told."""
        held = self.books.balance
        return Snapshot(
            may_open=self.may_open,
            is_reduce_only=self.is_reduce_only,
            is_fresh=held is not None and self.wire.is_fresh(self.now_ns),
            position=held.position if held else 0,
            working=[
                Working(x.side, x.price, x.left, x.slot is None)
                for x in self.desk.blotter.working()
            ],
            mid2=self.ledger.mid2 if self._has_book() else None,
            mark=self.mark,
            tokens=self._tokens.left(self.now_ns),
            pnl_1e8=self.ledger.pnl_1e8,
        )

    def _send(self, actions: list[Action]) -> None:
        """Actions leave in this order; each message costs a token."""
        sent = sum(
            isinstance(x, Send) or (isinstance(x, Act) and x.epoch is not None) for x in actions
        )
        if sent:
            self._tokens.take(self.now_ns, sent)
        self._out += actions

    def _on_fills(self, fills: list[FillReport]) -> None:
        """Fills from any feed; each counts once."""
        for one in fills:
            if not self.books.fill(one):
                continue
            is_known = self.desk.blotter.find(one.cloid, one.oid) is not None
            told = {"t": "ownfill", "ns": self.now_ns, "fill": msgspec.to_builtins(one)}
            self._out.append(Write({**told, "is_ours": is_known}))
            if not is_known:
                self.fault("foreign_fill", f"tid {one.tid} of oid {one.oid}")
            self.desk.filled(one)
            self._unbooked.append(one)

    def _on_fundings(self, paid: list[FundingReport]) -> None:
        for one in paid:
            if self.books.funding(one):
                self.ledger.on_payment(one.paid_1e8)
                self.write({"t": "funding", "ns": self.now_ns, "paid": msgspec.to_builtins(one)})

    def _settle(self) -> None:
        """Tell the engine what happened to our orders, until nothing more does."""
        while self.desk.changes or self._unbooked:
            changes, self.desk.changes = self.desk.changes, []
            for change in changes:
                if isinstance(change, own.Gone | own.Pulled):
                    self._vacate(change.id)
            if self._unbooked:
                changes.append(self._held())
            self.write({"t": "own", "ns": self.now_ns, "changes": msgspec.to_builtins(changes)})
            self._fold(self.intake.own(changes, self.now_ns))
            if self._unbooked:
                # No row could carry them: no anchor yet, or they are of no order of ours.
                self._book()

    def _held(self) -> own.Held:
        held = self.books.balance
        value = self.books.value_1e8(self.ledger.mid2 or 0)
        return own.Held(held.position if held else 0, value)

    def _vacate(self, cloid: str) -> None:
        order = self.desk.blotter.orders.get(cloid)
        for at, standing in list(self.slots.items()):
            if standing == cloid:
                del self.slots[at]
        if order is not None:
            order.slot = None

    def _on_row(self, vector: np.ndarray) -> None:
        at = self._at
        if vector[at.kind] == int(Kind.ANCHOR) and vector[at.shift_ticks] == 0:
            # With another tick no integer price survives.
            self._cancel([x for x in self.desk.blotter.working() if x.slot is not None])

    def _step(self, vector: np.ndarray) -> Any:
        self._patch(vector)
        lots, ticks = [0, 0], [0, 0]
        if vector[self._at.kind] == int(Kind.OWN) and self._unbooked:
            for one in self._unbooked:
                lots[one.side] += one.size
                ticks[one.side] += one.size * (one.price - self._anchor) // self._tick
            self._book()
        return self.stepper.row(vector, (lots[0], lots[1]), (ticks[0], ticks[1]))

    def _book(self) -> None:
        """Fills enter the run's own ledger; before the first mid they are what we start with."""
        fills, self._unbooked = self._unbooked, []
        if self.ledger.mid2 is None:
            held = self.books.balance
            self.ledger.start(held.position if held else 0)
            return
        for one in fills:
            value = one.price * one.size
            self.ledger.on_fills(self._elapsed_ns, one.side, value, one.size, one.fee_1e8)

    def _on_decision(self, decision: Decision) -> Standing:
        self.write(self._told(decision))
        if self.may_open and self._is_present():
            self._act_on(decision)
        return self._stands(decision)

    def _act_on(self, decision: Decision) -> None:
        targets = decision.targets
        is_live = np.zeros(np.shape(targets.lots), bool)
        for at in self.slots:
            is_live[at] = True
        wanted = diff(targets, is_live)
        orders = self.desk.blotter.orders
        gone = [self.slots[x.side, x.slot] for x in wanted if isinstance(x, Cancel)]
        self._cancel([orders[x] for x in gone if x in orders])
        places = [x for x in wanted if isinstance(x, Place) and (x.side, x.slot) not in self.slots]
        # What must go goes at once, whatever the pace: what is left respects every limit.
        allowed = self._through_gate(places) if self._is_due() else []
        if allowed:
            self._placed_ns = self.now_ns
            ahead = len(self.desk.changes)
            self._send(self.desk.place(allowed, self.now_ns, self.venue_ms, self.epoch))
            for change in self.desk.changes[ahead:]:
                if isinstance(change, own.Placed):
                    self.slots[change.side, change.slot] = change.id
        self.intents += len(gone) + len(allowed)
        self._tell_placed()

    def _is_due(self) -> bool:
        """Whether messages last for new orders now."""
        is_plenty = self._tokens.left(self.now_ns) > 2 * self.limits.cancel_reserve
        return is_plenty or self.now_ns - self._placed_ns >= self._pace_ns

    def _through_gate(self, places: list[Place]) -> list[tuple[int, Intended]]:
        """What the gate allows, each counted before the next is looked at."""
        now, encoder = self.snapshot(), self.intake.encoder
        allowed: list[tuple[int, Intended]] = []
        denied: collections.Counter[str] = collections.Counter()
        for one in places:
            price = encoder.anchor + encoder.tick * int(one.ticks)
            order = Intended(int(one.side), price, int(one.lots))
            denial = gate(order, now, self.limits, encoder.instrument)
            if denial is not None:
                denied[denial.value] += 1
                continue
            allowed.append((int(one.slot), order))
            working = [*now.working, Working(order.side, order.price, order.size, False)]
            now = dataclasses.replace(now, working=working)
        if denied:
            self.denials += denied
            self.write({"t": "denied", "ns": self.now_ns, "orders": dict(denied)})
        if Denial.LOSS.value in denied:
            self._on_loss()
        return allowed

    def _cancel(self, orders: list[Any]) -> None:
        self._send(self.desk.cancel(orders, self.now_ns, self.venue_ms, self.epoch))
        for one in orders:
            self._vacate(one.cloid)
        self._tell_placed()

    def _tell_placed(self) -> None:
        """What we just sent stands in the next row already; nothing of it wakes."""
        mine = [x for x in self.desk.changes if isinstance(x, own.Placed | own.Pulled)]
        if mine:
            self.desk.changes = [x for x in self.desk.changes if x not in mine]
            told = {"row": self.row_count - 1, "changes": msgspec.to_builtins(mine)}
            self.write({"t": "note", "ns": self.now_ns, **told})
            self.intake.encoder.note(mine)

    def _stands(self, decision: Decision) -> Standing:
        """The orders that stand after a decision, by slot."""
        ticks, lots = np.zeros_like(decision.targets.ticks), np.zeros_like(decision.targets.lots)
        for at, cloid in self.slots.items():
            order = self.desk.blotter.orders[cloid]
            ticks[at] = (order.price - self._anchor) // self._tick
            lots[at] = order.left
        return ticks, lots

    def _has_book(self) -> bool:
        return bool(self.intake.encoder.row.book.is_valid[:, 0].all())

    def _on_loss(self) -> None:
        """The loss limit is passed."""
