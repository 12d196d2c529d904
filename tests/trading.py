"""A trading core and the embedded venue in virtual time: every byte between them, no socket."""

import functools
import heapq
import json
import random
from types import SimpleNamespace

import numpy as np

from diffmm.live import assemble, events
from diffmm.live.blotter import Blotter
from diffmm.live.books import Books
from diffmm.live.limits import Limits
from diffmm.live.recovery import Known
from diffmm.live.stopwatch import Timed
from diffmm.live.trader import Config
from diffmm.market import AccountInputs, Instrument, Layout
from diffmm.venues.hyperliquid.signer import Signer
from diffmm.venues.local import config as venue_config, events as at_venue
from diffmm.venues.local.book import Tif
from diffmm.venues.local.exchange import NewOrder
from diffmm.venues.local.gateway import Turn
from diffmm.venues.local.venue import Venue


NS, MS = 1_000_000_000, 1_000_000
START_NS = 1_790_000_000 * NS
COIN, DECIMALS, ASSET = "SIM", 2, 0
SIGNER = Signer("11" * 32)
AT = Instrument.hyperliquid(COIN, DECIMALS)
LAYOUT = Layout(levels=4, slots=2)
LIMITS = Limits(
    max_order=2_000,
    max_position=5_000,
    collar_bp=500,
    max_reference_gap_bp=300,
    max_open_orders=40,
    max_messages_per_min=1800,
    cancel_reserve=150,
    max_loss_1e8=10_000 * 10**8,
)
PATIENCE, VENUE = Config(), venue_config.Config()
HOUSE = "0x" + "ee" * 20


class Crowd:
    """Makers around a walking middle, and takers that come at random; one seed, one market."""

    def __init__(self, seed, taker_s=1.0, step_ticks=1):
        self._draw = random.Random(seed)
        self._taker_s, self._step = taker_s, step_ticks
        self.middle = 1_000_000
        self._next_ns = START_NS
        self._account = None

    def open(self, exchange, now_ns):
        self._account = exchange.open_account(HOUSE, 10**15, is_house=True)
        exchange.marks[ASSET] = exchange.oracles[ASSET] = self.middle
        self._quote(exchange, now_ns)

    def next_ns(self):
        return self._next_ns

    def act(self, exchange, now_ns):
        self._next_ns = now_ns + 250 * MS
        out = []
        if self._draw.random() < 0.3:
            self.middle += 100 * self._draw.randint(-self._step, self._step)
            exchange.oracles[ASSET] = self.middle
            out.append((Turn.CANCEL, lambda at_ns: self._quote(exchange, at_ns)))
        if self._draw.random() < 0.25 / self._taker_s:
            is_buy, size = self._draw.random() < 0.5, self._draw.randint(20, 400)
            price = self.middle + (2000 if is_buy else -2000)
            order = NewOrder(ASSET, is_buy, price, size, Tif.IOC)
            out.append(
                (Turn.CROSSING, lambda at_ns: exchange.place(self._account, order, at_ns // MS))
            )
        return out

    def _quote(self, exchange, now_ns):
        for order in exchange.open_orders(HOUSE):
            exchange.withdraw(order, "canceled", now_ns // MS)
        for k in range(1, 6):
            for is_buy in (True, False):
                price = self.middle + (-300 - 100 * k if is_buy else 300 + 100 * k)
                order = NewOrder(ASSET, is_buy, price, 500, Tif.GTC)
                exchange.place(self._account, order, now_ns // MS)


class Random:
    """A strategy without sense: any words at all, or quotes near the touch."""

    def __init__(self, seed, wild=0.0, layout=LAYOUT):
        self._draw, self._wild, self._layout = np.random.default_rng(seed), wild, layout
        self._row = None

    def row(self, vector, lots=(0, 0), lots_ticks=(0, 0)):
        self._row = vector
        return _Seen()

    def decide(self):
        return _decision(self._targets())

    def restart(self):
        pass

    def trivial(self):
        return None

    def _targets(self):
        draw, shape = self._draw, (2, self._layout.slots)
        if draw.random() < self._wild:
            words = [0, 1, -1, 2**31 - 1, -(2**31), 7]
            any_of = lambda: draw.choice(words, shape).astype(np.int32)
            return any_of(), any_of(), draw.random(shape) < 0.5, True
        event = self._layout.unpack(self._row)
        live = np.asarray(event.orders.is_live)
        touch = np.asarray(event.book.ticks)[:, :1]
        outward = np.array([[-1], [1]])
        ticks = touch - outward * draw.integers(-1, 3, shape)
        lots = draw.integers(0, 300, shape)
        return (
            ticks.astype(np.int32),
            lots.astype(np.int32),
            live & (draw.random(shape) < 0.8),
            True,
        )


class _Seen:
    health = 0
    lots = lots_ticks = (0, 0)


def _decision(targets):
    ticks, lots, keep, is_valid = targets
    wanted = SimpleNamespace(ticks=ticks, lots=lots, keep=keep, is_valid=np.array(is_valid))
    return SimpleNamespace(targets=wanted, health=0)


def trader(stepper, known=None, config=PATIENCE, limits=LIMITS):
    return assemble.trader(
        stepper=Timed(stepper),
        instrument=AT,
        asset=ASSET,
        user=SIGNER.address,
        account=AccountInputs(),
        limits=limits,
        known=known or Known(Books(AT), Blotter()),
        config=config,
        layout=LAYOUT,
    )


class Link:
    """Carries bytes between one core and one venue, each with a delay, in virtual time.

    **Attributes:**

    - `journal`: records in order.
    - `ended`: the core's last action.
    """

    def __init__(self, core, market, seed=0, delay_ms=(5, 30), config=VENUE):
        self.core = core
        self.venue = Venue(config, market, START_NS)
        self.venue.gateway.drip(SIGNER.address)
        self.now_ns = START_NS
        self.journal, self.ended = [], None
        self.on_step = lambda link: None
        self._draw, self._delay = random.Random(seed), delay_ms
        self._queue, self._count = [], 0
        self._conns = {}
        self._requests = {}
        self._next, self._runs = 1, 0

    def start(self):
        self._runs += 1
        self._feed(events.Started(self._runs))
        self._later(0, self._tick)

    def replace(self, core):
        """The process died; another one starts."""
        self.core, self._queue = core, []
        for conn in list(self._conns):
            self._answer(self.venue.on(at_venue.Disconnected(conn), self.now_ns))
        self._conns, self._requests = {}, {}
        self.start()

    def run(self, seconds):
        until = self.now_ns + round(seconds * NS)
        while self.ended is None:
            due = self._queue[0][0] if self._queue else until
            venue_ns = self.venue.next_due_ns()
            if min(due, venue_ns) > until:
                break
            if venue_ns <= due:
                self.now_ns = max(self.now_ns, venue_ns)
                self._answer(self.venue.on(at_venue.Time(), self.now_ns))
            else:
                at, _, work = heapq.heappop(self._queue)
                self.now_ns = max(self.now_ns, at)
                work()
            self.on_step(self)
        if self.ended is None:
            self.now_ns = until
        return self

    def command(self, command):
        self._feed(events.Commanded(command))

    def drop(self):
        """The connection breaks."""
        for conn, epoch in list(self._conns.items()):
            del self._conns[conn]
            self._answer(self.venue.on(at_venue.Disconnected(conn), self.now_ns))
            self._later(self._wait(), lambda epoch=epoch: self._feed(events.Lost(epoch, "dropped")))

    def truth(self):
        return self.venue.truth(SIGNER.address)

    def _tick(self):
        self._feed(events.Ticked())
        self._later(50 * MS, self._tick)

    def _wait(self):
        return self._draw.randint(*self._delay) * MS

    def _later(self, wait_ns, work):
        self._count += 1
        heapq.heappush(self._queue, (self.now_ns + wait_ns, self._count, work))

    def _feed(self, event):
        for action in self.core.on(event, self.now_ns):
            self._carry_out(action)

    def _carry_out(self, action):
        if isinstance(action, events.Write):
            self.journal.append(json.loads(json.dumps(action.record)))
        elif isinstance(action, events.Open):
            self._later(action.wait_ns + self._wait(), lambda: self._open(action.epoch))
        elif isinstance(action, events.Close):
            self.drop()
        elif isinstance(action, events.Send):
            self._to_venue(action.epoch, action.text)
        elif isinstance(action, events.Ask):
            self._request(action.id, "/info", action.body)
        elif isinstance(action, events.Act):
            self._act(action)
        elif isinstance(action, events.End):
            self.ended = action

    def _open(self, epoch):
        conn = self._next
        self._next += 1
        self._conns[conn] = epoch
        self._answer(self.venue.on(at_venue.Connected(conn), self.now_ns))
        self._feed(events.Opened(epoch))

    def _to_venue(self, epoch, text):
        for conn, of in self._conns.items():
            if of == epoch:
                self._later(self._delay[0] * MS, functools.partial(self._arrive, conn, text))

    def _arrive(self, conn, text):
        if conn in self._conns:
            self._answer(self.venue.on(at_venue.Received(conn, text), self.now_ns))

    def _request(self, id, path, body):
        conn = self._next
        self._next += 1
        self._requests[conn] = id
        ask = lambda: self._answer(
            self.venue.on(at_venue.Request(conn, path, json.dumps(body)), self.now_ns)
        )
        self._later(self._wait(), ask)

    def _act(self, action):
        signature = SIGNER.sign(action.action, action.nonce, None, action.expires_ms)
        payload = {
            "action": action.action,
            "nonce": action.nonce,
            "signature": signature,
            "vaultAddress": None,
            "expiresAfter": action.expires_ms,
        }
        if action.epoch is None:
            self._request(action.id, "/exchange", payload)
            return
        request = {"type": "action", "payload": payload}
        self._to_venue(
            action.epoch, json.dumps({"method": "post", "id": action.id, "request": request})
        )

    def _answer(self, answers):
        for one in answers:
            if isinstance(one, at_venue.Send) and one.conn in self._conns:
                epoch = self._conns[one.conn]
                heard = lambda one=one, epoch=epoch: self._feed(events.Heard(epoch, one.text))
                self._later(self._delay[0] * MS, heard)
            elif isinstance(one, at_venue.Reply) and one.conn in self._requests:
                id = self._requests.pop(one.conn)
                told = lambda one=one, id=id: self._feed(events.Answered(id, one.status, one.body))
                self._later(self._wait(), told)
            elif isinstance(one, at_venue.Close) and one.conn in self._conns:
                epoch = self._conns.pop(one.conn)
                self._later(0, lambda epoch=epoch: self._feed(events.Lost(epoch, "closed")))
