"""What is so, whatever the core believes: the venue's account and books, and what flies to it."""

NS, MS = 1_000_000_000, 1_000_000
ASSET = 0
MIDS_NS = 40 * NS
"""How long a middle or a level may have been on its way to us."""


class Truth:
    """Of one simulation.

    **Attributes:**

    - `mids`: `(when, bid + ask)` of the last `MIDS_NS`, one before them included.
    - `shown`: when each price was last on the books.
    """

    def __init__(self, sim):
        self._sim = sim
        self.mids, self.shown = [], {}

    def account(self):
        return self._sim.venue.exchange.accounts[self._sim.address]

    def resting(self):
        return self._sim.venue.exchange.open_orders(self._sim.address)

    def flying(self):
        """Orders that may still reach the books: `(is_buy, size, price units, cloid)`."""
        sim, venue = self._sim, self._sim.venue
        listing = venue.exchange.listings[ASSET]
        for flight in list(sim.network.flights.values()):
            if flight.expires_ms is not None and flight.expires_ms < sim.now_ns // MS:
                continue
            for one in flight.orders:
                if venue.exchange.find(self._sim.address, one["c"]) is None:
                    size = units(one["s"], listing.size_decimals)
                    yield one["b"], size, units(one["p"], listing.price_decimals), one["c"]

    def look(self):
        """Remember what is shown now."""
        now, twice = self._sim.now_ns, self._sim.venue.exchange.books[ASSET].mid2()
        if twice is not None and (not self.mids or self.mids[-1][1] != twice):
            self.mids.append((now, twice))
        book = self._sim.venue.exchange.books[ASSET]
        for price in (*book.bids.prices(), *book.asks.prices()):
            self.shown[price] = now
        while len(self.mids) > 2 and self.mids[1][0] < now - MIDS_NS:
            del self.mids[0]

    def ledger(self, books):
        """Position and cash from the venue's fills that the books have taken, one by one."""
        account = self.account()
        position, cash = 0, account.deposited
        for fill in account.fills:
            if fill.tid in books._fills or fill.time_ms <= books.opened_ms:
                sign = 1 if fill.is_buy else -1
                position += sign * fill.size
                cash -= sign * fill.price * fill.size + fill.fee
        for paid in account.fundings:
            if paid.time_ms in books._paid or paid.time_ms <= books.opened_ms:
                cash += paid.credit
        return position, cash


def units(text, decimals):
    """A decimal string in units; `None` when it has more digits than that."""
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > decimals or not (whole + fraction).isascii() or not whole.isdigit():
        return None
    return int(whole + fraction.ljust(decimals, "0"))
