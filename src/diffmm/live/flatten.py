"""The one order that crosses the spread: what is held is given back, when a person asked for it.

Reduce-only and immediate, so it can neither add to the position nor rest. Its price is the farthest
that the gate's collar allows from both references: a book that would have to be crossed beyond that
is no book to sell into. Exact integers, no I/O. Source: ours.
"""

from diffmm.market import ASK, BID, Instrument

from .gate import BP, Intended
from .limits import Limits


def closing(
    position: int, mid2: int | None, mark: int | None, limits: Limits, at: Instrument
) -> Intended | None:
    """The order that closes a position, or the largest part of it that one order may be.

    `None` while a reference is missing or the two are apart by more than the gate allows, and for
    less than the venue takes.

    Args:
        position: size units, long positive.
        mid2: bid plus ask of the book.
        mark: the venue's mark price.
        limits: of the run.
        at: the instrument.
    """
    if not position or not mid2 or not mark:
        return None
    references2 = (mid2, 2 * mark)
    if (max(references2) - min(references2)) * BP > limits.max_reference_gap_bp * min(references2):
        return None
    size = min(abs(position), limits.max_order)
    if position > 0:
        # Rounded towards the market on both sides, so that the collar holds to the last tick.
        lowest = -(-max(references2) * (BP - limits.collar_bp) // (2 * BP))
        tick = at.tick(lowest)
        price = -(-lowest // tick) * tick
        side = ASK
    else:
        highest = min(references2) * (BP + limits.collar_bp) // (2 * BP)
        tick = at.tick(highest)
        price = highest // tick * tick
        side = BID
    if not at.is_valid_price(price) or is_dust(size, price, at):
        return None
    return Intended(side, price, size)


def is_dust(size: int, price: int, at: Instrument) -> bool:
    """Whether so much is worth less than the venue's least notional."""
    scale = 10 ** (at.price_decimals + at.size_decimals)
    return abs(size) * price < at.min_notional_usd * scale
