"""A trading core from its parts: what it listens to, what it knows, what it may not exceed."""

import json

from diffmm.market import AccountInputs, EncoderConfig, Instrument, Layout
from diffmm.venues.hyperliquid.actions import user_subscriptions
from diffmm.venues.hyperliquid.codec import subscriptions
from diffmm.venues.intake import Intake

from .desk import Desk
from .limits import Limits
from .quoter import Stepper
from .recovery import Known
from .trader import Config as Config, Trader
from .wire import Wire


def trader(
    *,
    stepper: Stepper,
    instrument: Instrument,
    asset: int,
    user: str,
    account: AccountInputs,
    limits: Limits,
    known: Known,
    config: Config,
    layout: Layout | None = None,
) -> Trader:
    """One core.

    Args:
        stepper: the engine, compiled, or whatever decides in its place.
        instrument: traded; `asset` is its number in the venue's actions.
        asset: see above.
        user: address of the account.
        account: the engine's inputs.
        limits: what no output of the engine may exceed.
        known: recovered from the journal, or nothing.
        config: patience.
        layout: shapes of a row, the product's where not given.
    """
    encoder = EncoderConfig() if layout is None else EncoderConfig(layout=layout)
    feeds = [json.loads(x)["subscription"] for x in subscriptions(instrument.coin)]
    return Trader(
        stepper,
        Intake(instrument, account, encoder),
        account,
        Desk(instrument, asset, user, known.blotter, known.nonce),
        known.books,
        Wire([*feeds, *user_subscriptions(user)]),
        limits,
        config,
    )
