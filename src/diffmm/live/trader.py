"""The trading core: `on(event, now_ns) -> [actions]`, the same at a venue and in a simulation.

    start, reconnect, doubt:  cancel everything -> nothing works -> books equal account -> quote
    pause, reduce-only:       cancel everything; then nothing, or only what reduces
    stop, kill, loss, broken: cancel everything -> nothing works -> books equal account -> end

Modes only tighten by themselves; `resume` is a person's. Source: ours.
"""

import dataclasses
import enum

import msgspec

from diffmm.market import AccountInputs
from diffmm.market.messages import NoticeKind
from diffmm.market.reports import AccountReport
from diffmm.venues.hyperliquid.account import WordError, Words
from diffmm.venues.intake import gap, Intake

from . import events
from .audit import Auditor, Round
from .blotter import OverfillError
from .books import Balance, Books, ConflictError
from .dealer import Dealer
from .desk import Desk, is_ours
from .events import Action, Command, End, Latch, Say
from .flatten import closing, is_dust
from .gate import Tokens
from .limits import Limits
from .quoter import Stepper
from .wire import Wire


NS = 1_000_000_000
MS = 1_000_000
FINE, UNEXPECTED, LATCHED, LOST, UNRECONCILED, UNCONFIRMED = 0, 1, 4, 5, 6, 7
"""Exit codes."""
TOO_MANY = 429
WEIGHT_PER_MIN, HEAVIEST, STATUS_WEIGHT = 1000, 62, 2
"""What we may ask, of the venue's 1200 a minute; what a round and one order's status weigh."""
ROUND_NS = 2 * NS
"""After so long without a round, what we may ask is kept for one."""
LAG_NS = NS
"""A pause of ours that long: what we believe is old, and must be reconciled."""


class Mode(enum.Enum):
    """What the run does now."""

    RECONCILING = "reconciling"
    QUOTING = "quoting"
    PAUSED = "paused"
    REDUCING = "reduce-only"
    ENDING = "ending"
    ENDED = "ended"


@dataclasses.dataclass(frozen=True)
class Config:
    """Patience, in ns of the core's clock.

    **Attributes:**

    - `venue_ns`: without any word of the venue, after which the run ends with 5.
    - `stop_ns`: to confirm that nothing rests, after which it ends with 7.
    - `audit_ns`: between rounds of reconciliation while quoting; `retry_ns` after an unequal one,
      `working_ns` while orders must first be over.
    - `unequal`: unequal rounds in a row that stop the quoting; twice as many end the run.
    - `dead_man_ns`: horizon of the venue's switch, refreshed after a third of it; 0 is off.
    - `for_ns`: length of the run, `None` until it is stopped.
    - `flatten_ns`: for a stop to close the position first; 0 leaves it.
    """

    venue_ns: int = 30 * NS
    stop_ns: int = 10 * NS
    audit_ns: int = 10 * NS
    retry_ns: int = NS // 4
    working_ns: int = 2 * NS
    unequal: int = 8
    dead_man_ns: int = 30 * NS
    for_ns: int | None = None
    flatten_ns: int = 0


@dataclasses.dataclass
class _Ending:
    code: int
    reason: str
    by_ns: int


class _Envelope(msgspec.Struct, gc=False):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _PostBody(msgspec.Struct, gc=False):
    type: str
    payload: msgspec.Raw


class _Post(msgspec.Struct, gc=False):
    id: int
    response: _PostBody


class Trader(Dealer):
    """One run: a session over a connection that may be lost, orders that are always accounted for.

    **Attributes:**

    - `config`: patience.
    - `is_reconciled`: books and venue are equal and nothing of unknown fate works.
    - `wish`: what a person asked for last.
    - `dead_man`: `off`, `armed`, or why the venue refused it.
    - `resting_at_exit`: open orders at the venue when the run ended.
    - `is_confirmed`: whether the venue itself said so.
    - `seen`: the account as the venue last told it.
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
        config: Config,
    ):
        super().__init__(stepper, intake, account, desk, books, wire, limits)
        self.config = config
        self.is_reconciled = False
        self.wish = Command.RESUME
        self.dead_man = "off"
        self.resting_at_exit: int | None = None
        self.is_confirmed = False
        self.seen: AccountReport | None = None
        self._auditor = Auditor(desk.at, desk.user)
        self._words = Words(desk.at)
        self._ending: _Ending | None = None
        self._is_ended = False
        self._started_ns = self._alive_ns = self._audited_ns = 0
        self._unequal = 0
        self._weight = Tokens(WEIGHT_PER_MIN)
        self._armed_ns = 0
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._post = msgspec.json.Decoder(_Post)

    @property
    def mode(self) -> Mode:
        """What the run does now."""
        if self._is_ended:
            return Mode.ENDED
        if self._ending is not None:
            return Mode.ENDING
        if not self.is_reconciled:
            return Mode.RECONCILING
        by_wish = {Command.PAUSE: Mode.PAUSED, Command.REDUCE_ONLY: Mode.REDUCING}
        return by_wish.get(self.wish, Mode.QUOTING)

    def on(self, event: events.Event, now_ns: int) -> list[Action]:
        """Take one event; what must be done, in this order."""
        if self._is_ended:
            return []
        late_ns = now_ns - self.now_ns if self.now_ns else 0
        self.now_ns = max(self.now_ns, now_ns)
        try:
            if late_ns > LAG_NS:
                self._overslept(late_ns)
            self._take(event)
            self._settle()
            self._pursue()
            self._settle()
        except (ConflictError, OverfillError) as error:
            self.fault("ledger_conflict", str(error))
            self._end(UNRECONCILED, str(error))
        out, self._out = self._out, []
        return out

    def _overslept(self, late_ns: int) -> None:
        """We were not there: nobody else was silent, and no deadline of theirs has passed."""
        self._alive_ns += late_ns
        self.wire.overslept(late_ns)
        if self._ending is not None:
            self._ending.by_ns += late_ns
        if self.is_reconciled:
            self._doubt("lag", f"{late_ns / NS:.1f} s between two events")

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.Heard):
            if event.epoch == self.wire.epoch:
                self._alive_ns = self.now_ns
                self._on_frame(event.text)
        elif isinstance(event, events.Answered):
            self._on_answer(event)
        elif isinstance(event, events.Unanswered):
            self._on_silence(event.id, event.reason)
        elif isinstance(event, events.Opened):
            self._send(self.wire.opened(event.epoch, self.now_ns))
        elif isinstance(event, events.Lost):
            self._on_lost(event)
        elif isinstance(event, events.Commanded):
            self._on_command(event)
        elif isinstance(event, events.Broken):
            self.fault("broken", event.reason)
            self._end(UNEXPECTED, event.reason)
        elif isinstance(event, events.Started):
            self._on_start(event)

    def _on_start(self, event: events.Started) -> None:
        self._started_ns = self._alive_ns = self.now_ns
        self.desk.run = event.entropy & (2**32 - 1)
        self.wire.seed(event.entropy)
        self.write({"t": "start", "ns": self.now_ns, "run": self.desk.run})
        if self.books.balance is not None:
            held = self.books.balance
            self.desk.changes.append(self._held())
            self.write({"t": "recovered", "position": held.position, "cash_1e8": held.cash_1e8})
        self._send(self.wire.connect())

    def _on_frame(self, text: str) -> None:
        try:
            told = self._envelope.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            told = _Envelope("")
        channel, data = told.channel, bytes(told.data)
        self.wire.heard(channel, text, self.now_ns)
        try:
            if channel == "post":
                self._on_post(data)
            elif channel == "orderUpdates":
                for report in self._words.order_updates(data):
                    self.desk.told(report)
            elif channel == "userFills":
                self._on_fills(self._words.user_fills(data))
            elif channel == "user":
                fills, paid = self._words.user_event(data)
                self._on_fills(fills)
                self._on_fundings(paid)
            elif channel != "pong":
                self._on_market(channel, text)
        except WordError as error:
            # Something was said of our account that we could not read: ask for all of it.
            self._doubt("bad_word", str(error))

    def _on_market(self, channel: str, text: str) -> None:
        self.write({"t": "line", "ns": self.now_ns, "raw": text})
        rows, notices = self.intake.on_line(self.now_ns, text)
        for notice in notices:
            if notice.kind in (NoticeKind.BAD, NoticeKind.ERROR):
                self.fault(f"{notice.kind.value}_frame", notice.text)
        if channel == "activeAssetCtx":
            self.mark = self.intake.mark or self.mark
        self._fold(rows)

    def _on_post(self, data: bytes) -> None:
        try:
            told = self._post.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WordError(f"{error} in {data[:200]!r}") from error
        if told.response.type == "action":
            self._on_reply(told.id, bytes(told.response.payload))
        else:
            self.fault("post_error", bytes(told.response.payload)[:200].decode(errors="replace"))
            self.desk.unanswered(told.id)

    def _on_answer(self, event: events.Answered) -> None:
        if event.status == TOO_MANY:
            self._weight.take(self.now_ns, WEIGHT_PER_MIN)
        if event.status != 200:
            self._on_silence(event.id, f"HTTP {event.status}: {event.text[:120]}")
            return
        self._alive_ns = self.now_ns
        body = event.text.encode()
        try:
            more = self._auditor.answered(self.desk, event.id, body)
            if more is not None:
                self._send(list(more))
            elif not self.desk.status(event.id, body):
                self._on_reply(event.id, body)
        except WordError as error:
            self.fault("bad_word", str(error))

    def _on_reply(self, id: int, body: bytes) -> None:
        found = self.desk.replied(id, body)
        if found is None:
            return
        kind, error = found
        if kind == "schedule":
            self.dead_man = error or "armed"
        if error is not None:
            self.fault(f"{kind}_refused", error)
            if "nonce" in error:
                self._doubt("nonce", "somebody else may sign with this key")

    def _on_silence(self, id: int, reason: str) -> None:
        if self._auditor.unanswered(id, reason) or self.desk.unasked(id):
            return
        if self.desk.unanswered(id):
            self.fault("unanswered", reason)

    def _on_lost(self, event: events.Lost) -> None:
        actions = self.wire.lost(event.epoch, self.now_ns)
        if not actions:
            return
        self.desk.lost()
        self._doubt("lost_connection", event.reason)
        line = gap(event.reason)
        self.write({"t": "line", "ns": self.now_ns, "raw": line})
        self._fold(self.intake.on_line(self.now_ns, line)[0])
        self._send(actions)

    def _on_command(self, event: events.Commanded) -> None:
        told = {"command": event.command.value, "reason": event.reason}
        self.write({"t": "command", "ns": self.now_ns, **told})
        if event.command is Command.STOP:
            self._end(FINE, event.reason or "stop requested")
        elif event.command is Command.KILL:
            self._kill(event.reason or "kill requested")
        else:
            # What is decided before the mode is looked at again must not leave.
            self.wish, self.may_open = event.command, False

    def _on_loss(self) -> None:
        self._kill(f"loss limit: {self.ledger.pnl_1e8 / 10**8:.2f} USD")

    def _kill(self, reason: str) -> None:
        if self._ending is None or self._ending.code != LATCHED:
            self._out.append(Latch(reason))
        self._end(LATCHED, reason)

    def _doubt(self, kind: str, text: str) -> None:
        """What we hold may not be so: stop, cancel, reconcile."""
        self.fault(kind, text)
        self.is_reconciled = self.may_open = False
        self._unequal, self._audited_ns = 0, self.now_ns
        # What was asked before the doubt does not answer it.
        self._auditor.drop()

    def _end(self, code: int, reason: str) -> None:
        """Begin the end; a graver reason replaces a lighter one, the first deadline stands."""
        self.may_open = False
        if self._ending is None:
            patience_ns = self.config.stop_ns + (self.config.flatten_ns if code == FINE else 0)
            self._ending = _Ending(code, reason, self.now_ns + patience_ns)
            self.write({"t": "ending", "ns": self.now_ns, "code": code, "why": reason})
            self._out.append(Say(f"ending: {reason}; cancelling everything"))
        elif self._ending.code == FINE:
            self._ending.code, self._ending.reason = code, reason

    def _pursue(self) -> None:
        """Everything that time or the state of things calls for."""
        now = self.now_ns
        self._send(self.wire.tick(now))
        self._fold_timers()
        limit = self.config.for_ns
        if limit is not None and self._ending is None and now - self._started_ns >= limit:
            self._end(FINE, "its time is over")
        if now - self._alive_ns > self.config.venue_ns:
            self._finish(LOST, f"no word of the venue for {self.config.venue_ns / NS:g} s")
            return
        self._guard_loss()
        mode = self.mode
        self.may_open = mode in (Mode.QUOTING, Mode.REDUCING) and self.wire.is_fresh(now)
        self.is_reduce_only = mode is Mode.REDUCING
        # Rounds and questions share what we may ask: neither may starve the other.
        kept = HEAVIEST if now - self._audited_ns > ROUND_NS else 0
        most = max(self._weight.left(now) - kept, 0) // STATUS_WEIGHT
        asks = self.desk.tick(now, self.wire.newest_ms, most)
        self._weight.take(now, STATUS_WEIGHT * len(asks))
        self._send(asks)
        everything = mode not in (Mode.QUOTING, Mode.REDUCING) or not self.wire.is_fresh(now)
        self._sweep(everything=everything)
        self._audit(mode)
        self._arm()
        if self._ending is not None and not self._is_ended and now > self._ending.by_ns:
            self._finish(
                self._ending.code if self._ending.code == LOST else UNCONFIRMED,
                f"{self._ending.reason}; not confirmed that nothing rests",
            )

    def _fold_timers(self) -> None:
        rows = self.intake.timers(self.now_ns)
        if rows:
            self.write({"t": "time", "ns": self.now_ns})
            self._fold(rows)

    def _guard_loss(self) -> None:
        if self._ending is None and self.ledger.pnl_1e8 <= -self.limits.max_loss_1e8:
            self._on_loss()

    def _sweep(self, *, everything: bool) -> None:
        actions = self.desk.sweep(self.now_ns, self.venue_ms, self.epoch, everything=everything)
        if actions:
            self._send(actions)
            for cloid in list(self.slots.values()):
                if self.desk.blotter.orders[cloid].slot is None:
                    self._vacate(cloid)
            self._tell_placed()

    def _audit(self, mode: Mode) -> None:
        """Rounds: one after the other until equal, then now and then."""
        done = self._auditor.take()
        if done is not None:
            self._on_round(done, mode)
        if self._auditor.round is not None or self._is_ended:
            return
        is_urgent = mode in (Mode.RECONCILING, Mode.ENDING) or self._unequal > 0
        wait_ns = self.config.retry_ns if is_urgent else self.config.audit_ns
        if is_urgent and any(True for _ in self.desk.blotter.working()):
            # It cannot be equal before everything is over; that is the desk's to find out.
            wait_ns = self.config.working_ns
        if self._weight.left(self.now_ns) < HEAVIEST:
            wait_ns = self.config.audit_ns
        if self.now_ns - self._audited_ns >= wait_ns:
            self._audited_ns = self.now_ns
            self._auditor.is_unequal = self._unequal > 0
            ask = self._auditor.start(self.desk, self.books, self.venue_ms, everything=is_urgent)
            self._weight.take(self.now_ns, self._auditor.weight)
            self._send(list(ask))

    def _on_round(self, round: Round, mode: Mode) -> None:
        if round.failed is not None:
            self.fault("audit_failed", round.failed)
            return
        for report in round.orders:
            self.desk.told(report)
        self._on_fills(round.fills)
        self._on_fundings(round.fundings)
        self._settle()
        foreign = [x for x in round.orders if not is_ours(x.cloid)]
        if foreign:
            self.fault("foreign_order", f"oid {foreign[0].oid} was not sent by any run of ours")
            self._end(UNRECONCILED, "orders of somebody else are open on this account")
        is_quiet = not round.orders and not any(True for _ in self.desk.blotter.working())
        if round.account is None:
            return
        self.seen = round.account
        self.wire.newest_ms = max(self.wire.newest_ms, round.account.exchange_ms)
        if self.books.balance is None:
            if is_quiet:
                self._open_books(round)
            return
        gap = self.books.difference(round.account)
        if gap is not None:
            self._on_unequal(gap)
        else:
            self._unequal = 0
            if is_quiet or mode in (Mode.QUOTING, Mode.REDUCING, Mode.PAUSED):
                self._on_equal(round)
        if self._ending is not None and is_quiet and gap is None and not self._close():
            self.resting_at_exit, self.is_confirmed = 0, True
            self._finish(self._ending.code, self._ending.reason)

    def _close(self) -> bool:
        """Whether a position that a person wants closed still is to be: one order, then a round."""
        held, ending = self.books.balance, self._ending
        if not self.config.flatten_ns or ending is None or ending.code != FINE or held is None:
            return False
        mid2 = self.ledger.mid2 if self._has_book() else None
        price = self.mark or (mid2 or 0) // 2
        is_over = self.now_ns > ending.by_ns - self.config.stop_ns
        if not held.position or is_dust(held.position, price, self.desk.at) or is_over:
            if held.position:
                self.fault("not_flat", f"{held.position} units stay")
            return False
        order = closing(held.position, mid2, self.mark, self.limits, self.desk.at)
        if order is not None and self.wire.is_fresh(self.now_ns):
            self._out.append(Say(f"flatten: {order.size} units at {order.price} or better"))
            at = (self.now_ns, self.venue_ms, self.epoch)
            self._send(self.desk.place([(None, order)], *at, closes=True))
        return True

    def _open_books(self, round: Round) -> None:
        """The very first balance of this account: whatever the venue holds, once nothing moves."""
        report = round.account
        if report is None:
            return
        balance = Balance(report.position, report.cash_1e8)
        self.books.open(balance, report.exchange_ms)
        told = {
            "ns": self.now_ns,
            "ms": report.exchange_ms,
            "balance": msgspec.to_builtins(balance),
        }
        self._out.append(events.Write({"t": "opening", **told}, is_durable=True))
        self.ledger.start(balance.position)
        self.desk.changes.append(self._held())

    def _on_equal(self, round: Round) -> None:
        if not self.is_reconciled:
            self.is_reconciled = True
            held = self.books.balance
            told = {"position": held.position if held else 0}
            self.write({"t": "reconciled", "ns": self.now_ns, **told})
            self._out.append(Say("reconciled: books and venue are equal to the last integer"))

    def _on_unequal(self, gap: Balance) -> None:
        """Perhaps something moved between two answers; if it stays so, nothing may go on."""
        self._unequal += 1
        if self._unequal == self.config.unequal and self.is_reconciled:
            self.is_reconciled = self.may_open = False
            self.fault("unequal", f"the venue holds {gap.position} and {gap.cash_1e8}e-8 USD more")
        if self._unequal >= 2 * self.config.unequal:
            words = f"the venue holds {gap.position} units and {gap.cash_1e8}e-8 USD more than we"
            self._end(UNRECONCILED, words)

    def _arm(self) -> None:
        """The venue's dead-man switch, only while orders rest; it must never be the normal stop."""
        horizon = self.config.dead_man_ns
        if not horizon or self.dead_man not in ("off", "armed"):
            return
        rests = any(True for _ in self.desk.blotter.working())
        if rests and self.now_ns - self._armed_ns > horizon // 3 and self.is_reconciled:
            self._armed_ns = self.now_ns
            at_ms = self.venue_ms + horizon // MS
            self._send(self.desk.schedule(at_ms, self.now_ns, self.venue_ms))

    def _finish(self, code: int, reason: str) -> None:
        self._is_ended, self.may_open = True, False
        if self.dead_man == "armed" and code != LOST:
            self._send(self.desk.schedule(None, self.now_ns, self.venue_ms))
        if self.resting_at_exit is None:
            self.resting_at_exit = sum(1 for _ in self.desk.blotter.working())
        told = {"code": code, "why": reason, "resting": self.resting_at_exit}
        self.write({"t": "end", "ns": self.now_ns, **told})
        self._out.append(End(code, reason))
