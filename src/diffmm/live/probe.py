"""What a venue's coins count in, learnt from its first books when nobody said."""

import asyncio
import contextlib
from collections.abc import Sequence

from diffmm.market import Instrument
from diffmm.venues.client import Feed, Frame
from diffmm.venues.tape_io import universe


async def instruments(feed: Feed, coins: Sequence[str], patience_s: float) -> dict[str, Instrument]:
    """Instruments of the coins by the most size decimals of a first book of each.

    Args:
        feed: listened to until every coin has shown a book.
        coins: names as the venue spells them.
        patience_s: wall time to wait; what was found until then is returned.
    """
    books: dict[str, str] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s), contextlib.aclosing(feed.words()) as words:
            async for word in words:
                if not isinstance(word, Frame) or '"l2Book"' not in word.text:
                    continue
                for coin in coins:
                    if f'"{coin}"' in word.text and '"sz"' in word.text:
                        books.setdefault(coin, word.text)
                if len(books) == len(coins):
                    break
    found = universe(books.values())
    return {coin: found[coin] for coin in coins if coin in found}
