"""One run in virtual time: the real core, the real venue, faults between them, a checker over all.

    run(seed, hours) -> Outcome          the same seed gives the same journal, byte for byte

One thread, one queue of what is due, every draw from the seed. Our process may die at any action
and starts again from what its journal held.
"""

import dataclasses
import heapq
import json
import random

from diffmm.live import events
from diffmm.live.desk import Desk
from diffmm.live.events import Command
from diffmm.live.limits import Limits
from diffmm.live.trader import Config, Trader
from diffmm.live.wire import Wire
from diffmm.market import AccountInputs, EncoderConfig, Instrument, Layout
from diffmm.venues.hyperliquid.actions import user_subscriptions
from diffmm.venues.hyperliquid.codec import subscriptions
from diffmm.venues.hyperliquid.signer import Signer
from diffmm.venues.intake import Intake
from diffmm.venues.local import config as venue_config, events as at_venue
from diffmm.venues.local.listing import Listing
from diffmm.venues.local.venue import Venue

from . import faults as fault_kinds
from .checker import Checker
from .disk import Disk
from .ladder import Ladder
from .market import ASSET, Market
from .network import Network
from .strikes import Strikes


NS, MS = 1_000_000_000, 1_000_000
START_NS = 1_790_000_000 * NS
COIN, DECIMALS = "SIM", 2
SIGNER = Signer("11" * 32)
AT = Instrument.hyperliquid(COIN, DECIMALS)
LAYOUT = Layout(levels=4, slots=2)
ACCOUNT = AccountInputs()
LIMITS = Limits(
    max_order=1_000,
    max_position=2_500,
    collar_bp=300,
    max_reference_gap_bp=200,
    max_open_orders=12,
    max_messages_per_min=1500,
    cancel_reserve=300,
    max_loss_1e8=3_000 * 10**8,
)
TICK_MS = (100, 400)
TIMER_NS = NS
"""Between decisions of a quiet market: four times the product's, for speed."""
HEAL_S = 900
"""Time without faults after which everything must be well again."""
CHECKED_NS = 30 * NS


class Died(Exception):
    """Our process, at this action."""


class Count:
    """In the place of a list that only grows: how long it would be."""

    def __init__(self):
        self._length = 0

    def append(self, one):
        self._length += 1

    def __len__(self):
        return self._length


class Idle:
    """In the place of the stopwatch: there is no time to take."""

    def __init__(self, stepper):
        self._stepper = stepper

    def __getattr__(self, name):
        return getattr(self._stepper, name)


@dataclasses.dataclass
class Outcome:
    """What a run was.

    **Attributes:**

    - `digest`: of the journal.
    - `violations`: of the invariants, in order; the run stops at the first.
    - `seen`: how often what happened, faults and states.
    """

    seed: int
    hours: float
    digest: str
    violations: list
    seen: dict


class Simulation:
    """Everything of one seed."""

    def __init__(
        self,
        seed,
        faults,
        stepper=None,
        layout=LAYOUT,
        market=None,
        account=ACCOUNT,
        keeps_rows=False,
    ):
        self.seed, self.faults = seed, faults
        self.now_ns, self.skew_ns, self.life = START_NS, 0, 0
        self.limits, self.address = LIMITS, SIGNER.address.lower()
        self._draw = random.Random(f"simulation {seed}")
        self._queue, self._count = [], 0
        listing = Listing(COIN, DECIMALS, max_leverage=20)
        config = venue_config.Config(listings=(listing,), scheduled_volume=10**9)
        self.venue = Venue(config, market or Market(seed), START_NS)
        self.venue.gateway.drip(SIGNER.address)
        self._strikes = Strikes(self, seed)
        self.disk, self.network = Disk(AT, SIGNER.address), Network(self, seed)
        self._stepper = stepper or (lambda: Ladder(seed * 1000 + self.life, layout))
        self._layout, self._account, self._keeps_rows = layout, account, keeps_rows
        self.core = None
        self.is_latched = False
        self.frozen_until_ns = 0
        self.doom = None
        self._tick_ns = self._draw.randint(*TICK_MS) * MS
        self.seen = {}
        self.checker = Checker(self)
        self._checked_ns = START_NS

    # ------------------------------------------------------------------ the run

    def run(self, hours):
        self.boot()
        self._strikes.begin()
        self._until(START_NS + round(hours * 3600 * NS))
        self._heal()
        if not self.checker.violations:
            self.checker.at_rest()
        account = self.venue.exchange.accounts[self.address]
        self.seen |= {"fills": len(account.fills), "placed": self.checker.leaving.placed}
        return Outcome(
            self.seed,
            (self.now_ns - START_NS) / 3600 / NS,
            self.disk.digest(),
            self.checker.violations,
            {**self.seen, **self.network.fired},
        )

    def _until(self, end_ns, is_over=lambda: False):
        while not self.checker.violations and not is_over():
            due_ns = min(self._queue[0][0] if self._queue else end_ns, end_ns)
            venue_ns = self.venue.next_due_ns()
            if min(due_ns, venue_ns) >= end_ns:
                self.now_ns = end_ns
                return
            if venue_ns <= due_ns:
                self.now_ns = max(self.now_ns, venue_ns)
                self.at_venue(at_venue.Time())
            else:
                at_ns, _, life, work = heapq.heappop(self._queue)
                self.now_ns = max(self.now_ns, at_ns)
                if life is None or life == self.life:
                    work()
            self.checker.on_step()
            if self.now_ns - self._checked_ns > CHECKED_NS:
                self._checked_ns = self.now_ns
                self.checker.now_and_then()
                if self.core is not None:
                    self.disk.compact(self.checker.known(), self.now_ns)

    def _heal(self):
        """No more faults: it must find back to quoting, with the venue's truth in its books."""
        self.faults = fault_kinds.NONE
        network = self.network
        network.out_until_ns = network.silent_until_ns = 0
        network.stale_until_ns = network.deaf_until_ns = 0
        self.is_latched, self.doom = False, None
        self.checker.on_unlatch()
        end_ns = self.now_ns + HEAL_S * NS
        self._later_start()
        if self.core is not None and self.core.wish is not Command.RESUME:
            self.feed(events.Commanded(Command.RESUME))
        begun_ns = self.now_ns
        self._until(end_ns, self.checker.is_well)
        self.seen["healed_s"] = (self.now_ns - begun_ns) // NS

    # ------------------------------------------------------------------ time

    def later(self, wait_ns, work, any_life=False):
        self._count += 1
        life = None if any_life else self.life
        heapq.heappush(self._queue, (self.now_ns + wait_ns, self._count, life, work))

    @property
    def core_ns(self):
        """The time on our process's clock."""
        return self.now_ns + self.skew_ns

    def note(self, what):
        self.seen[what] = self.seen.get(what, 0) + 1

    # ------------------------------------------------------------------ the process

    def boot(self):
        """A process starts from what the journal holds."""
        known = self.disk.fold()
        encoder = EncoderConfig(layout=self._layout, timer_ns=TIMER_NS)
        feeds = [json.loads(x)["subscription"] for x in subscriptions(COIN)]
        core = Trader(
            Idle(self._stepper()),
            Intake(AT, self._account, encoder),
            self._account,
            Desk(AT, ASSET, SIGNER.address, known.blotter, known.nonce),
            known.books,
            Wire([*feeds, *user_subscriptions(SIGNER.address)]),
            LIMITS,
            Config(),
        )
        # A run of hours keeps every row for its report; here only their number is wanted.
        if not self._keeps_rows:
            core.rows, core.decisions = Count(), Count()
        self.core = core
        self.checker.on_boot(core)
        self.feed(events.Started(self._draw.getrandbits(64)))
        self.later(self._tick_ns, self._tick)

    def die(self):
        """As by kill -9: nothing is said to anybody."""
        self._gone()
        self.disk.crash(self._draw)
        self.later(self._draw.randint(100, 8_000) * MS, self._later_start, any_life=True)

    def _gone(self):
        self.core, self.doom, self.frozen_until_ns = None, None, 0
        self.life += 1
        self.network.dead()
        self.checker.on_death()

    def _later_start(self):
        if self.core is None and not self.is_latched:
            self.boot()

    def _tick(self):
        self.feed(events.Ticked())
        self.later(self._tick_ns, self._tick)

    def feed(self, event, then=None):
        """Hand an event to the core; what it asks for is done at once and in its order."""
        if self.core is None:
            return
        if self.now_ns < self.frozen_until_ns:
            self.later(self.frozen_until_ns - self.now_ns, lambda: self.feed(event, then))
            return
        if then is not None:
            then(self.core_ns)
        self.checker.before(event)
        try:
            actions = self.core.on(event, self.core_ns)
        except Exception as error:
            self.checker.fail("crash", f"{type(error).__name__}: {error} on {event!r:.200}")
            return
        try:
            self._perform(actions)
        except Died:
            self.die()
            return
        self.checker.after(event)

    def _perform(self, actions):
        is_dirty = False
        for action in actions:
            if self.doom is not None:
                self.doom -= 1
                if self.doom < 0:
                    raise Died
            if isinstance(action, events.Write):
                self.disk.write(action.record)
                is_dirty |= action.is_durable
                continue
            if is_dirty:
                self.disk.sync()
                is_dirty = False
            self._carry_out(action)

    def _carry_out(self, action):
        network = self.network
        if isinstance(action, events.Act):
            self.checker.leaving.on_act(action)
            signature = SIGNER.sign(action.action, action.nonce, None, action.expires_ms)
            payload = {
                "action": action.action,
                "nonce": action.nonce,
                "signature": signature,
                "vaultAddress": None,
                "expiresAfter": action.expires_ms,
            }
            network.act(action, payload)
        elif isinstance(action, events.Send):
            network.send(action.epoch, action.text)
        elif isinstance(action, events.Ask):
            network.ask(action.id, action.body)
        elif isinstance(action, events.Open):
            network.open(action.epoch, action.wait_ns)
        elif isinstance(action, events.Close):
            network.close(action.epoch)
        elif isinstance(action, events.Latch):
            self.is_latched = True
            self.checker.on_latch()
        elif isinstance(action, events.End):
            self._ended(action)

    def _ended(self, action):
        self.note(f"end {action.code}")
        self.checker.on_end(action)
        self._gone()
        if self.is_latched:
            # A person looks at it, and clears the latch.
            self.later(60 * NS, self._unlatch, any_life=True)
        else:
            self.later(self._draw.randint(1, 20) * NS, self._later_start, any_life=True)

    def _unlatch(self):
        self.is_latched = False
        self.checker.on_unlatch()
        self._later_start()

    # ------------------------------------------------------------------ the venue

    def at_venue(self, event):
        self.network.answered(self.venue.on(event, self.now_ns))


def run(seed, hours, faults=None, **more):
    """One seed for so long."""
    chosen = fault_kinds.swarm(seed) if faults is None else faults
    return Simulation(seed, chosen, **more).run(hours)
