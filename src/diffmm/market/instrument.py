"""What an instrument's prices and sizes may be, in exact integers."""

import dataclasses
import re


DECIMAL = re.compile(r"(\d+)(?:\.(\d+))?")
SIGNIFICANT_FIGURES = 5
"""Hyperliquid: a price has at most five significant figures, or is an integer."""
PERP_DECIMALS = 6
"""Hyperliquid: price decimals and size decimals of a perp sum to six at most."""


def units(text: str, decimals: int) -> int:
    """A non-negative decimal string in units of `10**-decimals`, exactly.

    Raises:
        ValueError: for anything else: a sign, an exponent, NaN, or more digits than the unit has.
    """
    match = DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"found {text!r}, expected a plain decimal such as '109741.0'")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise ValueError(f"found {text!r}, expected at most {decimals} decimals")
    return int(whole) * 10**decimals + int(fraction.ljust(decimals, "0") or 0)


def signed_units(text: str, decimals: int) -> int:
    """The same for a decimal that may be negative.

    Raises:
        ValueError: as `units`.
    """
    return -units(text[1:], decimals) if text.startswith("-") else units(text, decimals)


def text(value: int, decimals: int) -> str:
    """The venue's string of an integer: no trailing zeros, no exponent."""
    if decimals == 0:
        return str(value)
    whole, fraction = divmod(value, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}".rstrip("0").rstrip(".")


@dataclasses.dataclass(frozen=True)
class Instrument:
    """Rules of one market.

    **Attributes:**

    - `coin`: the venue's name, `BTC` or `dex:COIN`.
    - `size_decimals`, `price_decimals`: integer units of size and price.
    - `fixed_tick`: price step in price units; 0 means the five-figure rule.
    - `min_notional_usd`: smallest order.
    """

    coin: str
    size_decimals: int
    price_decimals: int
    fixed_tick: int = 0
    min_notional_usd: int = 10

    @classmethod
    def hyperliquid(cls, coin: str, size_decimals: int) -> "Instrument":
        """A perp by its `szDecimals`.

        Raises:
            ValueError: for decimals outside 0..6.
        """
        if not 0 <= size_decimals <= PERP_DECIMALS:
            raise ValueError(f"{coin}: szDecimals {size_decimals}, expected 0 to {PERP_DECIMALS}")
        return cls(coin, size_decimals, PERP_DECIMALS - size_decimals)

    def tick(self, price: int) -> int:
        """Price step at a price, in price units: five significant figures, never above 1."""
        if self.fixed_tick:
            return self.fixed_tick
        figures = len(str(max(price, 1)))
        return min(10 ** max(figures - SIGNIFICANT_FIGURES, 0), 10**self.price_decimals)

    def is_valid_price(self, price: int) -> bool:
        """Whether the venue would accept a price."""
        return price > 0 and price % self.tick(price) == 0

    def usd(self, price: int, size: int) -> float:
        """Notional; exact in units of `10**-(price_decimals + size_decimals)`."""
        return price * size / 10 ** (self.price_decimals + self.size_decimals)
