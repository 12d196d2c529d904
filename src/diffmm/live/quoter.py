"""From rows to decisions: what a shadow session and a trading one share.

It folds packed rows through the compiled step in one order and one thread, counts what was odd or
unhealthy, marks the ledger, and hands over each decision. What becomes of a decision, orders
modelled inside the step or real ones at a venue, is the business of who inherits from it.
"""

import abc
import collections
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from diffmm.core.health import FATAL
from diffmm.engine.graph import Quotes
from diffmm.engine.loop import make_record, Record
from diffmm.engine.stepper import Decision
from diffmm.evaluation import Ledger
from diffmm.market import AccountInputs, ASK, BID, Kind, Tape
from diffmm.venues.intake import Intake

from .stopwatch import Stopwatch


NS = 1_000_000_000
TOLERATED = 3
"""Unhealthy steps in a row after which belief starts anew from the present book."""
ODD = ("crossed_books", "one_sided_books", "gaps", "silences")
"""Counters of the encoder that are faults of the feed."""
MOST_KEPT = 100_000
"""Rows kept in memory: some hours. A run of days must not grow without end."""
NONE = (0, 0)
Standing = tuple[np.ndarray, np.ndarray]
"""Ticks and lots of the orders that stand, by side and slot."""


class Stepper(Protocol):
    """The two compiled programs, timed, and the state of the last healthy step."""

    @property
    def stopwatch(self) -> Stopwatch:
        """How long the calls took."""
        ...

    def row(self, vector: np.ndarray, lots: Any = NONE, lots_ticks: Any = NONE) -> Any:
        """Fold one packed row and the real fills in it; its fills and its health."""
        ...

    def decide(self) -> Decision:
        """Evaluate the quotes at the row just folded."""
        ...

    def record(self, decisions: Sequence[Decision]) -> Record:
        """Decisions stacked, whole."""
        ...

    def quotes(self, decision: Decision) -> Quotes:
        """One decision, whole."""
        ...

    def restart(self) -> None:
        """Forget the belief; the present book starts another."""
        ...


class Quoter(abc.ABC):
    """One instrument's rows, decisions, faults and money.

    **Attributes:**

    - `intake`, `account`, `stepper`: as given.
    - `rows`, `decisions`: what the engine saw and decided, in order, up to a bound; the page is
      made of them, and the journal holds the rest.
    - `row_count`: rows so far.
    - `faults`: what went wrong, by kind.
    - `ledger`: what the run earned.
    - `is_pulled`: whether the newest decision pulls everything.
    - `now_ns`: clock of the newest event.
    """

    fills_are = "fills"
    """How fills are called on the status line."""

    def __init__(self, stepper: Stepper, intake: Intake, account: AccountInputs):
        self.intake, self.account, self.stepper = intake, account, stepper
        self.rows: list[np.ndarray] = []
        self.decisions: list[Decision] = []
        self._standing: list[Standing] = []
        self.row_count = 0
        self._is_kept = True
        self.faults: collections.Counter[str] = collections.Counter()
        self.ledger = Ledger(intake.encoder.instrument, account.maker_fee_bp)
        self.is_pulled = True
        self.now_ns = 0
        self._unhealthy = {"row": 0, "decision": 0}
        layout = intake.encoder.config.layout
        self._at = layout.views(np.arange(layout.width))
        self._elapsed_ns = 0
        self._anchor, self._tick = 0, 1
        self._odd = dict.fromkeys(ODD, 0)

    @abc.abstractmethod
    def write(self, record: dict[str, Any]) -> None:
        """Append to the journal."""

    @abc.abstractmethod
    def best(self, side: int) -> tuple[int, int] | None:
        """Price and size of our order nearest to the market, in the instrument's units."""

    @property
    @abc.abstractmethod
    def standing(self) -> int:
        """How many orders of ours stand or are on their way."""

    @abc.abstractmethod
    def _on_row(self, vector: np.ndarray) -> None:
        """A row is about to be folded, the anchor that it counts from in force."""

    @abc.abstractmethod
    def _step(self, vector: np.ndarray) -> Any:
        """Fold a row."""

    @abc.abstractmethod
    def _on_decision(self, decision: Decision) -> Standing | None:
        """Do what a decision asks for; what then stands, `None` where that is modelled."""

    def fault(self, kind: str, text: str) -> None:
        """Count and journal one fault."""
        self.faults[kind] += 1
        self.write({"t": "fault", "ns": self.now_ns, "kind": kind, "text": text})

    def tape(self) -> Tape:
        """The rows as a tape."""
        return self.intake.tape(self.rows)

    def record(self) -> Record:
        """All decisions, stacked, with the orders that stood after each."""
        whole = self.stepper.record(self.decisions)
        if not self._standing:
            return whole
        ticks, lots = (np.stack(x) for x in zip(*self._standing, strict=True))
        return make_record(whole.lots, whole.lots_ticks, whole.quotes, ticks, lots, whole.seen)

    def _fold(self, rows: list[np.ndarray]) -> None:
        for name in ODD:
            seen = getattr(self.intake.encoder.counters, name)
            if seen > self._odd[name]:
                self._odd[name] = seen
                self.fault(name, f"{seen} so far")
        for vector in rows:
            self._row(vector)

    def _row(self, vector: np.ndarray) -> None:
        self.row_count += 1
        if self._is_kept:
            self.rows.append(vector)
        at = self._at
        self._elapsed_ns += round(float(vector[at.dt_s]) * NS)
        self._on_row(vector)
        if vector[at.kind] == int(Kind.ANCHOR) or not self._anchor:
            # Timers that came due before the anchor moved still count from the old one.
            self._anchor, self._tick = self.intake.encoder.anchor, self.intake.encoder.tick
        seen = self._step(vector)
        self._check("row", int(seen.health))
        self._mark(vector)
        if vector[at.wake]:
            self._decide()

    def _is_present(self) -> bool:
        """Whether the row being folded counts from the anchor that is in force now."""
        encoder = self.intake.encoder
        return (self._anchor, self._tick) == (encoder.anchor, encoder.tick)

    def _patch(self, vector: np.ndarray) -> None:
        """Real orders as they stand now: an earlier decision of the same batch may have sent some.

        A row from before the anchor moved keeps what it says; nothing is decided on it.
        """
        if self._is_present():
            for name in vars(self._at.orders):
                index = getattr(self._at.orders, name).astype(int)
                vector[index] = getattr(self.intake.encoder.row.orders, name)

    def _decide(self) -> None:
        decision = self.stepper.decide()
        self._check("decision", int(decision.health))
        self.is_pulled = not bool(decision.targets.is_valid)
        standing = self._on_decision(decision)
        if self._is_kept:
            self.decisions.append(decision)
            if standing is not None:
                self._standing.append(standing)
            # Whole frames only: what is kept must be a tape of its own.
            self._is_kept = len(self.rows) < MOST_KEPT

    def _told(self, decision: Decision) -> dict[str, Any]:
        """The targets, as the journal holds them."""
        targets = decision.targets
        return {
            "t": "decision",
            "ns": self.now_ns,
            "row": self.row_count - 1,
            "is_valid": bool(targets.is_valid),
            "health": int(decision.health),
            "ticks": targets.ticks.tolist(),
            "lots": targets.lots.tolist(),
            "keep": targets.keep.tolist(),
        }

    def _check(self, what: str, health: int) -> None:
        """Three unhealthy steps of a kind in a row start the belief anew."""
        if not health & int(FATAL):
            self._unhealthy[what] = 0
            return
        self._unhealthy[what] += 1
        self.fault(f"unhealthy_{what}", f"health {health}; the step was discarded")
        if self._unhealthy[what] == TOLERATED:
            self._unhealthy[what] = 0
            self.stepper.restart()
            self.fault("belief_restarted", f"{TOLERATED} unhealthy steps in a row")

    def _mark(self, vector: np.ndarray) -> None:
        book = self._at.book
        bid, ask = (vector[book.ticks[side, 0]] for side in (BID, ASK))
        if vector[book.is_valid[:, 0]].all() and bid < ask:
            prices = [self._anchor + self._tick * int(x) for x in (bid, ask)]
            if self.ledger.mid2 != sum(prices):
                self.ledger.on_mid(self._elapsed_ns, *prices)
