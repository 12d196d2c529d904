"""The invariants, judged by the venue's truth and the network's, never by what the core believes.

Written from the venue's rules alone: its own ledger, its own idea of an order's life.

    I1 worst case      I2 no ghost      I3 proof of death      I4 exactly once      I5 money
    I6 journal         I7 order         I8 legal               I9 fresh             I10 kill
    I11 bounded        I12 finite       well: it heals
"""

import dataclasses

from diffmm.live import events
from diffmm.live.events import Command
from diffmm.live.recovery import Known

from .leaving import Leaving
from .truth import ASSET, MS, NS, Truth


MONEY = 100
"""Of the core's money units in one of the venue's."""
ORDER_NS = 1_500 * MS
"""Between two tries to take off an order that must not stand."""
FINE, LATCHED, LOST, UNCONFIRMED = 0, 4, 5, 7
MOST_PENDING, MOST_ASKED, MOST_OVER = 2_000, 8, 20_000
END_NS = 12 * NS


@dataclasses.dataclass(frozen=True)
class Violation:
    """Which invariant, when, and what was found."""

    invariant: str
    at_s: float
    words: str


class Checker:
    """Looks on, and remembers what it needs to judge.

    **Attributes:**

    - `violations`: what was found.
    - `leaving`: what is judged as it leaves.
    """

    def __init__(self, sim):
        self._sim = sim
        self.violations = []
        self._truth = Truth(sim)
        self.leaving = Leaving(sim, self._truth, self.fail, self._is_ending)
        self._over, self._working = {}, set()
        self._must_go_ns = None
        self._ending_ns, self._is_killed = None, False
        self._booked = None
        self._begun_ns = 0

    def fail(self, invariant, words):
        at_s = (self._sim.now_ns - self._sim.venue.start_ns) / NS
        self.violations.append(Violation(invariant, at_s, words))

    def _is_ending(self):
        return self._is_killed or self._ending_ns is not None

    def known(self):
        core = self._sim.core
        return Known(core.books, core.desk.blotter, core.desk.nonce)

    # ------------------------------------------------------------------ when things happen

    def on_boot(self, core):
        self._over, self._working = {}, set()
        self._must_go_ns = self._ending_ns = None
        self._begun_ns = self._sim.core_ns
        if self._is_killed:
            self.fail("I10", "a process started under a latch")

    def on_death(self):
        self._must_go_ns = self._ending_ns = None

    def on_latch(self):
        self._is_killed = True
        self._ending_ns = self._ending_ns or self._sim.core_ns

    def on_unlatch(self):
        self._is_killed = False

    def before(self, event):
        if isinstance(event, events.Commanded) and event.command in (Command.KILL, Command.STOP):
            self._ending_ns = self._ending_ns or self._sim.core_ns

    def after(self, event):
        """The core has taken an event and everything it asked for is done."""
        core = self._sim.core
        if core is None:
            return
        self._states(core)
        self._money(core)
        self._withdrawn(core)
        if self._ending_ns is not None and self._sim.core_ns - self._ending_ns > END_NS + (
            self._sim._tick_ns
        ):
            if self._sim.now_ns >= self._sim.frozen_until_ns + NS:
                self.fail("I10", f"no end {END_NS / NS:g} s after it was asked for: {core.mode}")

    def on_end(self, end):
        sim = self._sim
        if end.code in (FINE, LATCHED) and (self._truth.resting() or list(self._truth.flying())):
            self.fail("I10", f"it ended with {end.code} while orders rest: {end.reason}")
        silent_ns = sim.core_ns - max(sim.network.word_ns, self._begun_ns)
        if end.code == LOST and silent_ns < 29 * NS:
            self.fail("I10", f"it gave up {silent_ns / NS} s after a word")
        if end.code not in (FINE, LATCHED, LOST, UNCONFIRMED):
            self.fail("end", f"code {end.code}: {end.reason}")
        if end.code == UNCONFIRMED and sim.network.fired == {} and not any(sim.seen):
            self.fail("end", "nothing was confirmed although nothing was wrong")
        self._ending_ns = None

    # ------------------------------------------------------------------ after every event

    def on_step(self):
        """Something has happened at the venue, on the way, or in the core."""
        sim = self._sim
        self._truth.look()
        resting, flying = self._truth.resting(), list(self._truth.flying())
        self._worst_case(resting, flying)
        if sim.core is not None:
            self._no_ghost(resting, flying)

    def _worst_case(self, resting, flying):
        position, most = self._truth.account().size(ASSET), self._sim.limits.max_position
        buys = sum(x.left for x in resting if x.is_buy) + sum(x[1] for x in flying if x[0])
        sells = sum(x.left for x in resting if not x.is_buy) + sum(x[1] for x in flying if not x[0])
        if position + buys > most or position - sells < -most:
            self.fail("I1", f"position {position}, may buy {buys} and sell {sells}, limit {most}")

    def _no_ghost(self, resting, flying):
        blotter = self._sim.core.desk.blotter
        for cloid, oid in [(x.cloid, x.oid) for x in resting] + [(x[3], -1) for x in flying]:
            order = blotter.orders.get(cloid)
            if order is None or order.is_over:
                state = "not known" if order is None else order.state.name
                where = "rests" if oid >= 0 else "is on its way"
                self.fail("I2" if order is None else "I3", f"{cloid} {where} and is {state} to us")

    def _states(self, core):
        """What is over stays over."""
        orders = core.desk.blotter.orders
        working = {x.cloid for x in core.desk.blotter.working()}
        for cloid in self._working - working:
            self._over[cloid] = orders[cloid].state if cloid in orders else None
        for cloid in working & self._over.keys():
            self.fail("I7", f"{cloid} was {self._over[cloid]}, is {orders[cloid].state.name}")
        self._working = working

    def _money(self, core):
        """The core's books against a ledger of our own over the venue's fills."""
        books = core.books
        if books.balance is None:
            return
        mark = (books.balance, len(books._fills), len(books._paid))
        if mark == self._booked:
            return
        self._booked = mark
        position, cash = self._truth.ledger(books)
        if (books.balance.position, books.balance.cash_1e8) != (position, cash * MONEY):
            told = f"{books.balance.position}, {books.balance.cash_1e8}e-8"
            self.fail("I4", f"books say {told}; their fills make {position}, {cash * MONEY}e-8")

    def _withdrawn(self, core):
        """While nothing may be quoted, what rests is being taken off."""
        if core.mode.value in ("quoting", "reduce-only"):
            self._must_go_ns = None
            return
        now = self._sim.core_ns
        self._must_go_ns = self._must_go_ns or now
        if now - self._must_go_ns < ORDER_NS:
            return
        for order in self._truth.resting():
            last = max(self.leaving.canceled_ns.get(order.cloid, 0), self._must_go_ns)
            if now - last > ORDER_NS + self._sim._tick_ns:
                known = core.desk.blotter.orders.get(order.cloid)
                if known is not None and known.state.name != "CLOSING":
                    self.fail(
                        "I9", f"{order.cloid} rests, {core.mode}, uncancelled for {now - last}"
                    )

    # ------------------------------------------------------------------ now and then

    def now_and_then(self):
        """Dearer: the journal folds to what the core is, and nothing grows."""
        core = self._sim.core
        if core is None:
            return
        folded, blotter = self._sim.disk.fold(), core.desk.blotter
        pairs = {
            "balance": (folded.books.balance, core.books.balance),
            "fills": (set(folded.books._fills), set(core.books._fills)),
            "orders": (
                {x.cloid for x in folded.blotter.working()},
                {x.cloid for x in blotter.working() if not x.is_adopted},
            ),
            "nonce": (folded.nonce, core.desk.nonce),
        }
        for name, (one, other) in pairs.items():
            if one != other:
                self.fail("I6", f"{name}: folded {str(one)[:200]}, is {str(other)[:200]}")
        sizes = {
            "orders": (len(blotter.orders), MOST_OVER + 200),
            "working": (sum(1 for _ in blotter.working()), core.limits.max_open_orders + 50),
            "pending": (len(core.desk._pending), MOST_PENDING),
            "asked": (len(core.desk._asked), MOST_ASKED),
            "slots": (len(core.slots), 4),
        }
        for name, (found, most) in sizes.items():
            if found > most:
                self.fail("I11", f"{found} {name}, at most {most}")

    def is_well(self):
        """Quoting, nothing unknown, and the books are the venue's."""
        core = self._sim.core
        if core is None or core.books.balance is None or not core.may_open:
            return False
        if core.mode.value != "quoting":
            return False
        account, held = self._truth.account(), core.books.balance
        return (held.position, held.cash_1e8) == (account.size(ASSET), account.cash * MONEY)

    def at_rest(self):
        """At the end of the time without faults."""
        core, account = self._sim.core, self._truth.account()
        if not self.is_well():
            mode = None if core is None else core.mode.value
            held = None if core is None else core.books.balance
            truth = (account.size(ASSET), account.cash * MONEY)
            self.fail("well", f"not healed: {mode}, books {held}, venue {truth}")
