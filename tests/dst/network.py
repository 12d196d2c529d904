"""Everything between the core and the venue, each frame and request at the mercy of the faults.

It tells the checker what only it can know: what is on its way to the venue, and what reached us.
"""

import dataclasses
import json
import random
import re

from diffmm.live import events
from diffmm.venues.local import events as at_venue


NS, MS = 1_000_000_000, 1_000_000
HTTP_NS = 3 * NS
DELAY_MS = (2, 60)
LATE_MS = 20_000
CHANNEL = re.compile(r'"channel": ?"(\w+)"')
STAMP = re.compile(r'"time": ?(\d+)')
BOOKS, FILLS = ("bbo", "l2Book"), ("userFills", "user")
DEAF = ("orderUpdates", "userFills", "user", "l2Book", "bbo", "activeAssetCtx")
REFUSALS = (
    "Too many cumulative requests sent",
    "Insufficient margin to place order. asset=0",
    "Post only order would have immediately matched, bbo was 1@2. asset=0",
    "Something nobody has heard of",
)
BODIES = ((502, "<html>Bad Gateway</html>"), (429, "null"), (200, "<html></html>"), (200, "{"))


@dataclasses.dataclass
class Flight:
    """A placement that left and has not been answered by the venue.

    **Attributes:**

    - `orders`: of its action, as they went over the wire.
    - `expires_ms`: after which the venue refuses it.
    - `copies`: of the request still on their way or in the venue's queue.
    """

    orders: list
    expires_ms: int
    copies: int = 1


@dataclasses.dataclass
class Link:
    """One websocket.

    **Attributes:**

    - `acks`: subscriptions that the venue confirmed to us.
    - `heard_ns`: when the core last got a frame, on its own clock.
    - `up_ns`, `down_ns`: latest arrivals, for the order of what is not reordered.
    """

    epoch: int
    conn: int
    opened_ns: int
    acks: set = dataclasses.field(default_factory=set)
    asked: int = 0
    heard_ns: int = 0
    stamp_ms: int = 0
    up_ns: int = 0
    down_ns: int = 0


class Network:
    """Wires of one simulation.

    **Attributes:**

    - `flights`: placements on their way, by nonce.
    - `link`: the websocket that stands; `standing`: the one that the core believes in.
    - `word_ns`: when the core last got a word of the venue, on its clock.
    - `audited`: kinds of `/info` that were asked and answered since the last loss.
    - `losses`: of connections.
    - `fired`: how often each fault happened.
    """

    def __init__(self, sim, seed):
        self._sim, self._draw = sim, random.Random(f"network {seed}")
        self.flights, self.link, self.standing = {}, None, None
        self.word_ns = 0
        self.audited, self.losses, self.fired = set(), 0, {}
        self._next_conn, self._requests, self._posted = 1, {}, {}
        self.out_until_ns = self.silent_until_ns = self.stale_until_ns = self.deaf_until_ns = 0
        self.stale_ms, self.deaf_to = 0, ""

    # ------------------------------------------------------------------ what the core asks for

    def open(self, epoch, wait_ns):
        self._sim.later(wait_ns + self._delay(), lambda: self._open(epoch))

    def close(self, epoch):
        self._sim.later(self._delay(), lambda: self.lose(epoch, "closed by us"))

    def send(self, epoch, text):
        link = self.link
        if link is None or link.epoch != epoch:
            return
        if '"subscribe"' in text:
            link.asked += 1
        self._up(link, text, self._is("drop"))

    def ask(self, id, body):
        self._request(id, "/info", body)

    def act(self, action, payload):
        faults, is_place = self._sim.faults, action.action["type"] == "order"
        if is_place and self._roll("reject", faults.reject):
            self._refuse(action)
            return
        late_ns = 0
        if is_place and self._roll("late_order", faults.late_order):
            late_ns = self._draw.randint(1, round(faults.late_s * 1000)) * MS
        if is_place:
            self.flights[action.nonce] = Flight(action.action["orders"], action.expires_ms)
        if action.epoch is None:
            self._request(action.id, "/exchange", payload, late_ns, action.nonce)
            return
        link = self.link
        if link is None or link.epoch != action.epoch:
            self._landed(action.nonce)
            return
        self._posted[link.conn, action.id] = action.nonce
        frame = {"method": "post", "id": action.id}
        frame["request"] = {"type": "action", "payload": payload}
        is_lost = self._is("drop")
        if is_lost:
            self._landed(action.nonce)
        self._up(link, json.dumps(frame), is_lost, late_ns, action.nonce)

    def dead(self):
        """Our process is gone: its connections break, what left it is on its way."""
        if self.link is not None:
            self._to_venue(at_venue.Disconnected(self.link.conn))
            self.link = None
        self._requests = {conn: (None, *more[1:]) for conn, more in self._requests.items()}
        self._told_lost()

    def lose(self, epoch, reason):
        """A connection breaks; the venue and the core learn of it, each in its time."""
        link = self.link
        if link is None or link.epoch != epoch:
            return
        self.link = None
        self._to_venue(at_venue.Disconnected(link.conn))
        lost = lambda: self._sim.feed(events.Lost(epoch, reason), lambda at_ns: self._told_lost())
        self._sim.later(self._delay(), lost)

    # ------------------------------------------------------------------ what the venue answers

    def answered(self, answers):
        for one in answers:
            if isinstance(one, at_venue.Send):
                self._note_post(one)
                if self.link is not None and self.link.conn == one.conn:
                    self._down(self.link, one.text)
            elif isinstance(one, at_venue.Reply):
                self._reply(one)
            elif self.link is not None and self.link.conn == one.conn:
                self.lose(self.link.epoch, f"closed by the venue: {one.reason}")

    def _note_post(self, one):
        if not one.text.startswith('{"channel":"post"'):
            return
        id = json.loads(one.text)["data"]["id"]
        nonce = self._posted.pop((one.conn, id), None)
        if nonce is not None:
            self._landed(nonce)

    # ------------------------------------------------------------------ websocket

    def _open(self, epoch):
        sim = self._sim
        if sim.now_ns < self.out_until_ns:
            sim.feed(events.Lost(epoch, "connection refused"))
            return
        if self.link is not None:
            self.lose(self.link.epoch, "replaced")
        conn, self._next_conn = self._next_conn, self._next_conn + 1
        self.link = Link(epoch, conn, sim.now_ns)
        self._to_venue(at_venue.Connected(conn))
        self.standing = self.link
        sim.feed(events.Opened(epoch))

    def _up(self, link, text, is_lost, late_ns=0, nonce=None):
        if is_lost:
            return
        copies = 2 if self._is("duplicate") else 1
        if nonce in self.flights:
            self.flights[nonce].copies = copies
        for _ in range(copies):
            at_ns = self._arrival(late_ns, link.up_ns)
            if not late_ns:
                link.up_ns = max(link.up_ns, at_ns)
            arrive = lambda: self._received(link, text, nonce)
            self._sim.later(at_ns - self._sim.now_ns, arrive, any_life=True)

    def _received(self, link, text, nonce):
        if self.link is not link and self._draw.random() < 0.5:
            # What was under way when the connection broke may have arrived, or not.
            self._landed(nonce)
            return
        if self.link is link:
            self._to_venue(at_venue.Received(link.conn, text))
        elif nonce is not None:
            payload = json.loads(text)["request"]["payload"]
            conn, self._next_conn = self._next_conn, self._next_conn + 1
            self._requests[conn] = (None, nonce, "/exchange", 0)
            self._to_venue(at_venue.Request(conn, "/exchange", json.dumps(payload)))

    def _down(self, link, text):
        faults, now = self._sim.faults, self._sim.now_ns
        channel = CHANNEL.search(text)[1]
        if now < self.silent_until_ns or (now < self.deaf_until_ns and channel == self.deaf_to):
            return
        if channel == "post" and self._roll("lost_ack", faults.lost_ack):
            return
        if self._is("drop"):
            return
        late_ns = 0
        if channel in FILLS and self._roll("late_fill", faults.late_fill):
            late_ns = self._draw.randint(1, round(faults.clog_s * 1000)) * MS
        if channel in BOOKS and now < self.stale_until_ns:
            late_ns = self.stale_ms * MS
        for _ in range(2 if self._is("duplicate") else 1):
            at_ns = self._arrival(late_ns, link.down_ns)
            if not late_ns:
                link.down_ns = max(link.down_ns, at_ns)
            self._sim.later(at_ns - now, lambda: self._heard(link, channel, text))

    def _heard(self, link, channel, text):
        if self.link is link:
            if channel == "subscriptionResponse":
                link.acks.add(text)
            if channel in BOOKS and (found := STAMP.search(text)):
                link.stamp_ms = max(link.stamp_ms, int(found[1]))
            self._sim.feed(events.Heard(link.epoch, text), lambda at_ns: self._told(link, at_ns))
        elif self._draw.random() < 0.3:
            # Two connections alive: a frame of the old one still comes out of a buffer.
            self._sim.feed(events.Heard(link.epoch, text))

    # ------------------------------------------------------------------ http

    def _request(self, id, path, body, late_ns=0, nonce=None):
        sim, faults, since = self._sim, self._sim.faults, self.losses
        is_lost = sim.now_ns < self.out_until_ns or self._roll("http_lost", faults.http_lost / 2)
        if is_lost:
            self._landed(nonce)
        elif self._roll("http_error", faults.http_error):
            status, text = self._draw.choice(BODIES)
            self._to_core(events.Answered(id, status, text), self._delay())
            if self._draw.random() < 0.5:
                # An error on the way back: it was done all the same.
                ask = lambda: self._asked([], path, body, nonce, since)
                sim.later(self._delay() + late_ns, ask, any_life=True)
            else:
                self._landed(nonce)
            return
        else:
            copies = 2 if self._roll("http_twice", faults.http_twice) else 1
            if nonce in self.flights:
                self.flights[nonce].copies = copies
            waiting = [id]
            for _ in range(copies):
                at_ns = self._arrival(late_ns, 0)
                ask = lambda: self._asked(waiting, path, body, nonce, since)
                sim.later(at_ns - sim.now_ns, ask, any_life=True)
            sim.later(HTTP_NS, lambda: self._gave_up(waiting))
            return
        self._to_core(events.Unanswered(id, "timed out"), HTTP_NS)

    def _asked(self, waiting, path, body, nonce, since):
        conn, self._next_conn = self._next_conn, self._next_conn + 1
        self._requests[conn] = (waiting, nonce, body.get("type", path), since)
        self._to_venue(at_venue.Request(conn, path, json.dumps(body)))

    def _gave_up(self, waiting):
        if waiting:
            self._sim.feed(events.Unanswered(waiting.pop(), "timed out"))

    def _reply(self, reply):
        waiting, nonce, kind, since = self._requests.pop(reply.conn)
        self._landed(nonce)
        if not waiting or self._roll("http_lost", self._sim.faults.http_lost / 2):
            return
        life = self._sim.life
        self._sim.later(self._arrival(0, 0) - self._sim.now_ns, lambda: tell(life))

        def tell(life):
            if waiting and life == self._sim.life:
                told = lambda at_ns: self._answered(kind, since, at_ns, reply.status)
                self._sim.feed(events.Answered(waiting.pop(), reply.status, reply.body), told)

    # ------------------------------------------------------------------ what the core knows

    def _told(self, link, at_ns):
        link.heard_ns = self.word_ns = at_ns

    def _answered(self, kind, since, at_ns, status):
        if status == 200:
            self.word_ns = at_ns
            if since == self.losses:
                self.audited.add(kind)

    def _told_lost(self):
        self.standing, self.audited, self.losses = None, set(), self.losses + 1

    # ------------------------------------------------------------------ odds and ends

    def _refuse(self, action):
        """The venue says no to a placement, as a whole or one by one."""
        words = self._draw.choice(REFUSALS)
        count = len(action.action["orders"])
        body = {"status": "err", "response": words}
        if self._draw.random() < 0.7:
            data = {"statuses": [{"error": words}] * count}
            body = {"status": "ok", "response": {"type": "order", "data": data}}
        if action.epoch is None:
            self._to_core(events.Answered(action.id, 200, json.dumps(body)), self._delay())
            return
        told = {"id": action.id, "response": {"type": "action", "payload": body}}
        text = json.dumps({"channel": "post", "data": told}, separators=(",", ":"))
        if self.link is not None and self.link.epoch == action.epoch:
            self._down(self.link, text)

    def _landed(self, nonce):
        flight = self.flights.get(nonce)
        if flight is not None:
            flight.copies -= 1
            if flight.copies <= 0:
                del self.flights[nonce]

    def _to_venue(self, event):
        self._sim.at_venue(event)

    def _to_core(self, event, wait_ns):
        self._sim.later(wait_ns, lambda: self._sim.feed(event))

    def _delay(self):
        return self._draw.randint(*DELAY_MS) * MS

    def _arrival(self, late_ns, after_ns):
        at_ns = self._sim.now_ns + self._delay() + late_ns
        if self._is("clog"):
            at_ns += self._draw.randint(1, round(self._sim.faults.clog_s * 1000)) * MS
        if late_ns or self._is("reorder"):
            return at_ns
        return max(at_ns, after_ns)

    def _is(self, kind):
        return self._roll(kind, getattr(self._sim.faults, kind))

    def _roll(self, kind, share):
        if not share or self._draw.random() >= share:
            return False
        self.fired[kind] = self.fired.get(kind, 0) + 1
        return True
