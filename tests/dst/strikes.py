"""Faults that come with a clock of their own: connections, silences, clocks, deaths, operators."""

import random

from diffmm.live import events
from diffmm.live.events import Command

from . import faults as fault_kinds
from .network import DEAF


NS, MS = 1_000_000_000, 1_000_000


class Strikes:
    """All of one simulation; each strikes at random, for as long as its rate stands."""

    def __init__(self, sim, seed):
        self._sim, self._draw = sim, random.Random(f"strikes {seed}")

    def begin(self):
        for kind in fault_kinds.MEANS_S:
            self._plan(kind)

    def _plan(self, kind):
        mean_s = getattr(self._sim.faults, kind)
        if mean_s:
            wait_ns = round(self._draw.expovariate(1 / mean_s) * NS) + 1
            self._sim.later(wait_ns, lambda: self._strike(kind), any_life=True)

    def _strike(self, kind):
        if not getattr(self._sim.faults, kind):
            return
        self._sim.note(kind)
        getattr(self, f"_{kind}")()
        self._plan(kind)

    def _disconnect_s(self):
        if self._sim.network.link is not None:
            self._sim.network.lose(self._sim.network.link.epoch, "reset by peer")

    def _outage_s(self):
        self._sim.network.out_until_ns = self._sim.now_ns + self._draw.randint(1, 45) * NS
        self._disconnect_s()

    def _half_open_s(self):
        self._sim.network.silent_until_ns = self._sim.now_ns + self._draw.randint(1, 20) * NS

    def _deaf_s(self):
        self._sim.network.deaf_to = self._draw.choice(DEAF)
        self._sim.network.deaf_until_ns = self._sim.now_ns + self._draw.randint(5, 60) * NS

    def _stale_s(self):
        self._sim.network.stale_ms = self._draw.randint(500, 20_000)
        self._sim.network.stale_until_ns = self._sim.now_ns + self._draw.randint(2, 30) * NS

    def _jump_s(self):
        self._sim.skew_ns += self._draw.randint(100, 12_000) * MS

    def _pause_s(self):
        self._sim.frozen_until_ns = self._sim.now_ns + self._draw.randint(100, 15_000) * MS

    def _crash_s(self):
        # At once, or in the middle of what it does next.
        if self._sim.core is not None:
            self._sim.doom = self._draw.choice((0, 0, self._draw.randint(1, 40)))

    def _kill_s(self):
        self._sim.feed(events.Commanded(Command.KILL, "an operator"))

    def _nudge_s(self):
        words = (Command.PAUSE, Command.REDUCE_ONLY, Command.STOP, Command.RESUME)
        self._sim.feed(events.Commanded(self._draw.choice(words), "an operator"))
        self._sim.later(self._draw.randint(1, 90) * NS, self._resume, any_life=True)

    def _resume(self):
        self._sim.feed(events.Commanded(Command.RESUME, "an operator"))
