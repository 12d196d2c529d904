"""A shadow session without its socket: lines and faults in, decisions and a journal out.

Everything that happens to the engine passes through here in one order and one thread, on the clock
of the lines' own stamps, so that the same lines give the same decisions whatever the speed.
"""

from typing import Any

import numpy as np

from diffmm.engine.stepper import Decision
from diffmm.market import AccountInputs, ASK, BID, Kind
from diffmm.market.messages import NoticeKind
from diffmm.venues.intake import gap, Intake

from .journal import Journal
from .orders import Orders
from .quoter import Quoter, Stepper


class Core(Quoter):
    """One instrument's shadow session.

    **Attributes:**

    - `journal`: as given.
    - `orders`: modelled orders.
    """

    fills_are = "fills (modelled)"

    def __init__(self, stepper: Stepper, intake: Intake, account: AccountInputs, journal: Journal):
        super().__init__(stepper, intake, account)
        self.journal, self.orders = journal, Orders()

    def on_line(self, receive_ns: int, frame: str) -> None:
        """One frame of the feed."""
        self.write({"t": "line", "ns": receive_ns, "raw": frame})
        self.now_ns = max(self.now_ns, receive_ns)
        rows, notices = self.intake.on_line(receive_ns, frame)
        for notice in notices:
            if notice.kind in (NoticeKind.BAD, NoticeKind.ERROR):
                self.fault(f"{notice.kind.value}_frame", notice.text)
        self._fold(rows)

    def on_time(self, now_ns: int) -> None:
        """Time has passed without a frame; silence for too long loses the book."""
        self.now_ns = max(self.now_ns, now_ns)
        self._fold(self.intake.timers(now_ns))

    def on_lost(self, reason: str) -> None:
        """The connection is gone: nothing is known of the book, and prints may be missed."""
        self.fault("lost_connection", reason)
        self.on_line(self.now_ns, gap(reason))

    def write(self, record: dict[str, Any]) -> None:
        """Append to the journal."""
        self.journal.write(record)

    def best(self, side: int) -> tuple[int, int] | None:
        """Price and size of the modelled order nearest to the market."""
        order, encoder = self.orders.best(side), self.intake.encoder
        return order and (encoder.anchor + encoder.tick * order.ticks, order.lots)

    @property
    def standing(self) -> int:
        """How many modelled orders stand."""
        return len(self.orders.live)

    def _on_row(self, vector: np.ndarray) -> None:
        if vector[self._at.kind] == int(Kind.ANCHOR):
            self.orders.shift(int(vector[self._at.shift_ticks]) or None)

    def _step(self, vector: np.ndarray) -> Any:
        seen = self.stepper.row(vector)
        for side in (BID, ASK):
            if lots := int(seen.lots[side]):
                self._filled(side, lots, int(seen.lots_ticks[side]))
        return seen

    def _on_decision(self, decision: Decision) -> None:
        surface = self.stepper.quotes(decision).surface
        intents = self.orders.decide(decision.targets, surface)
        self.write({**self._told(decision), "intents": intents})

    def _filled(self, side: int, lots: int, ticks: int) -> None:
        value = self._anchor * lots + self._tick * ticks
        self.ledger.on_fills(self._elapsed_ns, side, value, lots)
        self.write(
            {
                "t": "fill",
                "ns": self.now_ns,
                "row": self.row_count - 1,
                "side": side,
                "lots": lots,
                "lots_ticks": ticks,
                "model": "hard_fills",
                "orders": self.orders.filled(side, lots),
            }
        )
