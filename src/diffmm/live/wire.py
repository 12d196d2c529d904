"""The connection as the core sees it: epochs, subscriptions, staleness, and coming back.

The venue has no resume token and drops connections unannounced, so every loss is a gap that only
its `/info` can close. Freshness is judged by the connection (a pong counts) and by how far the
newest exchange stamp is behind the best one seen; the age of a quiet book is priced, not gated. A
stream that has a rhythm and falls silent while others speak ends the connection.
"""

import json
import re

from .events import Action, Close, Open, Send


NS = 1_000_000_000
MS = 1_000_000
PING = '{"method":"ping"}'
PING_NS, DEAD_NS, FRESH_NS = 1 * NS, 6 * NS, 2 * NS
"""Silence at which we ping, give the connection up, and do not quote any more."""
ACKED_NS = 5 * NS
"""Patience for the answers to our subscriptions."""
RHYTHM_NS = {"l2Book": 5 * NS, "activeAssetCtx": 15 * NS}
"""Longest silence of the streams that have a rhythm."""
FIRST_WAIT_NS, MOST_WAIT_NS, STABLE_NS = NS // 4, 5 * NS, 30 * NS
"""Waits between attempts double from the first to the most; a stable connection starts over."""
LAG_WINDOW_NS = 300 * NS
STAMPED = re.compile(r'"time": ?(\d{1,15})')
GOLDEN, MASK = 0x9E3779B97F4A7C15, 2**64 - 1


class Entropy:
    """SplitMix64: a stream of 64-bit integers from one seed. Source: Steele, Lea, Flood 2014."""

    def __init__(self, seed: int):
        self._state = seed & MASK

    def next(self) -> int:
        """The next integer."""
        self._state = (self._state + GOLDEN) & MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


class Wire:
    """One connection at a time.

    **Attributes:**

    - `epoch`: of the present connection or attempt.
    - `is_open`: whether it stands.
    - `reconnects`: connections after the first.
    - `newest_ms`: newest exchange stamp of any connection.
    """

    def __init__(self, subscriptions: list[dict]):
        self.epoch = self.reconnects = self.newest_ms = 0
        self.is_open = False
        self._subscriptions, self._entropy = subscriptions, Entropy(0)
        self._opened_ns = self._heard_ns = self._pinged_ns = 0
        self._failures = 0
        self._acks: set[str] = set()
        self._is_closing = False
        self._streams: dict[str, int] = {}
        self._behind_ns = self._book_ms = 0
        self._least: list[tuple[int, int]] = []

    def seed(self, entropy: int) -> None:
        """Of the jitter of its waits."""
        self._entropy = Entropy(entropy)

    def connect(self, wait_ns: int = 0) -> list[Action]:
        """Ask for the next connection."""
        self.epoch += 1
        self.is_open = self._is_closing = False
        self._acks = set()
        return [Open(self.epoch, wait_ns)]

    def opened(self, epoch: int, now_ns: int) -> list[Action]:
        """It stands: subscribe to everything again."""
        if epoch != self.epoch:
            return [Close(epoch)]
        self.is_open = True
        self.reconnects += self._opened_ns > 0
        self._opened_ns = self._heard_ns = self._pinged_ns = now_ns
        self._streams = dict.fromkeys(RHYTHM_NS, now_ns)
        asked = [{"method": "subscribe", "subscription": one} for one in self._subscriptions]
        return [Send(epoch, json.dumps(one, separators=(",", ":"))) for one in asked]

    def lost(self, epoch: int, now_ns: int) -> list[Action]:
        """It is gone: another one, after a wait that grows and is half jitter."""
        if epoch != self.epoch:
            return []
        was_stable = self.is_open and now_ns - self._opened_ns > STABLE_NS
        self._failures = 1 if was_stable else self._failures + 1
        longest = min(FIRST_WAIT_NS << min(self._failures - 1, 16), MOST_WAIT_NS)
        return self.connect(longest // 2 + self._entropy.next() % (longest // 2))

    def heard(self, channel: str, text: str, now_ns: int) -> None:
        """A frame of the present connection."""
        self._heard_ns = now_ns
        if channel == "subscriptionResponse":
            # By their words: one that comes twice confirms one subscription.
            self._acks.add(text)
        if channel in self._streams:
            self._streams[channel] = now_ns
        if channel in ("bbo", "l2Book") and (found := STAMPED.search(text)):
            self._book_ms = int(found[1])
            self.newest_ms = max(self.newest_ms, self._book_ms)
            self._stamped(now_ns - int(found[1]) * MS, now_ns)

    def tick(self, now_ns: int) -> list[Action]:
        """Ping in silence; give up a connection that is dead, unanswered or half deaf."""
        if not self.is_open or self._is_closing:
            return []
        silent_ns = now_ns - self._heard_ns
        late = not self.is_ready and now_ns - self._opened_ns > ACKED_NS
        if silent_ns > DEAD_NS or late or self.deaf(now_ns):
            self._is_closing = True
            return [Close(self.epoch)]
        if silent_ns > PING_NS and now_ns - self._pinged_ns > PING_NS:
            self._pinged_ns = now_ns
            return [Send(self.epoch, PING)]
        return []

    def deaf(self, now_ns: int) -> list[str]:
        """Streams that have missed their rhythm."""
        return [name for name, at in self._streams.items() if now_ns - at > RHYTHM_NS[name]]

    @property
    def is_ready(self) -> bool:
        """Connected, and every subscription answered."""
        return self.is_open and len(self._acks) >= len(self._subscriptions)

    def is_fresh(self, now_ns: int) -> bool:
        """Whether what it says may be traded on."""
        is_heard = now_ns - self._heard_ns <= FRESH_NS
        is_prompt = self._behind_ns <= FRESH_NS
        # By the venue's stamps alone: its `/info` may know a later time than its books tell.
        is_prompt &= (self.newest_ms - self._book_ms) * MS <= RHYTHM_NS["l2Book"]
        return self.is_ready and not self._is_closing and is_heard and is_prompt

    def overslept(self, late_ns: int) -> None:
        """Our clock passed over so much: it jumped, and then every lag is that much longer.

        If we really slept, the first prompt frame lowers the least lag again.
        """
        self._least = [(at + late_ns, lag + late_ns) for at, lag in self._least]

    def venue_ms(self, now_ns: int) -> int:
        """The venue's clock, by the least lag seen."""
        least = min((lag for _, lag in self._least), default=0)
        return (now_ns - least) // MS

    def _stamped(self, lag_ns: int, now_ns: int) -> None:
        """The least lag of this window and the last, and how far this stamp is behind it."""
        if not self._least or now_ns - self._least[-1][0] > LAG_WINDOW_NS:
            self._least = [*self._least[-1:], (now_ns, lag_ns)]
        started, least = self._least[-1]
        self._least[-1] = started, min(least, lag_ns)
        self._behind_ns = lag_ns - min(lag for _, lag in self._least)
