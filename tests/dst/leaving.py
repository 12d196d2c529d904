"""What leaves our process, judged as it leaves: I3, I6 to I10 and I12 of the checker."""

from diffmm.live.events import Command

from .truth import ASSET, MIDS_NS, MS, NS, units


QUIET_NS = 2 * NS
STAMP_MS = 10_000
"""Age of the newest book that a new order may rest on, whatever the line's own delay."""
ASKED = frozenset({"openOrders", "clearinghouseState"})
MIN_NOTIONAL = 10_000_000
"""In the venue's money: price units times size units."""


class Leaving:
    """Looks at every action.

    **Attributes:**

    - `placed`: orders that left.
    - `canceled_ns`: when the last cancel of an order left, by cloid, on our clock.
    """

    def __init__(self, sim, truth, fail, is_ending):
        self._sim, self._truth, self.fail = sim, truth, fail
        self._nonces, self._last, self._sent = set(), (-1, 0), set()
        self.placed, self.canceled_ns = 0, {}
        self._is_ending = is_ending

    def on_act(self, action):
        """An action leaves."""
        sim = self._sim
        if action.nonce in self._nonces or (sim.life, action.nonce) <= self._last:
            self.fail("I7", f"nonce {action.nonce} after {self._last[1]}")
        self._nonces.add(action.nonce)
        self._last = (sim.life, action.nonce)
        if _has_float(action.action):
            self.fail("I12", f"a float leaves in {action.action}")
        if action.action["type"] == "cancelByCloid":
            for one in action.action["cancels"]:
                self.canceled_ns[one["cloid"]] = sim.core_ns
        elif action.action["type"] == "order":
            self._placing(action)

    def _placing(self, action):
        sim = self._sim
        core, link = sim.core, sim.network.standing
        if self._is_ending():
            self.fail("I10", "an order leaves after the end was asked for")
        if action.expires_ms is None:
            self.fail("I3", "an order leaves without an expiry")
        if link is None or not link.asked or len(link.acks) < link.asked:
            self.fail("I9", "an order leaves on a connection that is not wholly subscribed")
        elif sim.core_ns - link.heard_ns > QUIET_NS:
            self.fail("I9", f"an order leaves {(sim.core_ns - link.heard_ns) / NS} s after a frame")
        elif sim.now_ns // MS - link.stamp_ms > STAMP_MS + sim.network.stale_ms:
            self.fail("I9", f"an order leaves on a book {sim.now_ns // MS - link.stamp_ms} ms old")
        if not sim.network.audited >= ASKED:
            self.fail("I9", f"an order leaves with only {sim.network.audited} asked since the loss")
        for one in action.action["orders"]:
            self._legal(one)
            if not sim.disk.is_durable(one["c"]):
                self.fail("I6", f"{one['c']} leaves before its intent is durable")
            if one["c"] in self._sent:
                self.fail("I7", f"{one['c']} leaves twice")
            self._sent.add(one["c"])
            self.placed += 1
        if core.wish is Command.PAUSE:
            self.fail("I9", "an order leaves while paused")
        for levels in core.intake.encoder._book.sides:
            for price, _, _ in levels:
                if self._truth.shown.get(price, 0) < sim.now_ns - MIDS_NS:
                    self.fail("I9", f"an order leaves on a book with a level at {price}, long gone")

    def _legal(self, one):
        sim = self._sim
        exchange, limits = sim.venue.exchange, sim.core.limits
        listing = exchange.listings[ASSET]
        price, size = (
            units(one["p"], listing.price_decimals),
            units(one["s"], listing.size_decimals),
        )
        if price is None or size is None or not listing.is_price(price) or size <= 0:
            self.fail("I8", f"{one['p']} x {one['s']} is not on the grid")
            return
        if price * size < MIN_NOTIONAL:
            self.fail("I8", f"{one['p']} x {one['s']} is below 10 USD")
        if size > limits.max_order:
            self.fail("I8", f"{size} is more than {limits.max_order}")
        if one["t"] != {"limit": {"tif": "Alo"}}:
            self.fail("I8", f"{one['t']} may take")
        low, high = min(x for _, x in self._truth.mids), max(x for _, x in self._truth.mids)
        reach = limits.collar_bp
        if price * 20_000 < low * (10_000 - reach) or price * 20_000 > high * (10_000 + reach):
            self.fail("I8", f"{price} is beyond {reach} bp of {low / 2} .. {high / 2}")
        for other in self._truth.resting():
            crosses = price >= other.price if one["b"] else price <= other.price
            if other.is_buy != one["b"] and crosses:
                self.fail("I8", f"{one['p']} crosses our own order at {other.price}")


def _has_float(tree):
    if isinstance(tree, dict):
        return any(_has_float(x) for x in tree.values())
    if isinstance(tree, list):
        return any(_has_float(x) for x in tree)
    return isinstance(tree, float)
