"""Where orders are sent from: ids, nonces, replies, queries; the only writer of the blotter.

A reply that does not come leaves an order UNKNOWN; the desk then asks the venue for it by its
cloid until there is proof. A cancel proves nothing either: the order's end does.
"""

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any

from diffmm.market import Instrument, own
from diffmm.market.reports import FillReport, OrderReport
from diffmm.venues.hyperliquid import account, actions

from .blotter import Blotter, Order, State
from .events import Act, Action, Ask, Write
from .gate import Intended


NS = 1_000_000_000
MAGIC = 0xD1FF
"""How every cloid of ours begins, whatever the run."""
EXPIRY_MS, SKEW_MS = 3_000, 500
"""An order that has not arrived by then never will; how sure we are of the venue's clock."""
REPLY_NS, ASK_NS, CANCEL_NS = 2 * NS, NS // 2, 1 * NS
"""Patience for a reply; between questions about one order; before a cancel is sent again."""
MOST_ASKS = 8
"""Questions about orders under way at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pending:
    """An action whose reply has not come."""

    kind: str
    cloids: tuple[str, ...]
    sent_ns: int


def is_ours(cloid: str | None) -> bool:
    """Whether an order at the venue was sent by any run of ours."""
    return cloid is not None and cloid.startswith(f"0x{MAGIC:04x}")


class Desk:
    """Orders of one instrument on one account.

    **Attributes:**

    - `blotter`: every order.
    - `nonce`: the last one used.
    - `rejects`: placements that the venue refused, by its words.
    - `changes`: what happened to orders and the encoder has not been told yet.
    """

    def __init__(self, at: Instrument, asset: int, user: str, blotter: Blotter, nonce: int):
        self.at, self.asset, self.user = at, asset, user
        self.blotter, self.nonce = blotter, nonce
        self.rejects: dict[str, int] = {}
        self.changes: list[own.Own] = []
        self.run = 0
        self._ids = self._sequence = 0
        self._pending: dict[int, Pending] = {}
        self._asked: dict[int, tuple[str, bool]] = {}

    def next_id(self) -> int:
        """Of a request; one count for all of a run."""
        self._ids += 1
        return self._ids

    def place(
        self,
        wanted: Sequence[tuple[int | None, Intended]],
        now_ns: int,
        venue_ms: int,
        epoch: int | None,
        *,
        closes: bool = False,
    ) -> list[Action]:
        """Send new orders, each for its slot; durable before they leave.

        One that closes is immediate and reduce-only, has no slot, and the engine hears of its fills
        only.
        """
        expires_ms = venue_ms + EXPIRY_MS
        orders = [
            Order(self._cloid(), x.side, slot, x.price, x.size, now_ns, expires_ms)
            for slot, x in wanted
        ]
        for one in orders:
            self.blotter.add(one)
            if one.slot is not None:
                placed = own.Placed(one.cloid, one.side, one.slot, one.price, one.size)
                self.changes.append(placed)
        wire = [
            actions.order(self.asset, self.at, x.side, x.price, x.size, x.cloid, closes=closes)
            for x in orders
        ]
        told = [[x.cloid, x.side, x.slot, x.price, x.size] for x in orders]
        act = self._act("place", actions.place(wire), [x.cloid for x in orders], now_ns, venue_ms)
        record = {"t": "sent", "ns": now_ns, "nonce": act.nonce, "expires_ms": expires_ms}
        return [
            Write({**record, "orders": told}, is_durable=True),
            dataclasses.replace(act, expires_ms=expires_ms, epoch=epoch),
        ]

    def cancel(
        self, orders: Sequence[Order], now_ns: int, venue_ms: int, epoch: int | None
    ) -> list[Action]:
        """Send cancels; each order leaves its slot, and counts until its end is known."""
        if not orders:
            return []
        for one in orders:
            one.canceled_ns = now_ns
            if one.slot is not None:
                one.slot = None
                self.changes.append(own.Pulled(one.cloid))
        cloids = [x.cloid for x in orders]
        act = self._act("cancel", actions.cancel(self.asset, cloids), cloids, now_ns, venue_ms)
        record = {"t": "cancel", "ns": now_ns, "nonce": act.nonce, "cloids": cloids}
        return [Write(record), dataclasses.replace(act, epoch=epoch)]

    def schedule(self, time_ms: int | None, now_ns: int, venue_ms: int) -> list[Action]:
        """Arm or disarm the venue's dead-man switch."""
        act = self._act("schedule", actions.schedule_cancel(time_ms), [], now_ns, venue_ms)
        return [Write({"t": "schedule", "ns": now_ns, "nonce": act.nonce, "ms": time_ms}), act]

    def sweep(
        self, now_ns: int, venue_ms: int, epoch: int | None, *, everything: bool
    ) -> list[Action]:
        """Cancel what has left its slot, or everything; again where a cancel led to nothing."""
        due = [
            x
            for x in self.blotter.working()
            if (everything or x.slot is None)
            and x.state is not State.CLOSING
            and (not x.canceled_ns or now_ns - x.canceled_ns > CANCEL_NS)
        ]
        return self.cancel(due, now_ns, venue_ms, epoch)

    def replied(self, id: int, body: bytes) -> tuple[str, str | None] | None:
        """The reply to an action: its kind and the error of the whole; `None` for another's id.

        Raises:
            WordError: when it cannot be read; then its orders are unknown.
        """
        pending = self._pending.pop(id, None)
        if pending is None:
            return None
        if pending.kind == "schedule":
            return "schedule", account.refusal(body)
        try:
            if pending.kind == "place":
                return "place", self._placed(pending, body)
            told = account.cancellations(body, len(pending.cloids))
            # Success or not, the order's own end is the proof, and it is asked for if it is late.
            return "cancel", told if isinstance(told, str) else None
        except account.WordError:
            self._unknown(pending)
            raise

    def unanswered(self, id: int) -> bool:
        """No reply will come; whether the id was an action's."""
        pending = self._pending.pop(id, None)
        if pending is not None:
            self._unknown(pending)
        return pending is not None

    def lost(self) -> None:
        """The connection is gone: no reply will come to anything."""
        for id in list(self._pending):
            self.unanswered(id)

    def told(self, report: OrderReport) -> None:
        """What the venue says of an order; one of an older run that we lost is adopted."""
        if self.blotter.find(report.cloid, report.oid) is None and is_ours(report.cloid):
            self._adopt(report)
        self.changes += self.blotter.told(report)

    def filled(self, fill: FillReport) -> None:
        """A fill that the books took for the first time."""
        self.changes += self.blotter.filled(fill)

    def status(self, id: int, body: bytes) -> bool:
        """The answer to a question about an order; false for another's id."""
        cloid, is_expired = self._asked.pop(id, (None, False))
        if cloid is None or cloid not in self.blotter.orders:
            return cloid is not None
        report = account.Words(self.at).order_status(body)
        if report is not None:
            self.told(report)
        elif is_expired:
            self.changes += self.blotter.absent(cloid)
        return True

    def unasked(self, id: int) -> bool:
        """A question got no answer; false for another's id."""
        return self._asked.pop(id, None) is not None

    def tick(self, now_ns: int, newest_ms: int, most: int) -> list[Action]:
        """Replies that are overdue, and questions about orders whose fate is not known.

        Args:
            now_ns: our clock.
            newest_ms: the newest stamp that the venue has put on anything: its clock is past it.
            most: how many may be asked now.
        """
        for id, pending in list(self._pending.items()):
            if now_ns - pending.sent_ns > REPLY_NS:
                self.unanswered(id)
        out: list[Action] = []
        for order in self.blotter.working():
            if len(self._asked) >= MOST_ASKS or len(out) >= most:
                break
            if self._is_doubtful(order, now_ns) and now_ns - order.asked_ns > ASK_NS:
                out.append(self._ask(order, now_ns, newest_ms))
        return out

    def _is_doubtful(self, order: Order, now_ns: int) -> bool:
        late_cancel = order.canceled_ns and now_ns - order.canceled_ns > CANCEL_NS
        overdue = order.state is State.SENT and now_ns - order.sent_ns > REPLY_NS
        return bool(late_cancel or overdue or order.state in (State.UNKNOWN, State.CLOSING))

    def _ask(self, order: Order, now_ns: int, newest_ms: int) -> Ask:
        id = self.next_id()
        # Its absence is proof only if it was asked for after its end: by the venue's own stamps,
        # because our clock may have jumped, and an answer may be old when it comes.
        is_expired = newest_ms > order.expires_ms + SKEW_MS
        order.asked_ns, self._asked[id] = now_ns, (order.cloid, is_expired)
        return Ask(id, {"type": "orderStatus", "user": self.user, "oid": order.cloid})

    def _placed(self, pending: Pending, body: bytes) -> str | None:
        told = account.placements(body, len(pending.cloids))
        if isinstance(told, str):
            if "duplicate nonce" in told:
                # The same request may have arrived twice, and the first one may stand.
                self._unknown(pending)
            else:
                for cloid in pending.cloids:
                    self._refused(cloid, told)
            return told
        for cloid, one in zip(pending.cloids, told, strict=True):
            if one.error is not None:
                self._refused(cloid, one.error)
            elif one.oid is not None and cloid in self.blotter.orders:
                self.changes += self.blotter.acked(cloid, one.oid, one.is_resting)
        return None

    def _refused(self, cloid: str, why: str) -> None:
        words = why.split(",")[0].split(" asset=")[0][:80]
        self.rejects[words] = self.rejects.get(words, 0) + 1
        if cloid in self.blotter.orders:
            self.changes += self.blotter.refused(cloid)

    def _unknown(self, pending: Pending) -> None:
        if pending.kind == "place":
            for cloid in pending.cloids:
                if cloid in self.blotter.orders:
                    self.blotter.unknown(cloid)

    def _adopt(self, report: OrderReport) -> None:
        self.blotter.add(
            Order(
                cloid=report.cloid or "",
                side=report.side,
                slot=None,
                price=report.price,
                size=report.size,
                sent_ns=0,
                expires_ms=0,
                state=State.LIVE,
                oid=report.oid,
                is_adopted=True,
            )
        )

    def _act(
        self, kind: str, action: dict[str, Any], cloids: list[str], now_ns: int, venue_ms: int
    ) -> Act:
        id = self.next_id()
        self.nonce = max(venue_ms, self.nonce + 1)
        self._pending[id] = Pending(kind, tuple(cloids), now_ns)
        return Act(id, action, self.nonce, None, None)

    def _cloid(self) -> str:
        """Magic 16, run 32, sequence 48, check 32 bits: ours to recognise, the same in replay."""
        self._sequence += 1
        head = (MAGIC << 80 | self.run << 48 | self._sequence).to_bytes(12, "big")
        return f"0x{head.hex()}{zlib.crc32(head):08x}"
