"""The one record that enters the compiled step: what the venue told us, in fixed shapes.

Coordinates: a price is `1e4 * log(P / anchor)` in bp, beside it the exact integer of ticks from the
anchor; a size is USD notional at the anchor; a time is a duration in s. Axis `side` is
`(bid, ask)`. The host encoder merges messages into the current book in exact integers, so every row
carries the whole book as known, our own size excluded.
"""

import enum

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int32


BID, ASK = 0, 1
SIDE_SIGN = (-1.0, 1.0)
"""`s` of the model: -1 for our bid, +1 for our ask."""


class Kind(enum.IntEnum):
    """What an event row brings."""

    PADDING = 0
    BOOK = 1
    BBO = 2
    TRADE = 3
    REFERENCE = 4
    CONTEXT = 5
    OWN = 6
    PARAMS = 7
    ANCHOR = 8
    TIMER = 9


class Book(eqx.Module):
    """Displayed levels from the touch outwards, our own size excluded.

    **Attributes:**

    - `ticks`: level prices in ticks from the anchor; an invalid level repeats the last valid one.
    - `price_bp`: the same in bp.
    - `usd`: displayed notional, zero where invalid.
    - `age_s`: age of each level's information.
    - `is_valid`: whether the level exists.
    """

    ticks: Int32[Array, "side levels"]
    price_bp: Float[Array, "side levels"]
    usd: Float[Array, "side levels"]
    age_s: Float[Array, "side levels"]
    is_valid: Bool[Array, "side levels"]


class Trade(eqx.Module):
    """One public print, or zero size. `sign` is +1 for a buying taker, -1 for a selling one."""

    ticks: Int32[Array, ""]
    price_bp: Float[Array, ""]
    usd: Float[Array, ""]
    sign: Float[Array, ""]


class Reference(eqx.Module):
    """The reference instrument's mid about its own anchor; `is_valid` false means no feed."""

    mid_bp: Float[Array, ""]
    half_spread_bp: Float[Array, ""]
    age_s: Float[Array, ""]
    is_valid: Bool[Array, ""]


class Context(eqx.Module):
    """Venue context: hourly funding rates (fractions), open interest, settlement clock.

    **Attributes:**

    - `funding_rate_1h`: the venue's forecast of the rate of the coming settlement.
    - `premium_rate_1h`: what the newest premium alone would give by the venue's rule; the forecast
      itself where no premium is told, so that it says nothing more.
    - `settlement_s`: time to the settlement at this row.
    """

    funding_rate_1h: Float[Array, ""]
    premium_rate_1h: Float[Array, ""]
    open_interest_usd: Float[Array, ""]
    mark_bp: Float[Array, ""]
    settlement_s: Float[Array, ""]
    is_valid: Bool[Array, ""]


class Fill(eqx.Module):
    """What was filled of ours since the last row, by side; zero size where nothing was.

    **Attributes:**

    - `price_bp`: volume-weighted price of the fills.
    - `usd`: notional filled.
    - `depth_usd`: displayed notional that stood ahead of us when we joined, for `u(d)`.
    """

    price_bp: Float[Array, "side"]
    usd: Float[Array, "side"]
    depth_usd: Float[Array, "side"]


class Orders(eqx.Module):
    """Our orders by slot, in flight or resting, without those whose cancel has been sent.

    `is_resting` is what the venue has confirmed; `is_live` counts what is on its way too.
    """

    ticks: Int32[Array, "side slots"]
    price_bp: Float[Array, "side slots"]
    usd: Float[Array, "side slots"]
    ahead_usd: Float[Array, "side slots"]
    age_s: Float[Array, "side slots"]
    is_live: Bool[Array, "side slots"]
    is_resting: Bool[Array, "side slots"]


class Account(eqx.Module):
    """Inputs from the integer ledger or the command line, never from Params.

    **Attributes:**

    - `position_usd`: signed inventory q at the anchor, long positive.
    - `wealth_usd`: account value W.
    - `room_usd`: inventory room q_max, what |q| and the orders that stand may come to; those whose
      cancel flies come on top.
    - `gamma_limit_usd`: limit on the ladder's Gamma exposure.
    - `maker_fee_bp`, `taker_fee_bp`: rebates negative.
    - `cross_usd`: what the positions in other instruments amount to in this one, see
      `risk.portfolio`; 0 for an instrument that is run alone.
    """

    position_usd: Float[Array, ""]
    wealth_usd: Float[Array, ""]
    room_usd: Float[Array, ""]
    gamma_limit_usd: Float[Array, ""]
    maker_fee_bp: Float[Array, ""]
    taker_fee_bp: Float[Array, ""]
    cross_usd: Float[Array, ""]


class Rules(eqx.Module):
    """Exchange rules in engine units: price step near the touch, lot and minimum notional."""

    tick_bp: Float[Array, ""]
    lot_usd: Float[Array, ""]
    min_notional_usd: Float[Array, ""]


class Event(eqx.Module):
    """One row. A padded row (`is_valid` false) leaves every state unchanged.

    **Attributes:**

    - `dt_s`: receive time since the previous row.
    - `age_s`: measured age of this instrument's newest message.
    - `lag_s`: its receive stamp less its exchange stamp, clock offset included (simulated fills).
    - `shift_bp`: re-anchoring shift that every price level takes at this row, normally 0.
    - `shift_ticks`: the same for integer prices.
    - `wake`: whether the quotes are evaluated at this row (host's choice from data only).
    - `restart`: a gap was too long to bridge; the belief starts anew from this book.
    """

    kind: Int32[Array, ""]
    is_valid: Bool[Array, ""]
    wake: Bool[Array, ""]
    restart: Bool[Array, ""]
    dt_s: Float[Array, ""]
    age_s: Float[Array, ""]
    lag_s: Float[Array, ""]
    shift_bp: Float[Array, ""]
    shift_ticks: Int32[Array, ""]
    book: Book
    trade: Trade
    reference: Reference
    context: Context
    fill: Fill
    orders: Orders
    account: Account
    rules: Rules
