"""Why an order or a cancel is refused, and the venue's own words for it."""

import dataclasses
import enum


class Refusal(enum.Enum):
    """Each is `(status of the refused order, words, whether the words name the asset)`.

    Without a status the request could not even be read as an order, and none is remembered.
    """

    TICK = ("tickRejected", "Price must be divisible by tick size.", True)
    MIN_NOTIONAL = ("minTradeNtlRejected", "Order must have minimum value of $10.", True)
    MARGIN = ("perpMarginRejected", "Insufficient margin to place order.", True)
    REDUCE_ONLY = ("reduceOnlyRejected", "Reduce only order would increase position.", True)
    BAD_ALO = (
        "badAloPxRejected",
        "Post only order would have immediately matched, bbo was {bid}@{ask}.",
        True,
    )
    IOC = (
        "iocCancelRejected",
        "Order could not immediately match against any resting orders.",
        True,
    )
    TOO_MANY = ("tooManyOpenOrdersRejected", "Too many open orders.", True)
    PRICE = ("", "Order has invalid price.", False)
    SIZE = ("", "Order has invalid size.", False)
    ZERO = ("", "Order has zero size.", False)
    TRIGGER = ("", "Trigger orders are not taken here.", False)
    MISSING = ("", "Order was never placed, already canceled, or filled.", True)
    MODIFY = ("", "Cannot modify canceled or filled order", False)

    @property
    def status(self) -> str:
        """Of the order that was refused."""
        return self.value[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A refusal of one order or cancel; `bid` and `ask` are texts, where the words need them."""

    refusal: Refusal
    asset: int
    bid: str = ""
    ask: str = ""

    @property
    def words(self) -> str:
        """As the venue says it."""
        _, words, names_asset = self.refusal.value
        said = words.format(bid=self.bid, ask=self.ask)
        return f"{said} asset={self.asset}" if names_asset else said
