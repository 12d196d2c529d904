import dataclasses

import pytest

from diffmm.venues.local.config import Config, LISTINGS
from diffmm.venues.local.events import Time
from diffmm.venues.local.flow import Flow, LAWS
from diffmm.venues.local.venue import Venue
from traders import conserved, Room, START_NS


def sampled(law, seconds, seed=0, speed=1.0):
    """Mid and oracle once a second, and the venue."""
    listing = next(x for x in LISTINGS if x.coin == law.coin)
    venue = Venue(Config(listings=(listing,)), Flow(seed, (law,), speed), START_NS)
    room, seen = Room(venue), []
    for _ in range(seconds):
        room.wait(1.0)
        seen.append((venue.exchange.books[0].mid2(), venue.exchange.oracles[0]))
    return seen, venue


@pytest.mark.parametrize("law", LAWS, ids=lambda x: x.coin)
def test_every_default_market_trades_moves_and_keeps_two_sides(law):
    seen, venue = sampled(law, 60)
    mids = [mid for mid, _ in seen]
    assert None not in mids
    assert len(set(mids)) > 10
    exchange = venue.exchange
    volume = sum(x.volume for x in exchange.accounts.values())
    assert volume > 0
    assert conserved(venue) == 0
    assert sum(x.size(0) for x in exchange.accounts.values()) == 0


def test_the_oracle_lags_the_mid():
    still = {"informed_percent": 0, "taker_s": 1e9, "liquidation_s": 1e9, "jump_s": 1e9}
    law = dataclasses.replace(LAWS[0], volatility_bp=8.0, refresh_s=0.2, reference_s=0.0, **still)
    seen, _ = sampled(law, 120)
    mids, oracles = zip(*seen, strict=True)
    error = lambda shift: sum(abs(mids[i - shift] - 2 * oracles[i]) for i in range(5, len(seen)))
    assert min(range(5), key=error) > 0


def test_speed_makes_more_happen_in_the_same_time():
    slow, fast = (sampled(LAWS[0], 20, speed=speed)[1].exchange for speed in (1.0, 10.0))
    volume = lambda x: sum(a.volume for a in x.accounts.values())
    assert volume(fast) > 3 * volume(slow)


def test_one_coins_market_does_not_depend_on_which_others_there_are():
    alone = sampled(LAWS[0], 20)[0]
    venue = Venue(Config(), Flow(0), START_NS)
    room, among = Room(venue), []
    for _ in range(20):
        room.wait(1.0)
        among.append((venue.exchange.books[0].mid2(), venue.exchange.oracles[0]))
    assert alone == among


def test_waking_the_venue_more_often_changes_nothing():
    often, rarely = (Venue(Config(), Flow(0), START_NS) for _ in range(2))
    for i in range(1, 2001):
        often.on(Time(), START_NS + i * 5_000_000)
    rarely.on(Time(), START_NS + 10_000_000_000)
    assert [b.bids.depth(20) for b in often.exchange.books] == [
        b.bids.depth(20) for b in rarely.exchange.books
    ]
