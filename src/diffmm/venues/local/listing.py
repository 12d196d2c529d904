"""What the venue lists, and which prices and sizes it accepts, in exact integers.

    money:  price unit 10**-(6 - szDecimals) x size unit 10**-szDecimals = 1e-6 USD

so that every notional is an exact number of micro-USD. Written again rather than shared with
`market.instrument`: the venue is the witness that the trader's own rules are checked against.
"""

import dataclasses
import re


DECIMAL = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)
PERP_DECIMALS = 6
"""Price and size decimals of a perp sum to this."""
FIGURES = 5
"""Significant figures of a price that is not an integer."""
USD = 1_000_000
"""Units of money in one USD."""
MIN_NOTIONAL = 10 * USD


@dataclasses.dataclass(frozen=True)
class Listing:
    """One perp: its name, the decimals of its sizes and the most leverage."""

    coin: str
    size_decimals: int
    max_leverage: int = 20

    @property
    def price_decimals(self) -> int:
        """Decimals of a price."""
        return PERP_DECIMALS - self.size_decimals

    def tick(self, price: int) -> int:
        """Price step at a price, both in price units."""
        figures = len(str(max(price, 1)))
        return min(10 ** max(figures - FIGURES, 0), 10**self.price_decimals)

    def is_price(self, price: int) -> bool:
        """Whether a price is on the grid."""
        return price > 0 and price % self.tick(price) == 0

    def rounded(self, price: int, is_up: bool) -> int:
        """The nearest price of the grid at or above, or at or below, and above zero."""
        tick = self.tick(price)
        return max(-(-price // tick) if is_up else price // tick, 1) * tick

    def price_text(self, price: int) -> str:
        """A price as the venue writes it."""
        return decimal(price, self.price_decimals)

    def size_text(self, size: int) -> str:
        """A size, signed for a position, as the venue writes it."""
        return decimal(size, self.size_decimals)


def units(text: str, decimals: int) -> int | None:
    """A plain decimal in units of `10**-decimals`; `None` where it has more decimals than that.

    Raises:
        ValueError: for what is no plain decimal.
    """
    match = DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no plain decimal")
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        return None
    return int(match[1]) * 10**decimals + int(fraction.ljust(decimals, "0") or 0)


def decimal(value: int, decimals: int) -> str:
    """An integer of `10**-decimals` as the venue writes it: one decimal at least, `2705.0`."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(value, 10**decimals)
    digits = f"{fraction:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{sign}{whole}.{digits or '0'}"


def money(value: int) -> str:
    """Micro-USD as the venue writes them."""
    return decimal(value, PERP_DECIMALS)


def normal(text: str) -> str:
    """A decimal in the one form that is signed: no trailing zeros. Others are left as they are."""
    return text.rstrip("0").rstrip(".") if "." in text else text
