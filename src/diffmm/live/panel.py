"""What stands between a trading run and its operator: status lines, state file, commands, latch."""

import asyncio
import contextlib
import os
import pathlib
import sys
import time
from typing import Any

from diffmm.market import ASK, BID
from diffmm.market.instrument import text

from . import control, kill_latch, state_file
from .blotter import State
from .events import Command, End
from .shell import Shell
from .state_file import Phase, RunState
from .status import Status
from .trader import Mode, Trader


POLL_S = 0.05
STATE_S = 0.5
RECENT = 20
PHASES = {
    Mode.RECONCILING: Phase.RECONCILING,
    Mode.QUOTING: Phase.QUOTING,
    Mode.PAUSED: Phase.PAUSED,
    Mode.REDUCING: Phase.REDUCE_ONLY,
    Mode.ENDING: Phase.STOPPING,
    Mode.ENDED: Phase.ENDED,
}


class Panel:
    """The operator's side of one run, in its folder."""

    def __init__(
        self, folder: pathlib.Path, mode: str, venue: str, trader: Trader, status_s: float
    ):
        self._folder, self._mode, self._venue, self._trader = folder, mode, venue, trader
        self._status = Status(sys.stderr, status_s)
        self._mailbox = control.Mailbox(folder)
        self._started_ms = time.time_ns() // 1_000_000
        self._recent: list[str] = []
        self._latched = ""

    def say(self, words: str) -> None:
        """One line for the operator."""
        self._recent = [*self._recent, words][-RECENT:]
        self._status.say(words)

    def latch(self, reason: str) -> None:
        """Set the kill latch; one that cannot be set is said aloud, and the run ends anyway."""
        self._latched = reason
        at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        try:
            kill_latch.latch(self._folder, reason, at=at, by="run")
        except kill_latch.LatchError as error:
            self.say(f"error   {error}")

    async def serve(self, shell: Shell, journal: Any) -> None:
        """Take commands, look for the latch, write state and status, until cancelled."""
        next_state = next_line = 0.0
        while True:
            for request in self._mailbox.take():
                shell.command(request.command, request.reason)
                mode = self._trader.mode.value
                self._mailbox.answer(request, is_ok=True, words=f"{request.command.value}: {mode}")
            if not self._latched and kill_latch.is_latched(self._folder):
                self._latched = "the kill latch was set"
                shell.command(Command.KILL, self._latched)
            now = time.monotonic()
            if now >= next_state:
                next_state = now + STATE_S
                self._write(journal, None)
            if now >= next_line:
                next_line = now + self._status.interval_s
                self._status.show(self._trader)
            await asyncio.sleep(POLL_S)

    def end(self, ended: End | None, journal: Any) -> None:
        """The last state and the last line."""
        self._status.show(self._trader)
        self._status.end()
        self._write(journal, ended)

    def _write(self, journal: Any, ended: End | None) -> None:
        # The state is a courtesy; a full disk must not end a run that the journal still follows.
        with contextlib.suppress(OSError):
            state_file.write(self._folder, self._state(journal, ended))

    def _state(self, journal: Any, ended: End | None) -> RunState:
        trader, at = self._trader, self._trader.desk.at
        held, mid2 = trader.books.balance, trader.ledger.mid2
        working = list(trader.desk.blotter.working())
        phase = PHASES[trader.mode]
        if phase is Phase.QUOTING and (trader.is_pulled or not trader.may_open):
            phase = Phase.PULLED
        return RunState(
            mode=self._mode,
            venue=self._venue,
            coin=at.coin,
            pid=os.getpid(),
            started_ms=self._started_ms,
            updated_ms=time.time_ns() // 1_000_000,
            interval_ms=round(STATE_S * 1000),
            phase=phase,
            reason=ended.reason if ended else "",
            mid=None if mid2 is None else text(mid2 * 5, at.price_decimals + 1),
            bid=self._quote(BID),
            ask=self._quote(ASK),
            position=_signed(held.position if held else 0, at.size_decimals),
            pnl_1e8=trader.ledger.pnl_1e8,
            pnl_parts_1e8=trader.ledger.pnl_parts_1e8,
            fills=trader.ledger.fills,
            resting=sum(1 for x in working if x.state is State.LIVE),
            unknown=sum(1 for x in working if x.state is State.UNKNOWN),
            rejects=sum(trader.desk.rejects.values()),
            reconnects=trader.wire.reconnects,
            gate_denials=dict(trader.denials),
            faults=dict(trader.faults),
            latency_us=trader.stepper.stopwatch.quantiles_us(),
            recent=self._recent,
            journal=str(journal.path),
            exit_code=ended.code if ended else None,
        )

    def _quote(self, side: int) -> str | None:
        best, at = self._trader.best(side), self._trader.desk.at
        if best is None:
            return None
        return f"{text(best[0], at.price_decimals)} x {text(best[1], at.size_decimals)}"


def _signed(value: int, decimals: int) -> str:
    return ("-" if value < 0 else "") + text(abs(value), decimals)
