"""Bugs that real trading systems had, planted on purpose: a checker that misses one is no checker.

Each takes pytest's `monkeypatch` and breaks one thing in the real core.
"""

import dataclasses

from diffmm.live import gate
from diffmm.live.blotter import Blotter, State
from diffmm.live.books import Books
from diffmm.live.dealer import Dealer
from diffmm.live.desk import Desk
from diffmm.live.events import Latch
from diffmm.live.trader import Trader
from diffmm.live.wire import Wire
from diffmm.market.book import HostBook


def timeout_is_terminal(patch):
    """No reply in time: the order is taken for refused."""
    unknown = Blotter.unknown
    patch.setattr(
        Blotter, "unknown", lambda self, cloid: (unknown(self, cloid), self.refused(cloid))
    )


def no_fill_dedup(patch):
    """A fill that is told twice counts twice."""
    fill = Books.fill

    def twice(self, one):
        self._fills.pop(one.tid, None)
        return fill(self, one)

    patch.setattr(Books, "fill", twice)


def cancel_is_assumed(patch):
    """A cancel was sent: the order is taken for gone."""
    cancel = Desk.cancel

    def assumed(self, orders, *more):
        out = cancel(self, orders, *more)
        for one in orders:
            self.changes += self.blotter._end(one, State.CANCELED, one.filled, 0)
        return out

    patch.setattr(Desk, "cancel", assumed)


def snapshot_is_merged(patch):
    """A snapshot of the book is laid over the old levels instead of replacing them."""
    snapshot = HostBook.snapshot

    def merged(self, bids, asks, stamp_ms, depth):
        old = [{x[0]: x for x in side} for side in self.sides]
        if not snapshot(self, bids, asks, stamp_ms, depth):
            return False
        for side, levels in enumerate(self.sides):
            both = old[side] | {x[0]: x for x in levels}
            first = levels[0][0] if levels else None
            behind = [p for p in both if first is None or (p <= first if side == 0 else p >= first)]
            levels[:] = [both[p] for p in sorted(behind, reverse=side == 0)]
        return True

    patch.setattr(HostBook, "snapshot", merged)


def in_flight_is_free(patch):
    """The limits count what rests, not what is on its way or of unknown fate."""
    snapshot = Dealer.snapshot

    def resting_only(self):
        now = snapshot(self)
        pairs = zip(now.working, self.desk.blotter.working(), strict=True)
        return dataclasses.replace(now, working=[x for x, o in pairs if o.state is State.LIVE])

    patch.setattr(Dealer, "snapshot", resting_only)


def absence_is_proof(patch):
    """Not found once, whenever: it never existed."""

    def absent(self, cloid):
        order = self.orders[cloid]
        return [] if order.is_over else self._end(order, State.REJECTED, order.filled, 0)

    ask = Desk._ask
    patch.setattr(Blotter, "absent", absent)
    patch.setattr(Desk, "_ask", lambda self, order, now, newest: ask(self, order, now, 2**62))


def expiry_by_our_clock(patch):
    """That an order has expired is judged by our own clock, which may have jumped."""
    tick = Desk.tick
    patch.setattr(
        Desk, "tick", lambda self, now, newest, *more: tick(self, now, now // 1_000_000, *more)
    )


def intent_is_not_durable(patch):
    """Orders leave before the disk has their intent."""
    place = Desk.place

    def hasty(self, *args):
        write, act = place(self, *args)
        return [dataclasses.replace(write, is_durable=False), act]

    patch.setattr(Desk, "place", hasty)


def nonce_is_the_clock(patch):
    """The nonce is the time in ms, as in the venue's own SDK."""
    act = Desk._act

    def clocked(self, kind, action, cloids, now_ns, venue_ms):
        self.nonce = venue_ms - 1
        return act(self, kind, action, cloids, now_ns, venue_ms)

    patch.setattr(Desk, "_act", clocked)


def stale_is_fresh(patch):
    """A connection that stands is taken for one that speaks."""
    patch.setattr(Wire, "is_fresh", lambda self, now_ns: self.is_open)


def loss_needs_no_reconciliation(patch):
    """After a lost connection it goes on as if nothing could have happened."""
    patch.setattr(Trader, "_doubt", lambda self, kind, text: self.fault(kind, text))


def kill_does_not_stop(patch):
    """The latch falls, and the quoting goes on."""
    on_command = Trader._on_command

    def deaf(self, event):
        if event.command.value != "kill":
            on_command(self, event)
        else:
            self._out.append(Latch(event.reason))

    patch.setattr(Trader, "_on_command", deaf)


def prices_are_not_checked(patch):
    """The gate lets every price and size through."""
    patch.setattr(gate, "_is_legal", lambda order, at: order.size > 0 and order.price > 0)


CAUGHT_BY = {
    timeout_is_terminal: {"I2", "I3", "I7"},
    no_fill_dedup: {"I4"},
    cancel_is_assumed: {"I2", "I3", "I7"},
    snapshot_is_merged: {"I9"},
    in_flight_is_free: {"I1"},
    absence_is_proof: {"I2", "I3", "I7"},
    expiry_by_our_clock: {"I2", "I3", "I7"},
    intent_is_not_durable: {"I6"},
    nonce_is_the_clock: {"I7"},
    stale_is_fresh: {"I9"},
    loss_needs_no_reconciliation: {"I9"},
    kill_does_not_stop: {"I10"},
    prices_are_not_checked: {"I8"},
}
"""Each bug, and the invariants by which it may be found."""
CAUGHT_AT = {snapshot_is_merged: 2, kill_does_not_stop: 12, expiry_by_our_clock: 10}
"""Seeds that find the rarer ones at once; the search goes on from there."""
