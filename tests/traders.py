"""A trader on the embedded venue in virtual time, and a market in which nobody else trades."""

import json

from diffmm.venues.hyperliquid.signer import keccak256, Signer
from diffmm.venues.local.config import Config
from diffmm.venues.local.events import Connected, Received, Reply, Request, Send, Time
from diffmm.venues.local.venue import Venue


START_NS = 1_790_000_000_000_000_000
MS = 1_000_000


class Still:
    """Marks and oracles, and nothing else."""

    def __init__(self, *prices):
        self.prices = prices

    def open(self, exchange, now_ns):
        for asset, price in enumerate(self.prices):
            exchange.marks[asset] = exchange.oracles[asset] = price

    def next_ns(self):
        return None

    def act(self, exchange, now_ns):
        return []


def still_room(start_ns=START_NS, **changes):
    """SIM at 100, BTC at 100,000, ETH at 3,000, all books empty."""
    venue = Venue(Config(**changes), Still(1_000_000, 1_000_000, 300_000), start_ns)
    return Room(venue, start_ns)


class Room:
    """One venue, its traders, and the one clock they share."""

    def __init__(self, venue, now_ns=START_NS):
        self.venue, self.now_ns = venue, now_ns
        self.traders, self.others = {}, []

    def on(self, event):
        """Tell the venue; its answers go to whom they are for."""
        for one in self.venue.on(event, self.now_ns):
            trader = self.traders.get(one.conn)
            if isinstance(one, Send) and trader is not None:
                trader.frames.append(json.loads(one.text))
            else:
                self.others.append(one)

    def wait(self, seconds=0.1):
        """Let virtual time pass, waking the venue whenever it asks."""
        end = self.now_ns + round(seconds * 1e9)
        while (due := self.venue.next_due_ns()) <= end:
            self.now_ns = due
            self.on(Time())
        self.now_ns = end


class Trader:
    """One websocket and one key; every frame it was sent is kept."""

    def __init__(self, room, name, is_paid=True):
        self.room, self.conn = room, len(room.traders) + 1
        self.signer = Signer(keccak256(name.encode()))
        self.address = self.signer.address
        self.frames, self.nonce, self.posts = [], 0, 0
        room.traders[self.conn] = self
        room.on(Connected(self.conn))
        if is_paid:
            self.info(type="claimDrip", user=self.address)

    @property
    def truth(self):
        return self.room.venue.truth(self.address)

    def send(self, frame):
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self.room.on(Received(self.conn, text))

    def subscribe(self, **subscription):
        self.send({"method": "subscribe", "subscription": subscription})

    def info(self, **body):
        self.room.on(Request(10**6, "/info", json.dumps(body)))
        reply = self.room.others.pop()
        assert isinstance(reply, Reply)
        return json.loads(reply.body) if reply.status == 200 else reply

    def signed(self, action, nonce=None, expires=None, vault=None):
        self.nonce = max(self.nonce + 1, self.room.now_ns // MS)
        nonce = self.nonce if nonce is None else nonce
        return {
            "action": action,
            "nonce": nonce,
            "signature": self.signer.sign(action, nonce, vault, expires),
            "vaultAddress": vault,
            "expiresAfter": expires,
        }

    def post(self, action, **how):
        """Send an action and do not wait; the post's id."""
        self.posts += 1
        request = {"type": "action", "payload": self.signed(action, **how)}
        self.send({"method": "post", "id": self.posts, "request": request})
        return self.posts

    def answer(self, number):
        """Payload of the reply to a post."""
        for frame in self.frames:
            if frame["channel"] == "post" and frame["data"]["id"] == number:
                return frame["data"]["response"]["payload"]
        return None

    def act(self, action, **how):
        """Send an action, wait for its block; the statuses, or the whole answer."""
        number = self.post(action, **how)
        self.room.wait()
        answer = self.answer(number)
        if answer["status"] == "ok" and "data" in answer["response"]:
            return answer["response"]["data"]["statuses"]
        return answer

    def place(self, side, px, sz, tif="Gtc", asset=0, cloid=None, reduce=False):
        return self.act(placing(order(side, px, sz, tif, asset, cloid, reduce)))[0]

    def heard(self, channel):
        """Data of every frame of a channel."""
        return [x["data"] for x in self.frames if x["channel"] == channel]


def order(side, px, sz, tif="Gtc", asset=0, cloid=None, reduce=False):
    """An order as it goes over the wire."""
    wire = {"a": asset, "b": side == "B", "p": px, "s": sz, "r": reduce}
    wire["t"] = {"limit": {"tif": tif}}
    return wire if cloid is None else {**wire, "c": cloid}


def placing(*orders):
    return {"type": "order", "orders": list(orders), "grouping": "na"}


def cancelling(oid, asset=0):
    return {"type": "cancel", "cancels": [{"a": asset, "o": oid}]}


def conserved(venue):
    """What was paid in, less what everybody has and the house took; zero when nothing is lost."""
    accounts = venue.exchange.accounts.values()
    return sum(x.deposited - x.cash for x in accounts) - venue.exchange.house
