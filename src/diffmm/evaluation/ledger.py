"""Money in exact integers: position, cash, and where the PnL came from. Fill by fill, no floats.

    spread    = sum s (p - m_fill) n
    adverse   = -sum s (m_{fill + 5 s} - m_fill) n      (a younger fill: the last mid)
    inventory = cash + mark change less the others = sum q dm outside those windows
    total     = spread + adverse + inventory + funding + fees

Mids are counted in half price units, money in 1e-8 USD, so every part is an integer and the parts
sum to the total. The same class serves a replay and the live status line. It starts flat.
"""

import collections
import dataclasses
from collections.abc import Iterator
from fractions import Fraction

from diffmm.market import BID, Instrument


NS = 1_000_000_000
MONEY_DECIMALS = 8
"""Money is counted in units of 1e-8 USD."""
BP = 10_000
PARTS = ("spread", "adverse", "inventory", "funding", "fees")


def round_half_away(value: Fraction) -> int:
    """The nearest integer; a half goes away from zero. The rule for fees and funding."""
    size = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return size if value >= 0 else -size


@dataclasses.dataclass(frozen=True)
class Young:
    """A fill inside its window: what it added to the position, and the mid it met (doubled)."""

    due_ns: int
    change: int
    mid2: int


class Ledger:
    """Streaming ledger of one instrument.

    **Attributes:**

    - `position`: size units, long positive.
    - `fills`: number of fills.
    - `mid2`: bid plus ask, price units; `None` before the first book.
    - `most_abs_position_1e8`: largest notional held so far, at the mid.
    """

    def __init__(self, instrument: Instrument, maker_fee_bp: float | str, window_s: int = 5):
        """Start flat.

        Args:
            instrument: gives the integer units of price and size.
            maker_fee_bp: read as the decimal it prints as; a rebate is negative.
            window_s: age at which a fill's price move stops being `adverse`.

        Raises:
            ValueError: when half a price unit times a size unit is not whole in 1e-8 USD.
        """
        spare = MONEY_DECIMALS - instrument.price_decimals - instrument.size_decimals
        if spare < 1:
            raise ValueError(
                f"{instrument.coin}: price and size decimals sum to {MONEY_DECIMALS - spare}, "
                f"expected {MONEY_DECIMALS - 1} at most; count money in a smaller unit"
            )
        self.position = self.fills = self.most_abs_position_1e8 = 0
        self.mid2: int | None = None
        self._carried = 0
        self._unit = 10**spare // 2
        self._fee = Fraction(str(maker_fee_bp)) / BP
        self._window_ns = window_s * NS
        self._young: collections.deque[Young] = collections.deque()
        self._young_change = self._young_value = 0
        self._cash2 = self._spread2 = self._adverse2 = self._inventory2 = 0
        self._funding_1e8 = self._fees_1e8 = 0

    def on_mid(self, time_ns: int, bid_price: int, ask_price: int) -> None:
        """The touch, in price units. A fill exactly as old as the window takes this mid."""
        self._grow(time_ns)
        mid2 = bid_price + ask_price
        if self.mid2 is not None:
            self._inventory2 += (self.position - self._young_change) * (mid2 - self.mid2)
        self.mid2 = mid2
        carried, self._carried = self._carried, 0
        self.start(carried)
        self._mark_most()

    def on_fill(self, time_ns: int, side: int, price: int, size: int) -> None:
        """One of our quotes was filled: price and size in instrument units."""
        self.on_fills(time_ns, side, price * size, size)

    def start(self, position: int) -> None:
        """A position held before the run: it comes at the mid, the first one if none is known yet.

        It has then earned nothing, and what it earns later is `inventory`.
        """
        if self.mid2 is None:
            self._carried = position
            return
        self.position += position
        self._cash2 -= position * self.mid2

    def on_fills(
        self, time_ns: int, side: int, value: int, size: int, fee_1e8: int | None = None
    ) -> None:
        """Fills of one moment and side taken together: `value` is the sum of price times size.

        Args:
            time_ns: of the fills.
            side: ours.
            value: sum of price times size.
            size: sum of sizes.
            fee_1e8: what the venue charged; the maker fee of the run where not given.

        Raises:
            ValueError: before the first book, when there is no mid to measure from.
        """
        if self.mid2 is None:
            raise ValueError("a fill before the first mid; give the ledger the book first")
        self._grow(time_ns)
        change = size if side == BID else -size
        paid2 = 2 * value if side == BID else -2 * value
        self.position += change
        self.fills += 1
        self._cash2 -= paid2
        self._spread2 += change * self.mid2 - paid2
        rated = round_half_away(self._fee * (2 * value * self._unit))
        self._fees_1e8 += rated if fee_1e8 is None else fee_1e8
        self._young.append(Young(time_ns + self._window_ns, change, self.mid2))
        self._young_change += change
        self._young_value += change * self.mid2
        self._mark_most()

    def on_funding(self, rate: float | str, price2: int | None = None) -> None:
        """One settlement: a long pays `rate` of its notional where the rate is positive.

        Args:
            rate: fraction of notional, read as the decimal it prints as.
            price2: twice the settlement price in price units; the mid where not given.
        """
        price2 = self.mid2 if price2 is None else price2
        if price2 is not None:
            notional = self.position * price2 * self._unit
            self._funding_1e8 -= round_half_away(Fraction(str(rate)) * notional)

    def on_payment(self, paid_1e8: int) -> None:
        """A funding payment as the venue settled it, a credit."""
        self._funding_1e8 += paid_1e8

    @property
    def pnl_1e8(self) -> int:
        """Everything earned, marked at the mid."""
        marked2 = self._cash2 + self.position * (self.mid2 or 0)
        return marked2 * self._unit + self._funding_1e8 - self._fees_1e8

    @property
    def cash_1e8(self) -> int:
        """Cash alone, funding and fees included."""
        return self._cash2 * self._unit + self._funding_1e8 - self._fees_1e8

    @property
    def pnl_parts_1e8(self) -> dict[str, int]:
        """Signed contributions by name; they sum to `pnl_1e8`. Fees paid are negative here."""
        parts = {
            "spread": self._spread2 * self._unit,
            "adverse": self._adverse_now2 * self._unit,
            "funding": self._funding_1e8,
            "fees": -self._fees_1e8,
        }
        parts["inventory"] = self.pnl_1e8 - sum(parts.values())
        return {name: parts[name] for name in PARTS}

    @property
    def inventory_direct_1e8(self) -> int:
        """`sum q dm` outside the fills' windows, summed as it happens; equals the part."""
        return self._inventory2 * self._unit

    @property
    def _adverse_now2(self) -> int:
        return self._adverse2 + self._young_change * (self.mid2 or 0) - self._young_value

    def _grow(self, now_ns: int) -> None:
        """Fills whose window closed before now take the mid that was in force then."""
        for old in self._take_due(now_ns):
            self._adverse2 += old.change * ((self.mid2 or 0) - old.mid2)
            self._young_change -= old.change
            self._young_value -= old.change * old.mid2

    def _take_due(self, now_ns: int) -> Iterator[Young]:
        while self._young and self._young[0].due_ns < now_ns:
            yield self._young.popleft()

    def _mark_most(self) -> None:
        held = abs(self.position) * (self.mid2 or 0) * self._unit
        self.most_abs_position_1e8 = max(self.most_abs_position_1e8, held)
