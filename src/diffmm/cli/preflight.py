"""What must be known of a venue and an account before anything is traded there."""

import dataclasses
import json
from fractions import Fraction
from typing import Any

from diffmm.live.http import NoAnswerError, post
from diffmm.market import AccountInputs, Instrument
from diffmm.market.instrument import units

from .source import UsageError, VenueError


BP = 10_000
HTTP_S = 5.0


@dataclasses.dataclass(frozen=True)
class Found:
    """A market as the venue describes it.

    **Attributes:**

    - `instrument`, `asset`: the coin and its number in actions.
    - `price`: its middle now, in price units.
    - `maker_fee_bp`, `taker_fee_bp`: of our account.
    - `wealth_usd`: account value.
    """

    instrument: Instrument
    asset: int
    price: int
    maker_fee_bp: float
    taker_fee_bp: float
    wealth_usd: float

    def account(self, room_usd: float, gamma_limit_usd: float) -> AccountInputs:
        """Inputs of the engine."""
        return AccountInputs(
            wealth_usd=self.wealth_usd,
            room_usd=room_usd,
            gamma_limit_usd=gamma_limit_usd,
            maker_fee_bp=self.maker_fee_bp,
            taker_fee_bp=self.taker_fee_bp,
        )


def ask(base: str, body: dict[str, Any]) -> Any:
    """One answer of `/info`.

    Raises:
        VenueError: when there is none.
    """
    try:
        status, text = post(base, "/info", body, HTTP_S)
        if status != 200:
            raise VenueError(f"{base} answered {body['type']} with HTTP {status}: {text[:200]}")
        return json.loads(text)
    except (NoAnswerError, ValueError) as error:
        raise VenueError(f"{body['type']}: {error}. Nothing else was tried in its place") from error


def look(base: str, coin: str | None, user: str, *, is_play: bool) -> Found:
    """Ask for the market and the account; on a venue for play money be paid first.

    Raises:
        UsageError: for a coin that is not there, or an account without money.
        VenueError: when the venue does not answer.
    """
    universe = ask(base, {"type": "meta"})["universe"]
    names = [x["name"] for x in universe]
    coin = coin or names[0]
    if coin not in names:
        raise UsageError(f"--coin {coin!r} is not traded there; it has {', '.join(names[:20])}")
    asset = names.index(coin)
    instrument = Instrument.hyperliquid(coin, universe[asset]["szDecimals"])
    if is_play:
        ask(base, {"type": "claimDrip", "user": user})
    state = ask(base, {"type": "clearinghouseState", "user": user})
    wealth = float(state["marginSummary"]["accountValue"])
    if wealth <= 0:
        raise UsageError(f"account {user} holds {wealth} USD; deposit first, or check the address")
    fees = ask(base, {"type": "userFees", "user": user})
    in_bp = lambda rate: float(Fraction(rate) * BP)
    return Found(
        instrument,
        asset,
        _middle(base, instrument),
        in_bp(fees["userAddRate"]),
        in_bp(fees["userCrossRate"]),
        wealth,
    )


def _middle(base: str, at: Instrument) -> int:
    levels = ask(base, {"type": "l2Book", "coin": at.coin})["levels"]
    if not (levels[0] and levels[1]):
        raise VenueError(f"{base} shows no two-sided book of {at.coin}; try again later")
    bid, ask_ = (units(side[0]["px"], at.price_decimals) for side in levels)
    return (bid + ask_) // 2
