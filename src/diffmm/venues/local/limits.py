"""What one may ask how often: nonces of a signer, requests of an address, traffic of a machine."""

import bisect
import collections
import dataclasses

from .listing import decimal, USD


DAY_MS = 86_400_000
KEPT_NONCES = 100
FREE_REQUESTS = 10_000
CANCEL_EXTRA = 100_000
ONE_PER_NS = 10_000_000_000
"""An address without budget may still act once in so long."""
STALE_WEIGHT = 5
"""What an action that had already expired costs."""
MINUTE_NS = 60_000_000_000


class Nonces:
    """The highest nonces of one signer: a new one is unused and above the lowest of them."""

    def __init__(self) -> None:
        self._kept: list[int] = []

    def refusal(self, nonce: int, now_ms: int) -> str | None:
        """Use a nonce, or say why not."""
        if nonce in self._kept:
            return f"Invalid nonce: duplicate nonce {nonce}"
        low, high = now_ms - 2 * DAY_MS, now_ms + DAY_MS
        if len(self._kept) == KEPT_NONCES:
            low = max(low, self._kept[0])
        if nonce <= low:
            return f"Invalid nonce: nonce too low {nonce} < {low}"
        if nonce >= high:
            return f"Invalid nonce: nonce too high {nonce} > {high}"
        bisect.insort(self._kept, nonce)
        del self._kept[:-KEPT_NONCES]
        return None


@dataclasses.dataclass(slots=True)
class Budget:
    """Requests of one address: so many for nothing, one more for each USD traded.

    **Attributes:**

    - `free`: requests for nothing.
    - `used`: requests so far; a batch of n counts n.
    """

    free: int = FREE_REQUESTS
    used: int = 0
    _allowed_ns: int = -ONE_PER_NS

    def cap(self, volume: int) -> int:
        """Requests that a volume (micro-USD) has earned."""
        return self.free + volume // USD

    def refusal(self, weight: int, is_cancel: bool, volume: int, now_ns: int) -> str | None:
        """Spend, or say why not; cancels have room of their own beyond the rest."""
        cap = self.cap(volume)
        most = min(cap + CANCEL_EXTRA, 2 * cap) if is_cancel else cap
        if self.used + weight <= most:
            self.used += weight
            return None
        if now_ns - self._allowed_ns >= ONE_PER_NS:
            self._allowed_ns = now_ns
            return None
        return (
            f"Too many cumulative requests sent ({self.used + weight} > {most}) for cumulative "
            f"volume traded ${decimal(volume // 10_000, 2)}. Place taker orders to free up 1 "
            "request per USDC traded."
        )


class Window:
    """How much was counted within the last minute."""

    def __init__(self) -> None:
        self._counts: collections.deque[tuple[int, int]] = collections.deque()
        self._total = 0

    def is_within(self, weight: int, most: int, now_ns: int) -> bool:
        """Count it if it fits."""
        while self._counts and self._counts[0][0] <= now_ns - MINUTE_NS:
            self._total -= self._counts.popleft()[1]
        if self._total + weight > most:
            return False
        self._counts.append((now_ns, weight))
        self._total += weight
        return True
