"""A shadow session without its socket: lines and faults in, decisions and a journal out.

Everything that happens to the engine passes through here in one order and one thread, on the clock
of the lines' own stamps, so that the same lines give the same decisions whatever the speed.
"""

import collections
from typing import Any, Protocol

import jax
import numpy as np

from diffmm.core.health import FATAL
from diffmm.engine.loop import Record
from diffmm.evaluation import Ledger
from diffmm.market import AccountInputs, ASK, BID, Kind, Tape
from diffmm.market.messages import NoticeKind
from diffmm.venues.intake import gap, Intake

from .journal import Journal
from .orders import Orders
from .stopwatch import Stopwatch


NS = 1_000_000_000
TOLERATED = 3
"""Unhealthy steps in a row after which belief starts anew from the present book."""
ODD = ("crossed_books", "one_sided_books", "gaps", "silences")
"""Counters of the encoder that are faults of the feed."""


class Stepper(Protocol):
    """The two compiled programs, and the state of the last healthy step."""

    def row(self, vector: np.ndarray) -> Any:
        """Fold one packed row; our fills in it and its health."""
        ...

    def decide(self) -> Record:
        """Evaluate the quotes at the row just folded."""
        ...

    def restart(self) -> None:
        """Forget the belief; the present book starts another."""
        ...

    def trivial(self) -> Any:
        """The cheapest compiled call there is."""
        ...


class Core:
    """One instrument's shadow session.

    **Attributes:**

    - `intake`, `account`, `journal`: as given.
    - `rows`, `records`: what the engine saw and decided, in order.
    - `faults`: what went wrong, by kind.
    - `orders`, `ledger`: modelled orders and money.
    - `stopwatch`: time inside the compiled calls.
    - `is_pulled`: whether the newest decision pulls everything.
    """

    def __init__(self, stepper: Stepper, intake: Intake, account: AccountInputs, journal: Journal):
        self.intake, self.account, self.journal = intake, account, journal
        self.rows: list[np.ndarray] = []
        self.records: list[Record] = []
        self.faults: collections.Counter[str] = collections.Counter()
        self.orders, self.stopwatch = Orders(), Stopwatch()
        self.ledger = Ledger(intake.encoder.instrument, account.maker_fee_bp)
        self.is_pulled = True
        self.now_ns = 0
        self._stepper = stepper
        self._unhealthy = {"row": 0, "decision": 0}
        layout = intake.encoder.config.layout
        self._at = layout.views(np.arange(layout.width))
        self._elapsed_ns = 0
        self._anchor, self._tick = 0, 1
        self._odd = dict.fromkeys(ODD, 0)

    def on_line(self, receive_ns: int, frame: str) -> None:
        """One frame of the feed."""
        self.journal.write({"t": "line", "ns": receive_ns, "raw": frame})
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

    def fault(self, kind: str, text: str) -> None:
        """Count and journal one fault."""
        self.faults[kind] += 1
        self.journal.write({"t": "fault", "ns": self.now_ns, "kind": kind, "text": text})

    def tape(self) -> Tape:
        """The rows as a tape."""
        return self.intake.tape(self.rows)

    def record(self) -> Record:
        """All decisions, stacked."""
        return jax.tree.map(lambda *x: np.stack(x), *self.records)

    def _fold(self, rows: list[np.ndarray]) -> None:
        for name in ODD:
            seen = getattr(self.intake.encoder.counters, name)
            if seen > self._odd[name]:
                self._odd[name] = seen
                self.fault(name, f"{seen} so far")
        for vector in rows:
            self._row(vector)

    def _row(self, vector: np.ndarray) -> None:
        self.rows.append(vector)
        at = self._at
        self._elapsed_ns += round(float(vector[at.dt_s]) * NS)
        if vector[at.kind] == int(Kind.ANCHOR):
            self.orders.shift(int(vector[at.shift_ticks]) or None)
        if vector[at.kind] == int(Kind.ANCHOR) or not self._anchor:
            # Timers that came due before the anchor moved still count from the old one.
            self._anchor, self._tick = self.intake.encoder.anchor, self.intake.encoder.tick
        seen = self.stopwatch.time("observe", self._stepper.row, vector)
        self._check("row", int(seen.health))
        self._filled(seen)
        self._mark(vector)
        if vector[at.wake]:
            self._decide()

    def _decide(self) -> None:
        self.stopwatch.time("trivial", self._stepper.trivial)
        record = self.stopwatch.time("decide", self._stepper.decide)
        self.records.append(record)
        targets = record.quotes.targets
        self._check("decision", int(record.quotes.health))
        self.is_pulled = not bool(targets.is_valid)
        self.journal.write(
            {
                "t": "decision",
                "ns": self.now_ns,
                "row": len(self.rows) - 1,
                "is_valid": bool(targets.is_valid),
                "health": int(record.quotes.health),
                "ticks": targets.ticks.tolist(),
                "lots": targets.lots.tolist(),
                "keep": targets.keep.tolist(),
                "intents": self.orders.decide(targets, record.quotes.surface),
            }
        )

    def _check(self, what: str, health: int) -> None:
        """Three unhealthy steps of a kind in a row start the belief anew."""
        if not health & int(FATAL):
            self._unhealthy[what] = 0
            return
        self._unhealthy[what] += 1
        self.fault(f"unhealthy_{what}", f"health {health}; the step was discarded")
        if self._unhealthy[what] == TOLERATED:
            self._unhealthy[what] = 0
            self._stepper.restart()
            self.fault("belief_restarted", f"{TOLERATED} unhealthy steps in a row")

    def _filled(self, seen: Any) -> None:
        for side in (BID, ASK):
            lots = int(seen.lots[side])
            if lots == 0:
                continue
            ticks = int(seen.lots_ticks[side])
            value = self._anchor * lots + self._tick * ticks
            self.ledger.on_fills(self._elapsed_ns, side, value, lots)
            by_order = self.orders.filled(side, lots)
            self.journal.write(
                {
                    "t": "fill",
                    "ns": self.now_ns,
                    "row": len(self.rows) - 1,
                    "side": side,
                    "lots": lots,
                    "lots_ticks": ticks,
                    "model": "hard_fills",
                    "orders": by_order,
                }
            )

    def _mark(self, vector: np.ndarray) -> None:
        book = self._at.book
        bid, ask = (vector[book.ticks[side, 0]] for side in (BID, ASK))
        if vector[book.is_valid[:, 0]].all() and bid < ask:
            prices = [self._anchor + self._tick * int(x) for x in (bid, ask)]
            if self.ledger.mid2 != sum(prices):
                self.ledger.on_mid(self._elapsed_ns, *prices)
