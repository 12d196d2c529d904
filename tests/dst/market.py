"""A market that costs little: makers around a walking middle, takers at random, seeded.

Its rhythm changes with the hour of the seed: calm, busy, jumping, one-sided, empty. All of it goes
through the venue's own books, so that our orders are met by price and time.
"""

import random

from diffmm.venues.local.book import Tif
from diffmm.venues.local.exchange import NewOrder
from diffmm.venues.local.gateway import Turn


NS, MS = 1_000_000_000, 1_000_000
ASSET = 0
HOUSE = "0x" + "ee" * 20
START_PRICE = 1_000_000
TICK, NEAREST, LEVELS, LEVEL_SIZE = 100, 2, 3, 500
REACH = 40 * TICK
MOODS = ("calm", "busy", "jumps", "one-sided", "empty")
MOOD_S = (60, 600)
LOWEST, HIGHEST = 300_000, 9_000_000


class Market:
    """Who else trades; see `diffmm.venues.local.venue.Market`. `nearest`: ticks from the middle."""

    def __init__(self, seed: int, nearest: int = NEAREST):
        self._nearest = nearest
        self._draw = random.Random(f"market {seed}")
        self.middle = START_PRICE
        self.mood, self._until_ns = "calm", 0
        self._next_ns, self._account = 0, None

    def open(self, exchange, now_ns):
        self._next_ns = now_ns
        self._account = exchange.open_account(HOUSE, 10**18, is_house=True)
        exchange.marks[ASSET] = exchange.oracles[ASSET] = self.middle
        self._quote(exchange, now_ns)

    def next_ns(self):
        return self._next_ns

    def act(self, exchange, now_ns):
        draw = self._draw
        if now_ns >= self._until_ns:
            # Mostly a market that one can trade in.
            self.mood = draw.choices(MOODS, (8, 4, 2, 1, 1))[0]
            self._until_ns = now_ns + draw.randint(*MOOD_S) * NS
        is_busy = self.mood in ("busy", "jumps")
        self._next_ns = now_ns + draw.randint(*(300, 1200) if is_busy else (1000, 8000)) * MS
        ticks = draw.randint(-2, 2) if is_busy else draw.randint(-1, 1)
        if self.mood == "jumps" and draw.random() < 0.02:
            ticks = draw.choice((-1, 1)) * draw.randint(50, 800)
        self.middle = min(max(self.middle + TICK * ticks, LOWEST), HIGHEST)
        exchange.oracles[ASSET] = self.middle
        out = []
        if ticks or draw.random() < 0.2:
            out.append((Turn.CANCEL, lambda at_ns: self._quote(exchange, at_ns)))
        if draw.random() < (0.6 if is_busy else 0.25):
            is_buy, size = draw.random() < 0.5, draw.randint(20, 700)
            price = self.middle + (REACH if is_buy else -REACH)
            order = NewOrder(ASSET, is_buy, self._rounded(exchange, price), size, Tif.IOC)
            out.append(
                (
                    Turn.CROSSING,
                    lambda at_ns: exchange.place(self._account, order, at_ns // MS),
                )
            )
        return out

    def _quote(self, exchange, now_ns):
        for order in exchange.open_orders(HOUSE):
            exchange.withdraw(order, "canceled", now_ns // MS)
        sides = {"one-sided": (True,), "empty": ()}.get(self.mood, (True, False))
        for level in range(LEVELS):
            for is_buy in sides:
                away = TICK * (self._nearest + level)
                price = self.middle + (-away if is_buy else away)
                price = self._rounded(exchange, price)
                order = NewOrder(ASSET, is_buy, price, LEVEL_SIZE, Tif.GTC)
                exchange.place(self._account, order, now_ns // MS)

    def _rounded(self, exchange, price):
        return exchange.listings[ASSET].rounded(max(price, 1), is_up=False)
