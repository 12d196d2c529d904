"""The engine in a market where quoting pays: it must quote, and it must earn."""

import jax
import numpy as np
import pytest

from diffmm.core import defaults
from diffmm.engine import graph, loop
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.report import summary as report
from diffmm.simulation import account, generative, hard_fills
from diffmm.venues.world_io import load_world


FEE_BP = 1.5


def fills_of(tape, record):
    """Our fills with exact prices and exchange times from the start."""
    index, valid = tape.frame_index()
    time_s = np.cumsum(np.asarray(tape.events().dt_s, np.float64))
    lots, ticks = (np.asarray(x).astype(int) for x in (record.lots, record.lots_ticks))
    out = []
    for frame, row, side in zip(*np.nonzero(lots * valid[..., None]), strict=True):
        size = int(lots[frame, row, side])
        anchor, tick = tape.anchor_at(int(index[frame, row]))
        price = anchor + round(int(ticks[frame, row, side]) / size) * tick
        out.append(account.OwnFill(time_s[index[frame, row]], 2 * int(side) - 1, price, size))
    return out


@pytest.mark.slow
def test_in_a_thin_world_of_uninformed_takers_the_engine_quotes_both_sides_and_earns():
    market = generative.simulate(load_world("thin"), 0)
    inputs = AccountInputs(maker_fee_bp=FEE_BP)
    tape, _ = generative.tape(market, inputs, EncoderConfig())
    config = loop.Config.default(takers_have_limits=True)
    rule = defaults(hard_fills.Params)
    end, record = jax.block_until_ready(
        loop.replay(defaults(graph.Params), rule, tape.frames(), config=config)
    )
    scored = report.score(tape, record, inputs)
    told = report.summary(scored, rule, inputs)
    fills = fills_of(tape, record)
    cost = account.settle(market, fills, inputs.taker_fee_bp)
    assert told["two_sided_fraction"] > 0.9
    assert told["pnl_usd"] > 0
    assert told["pnl_usd"] - cost.unwinding_1e8 / account.UNITS > 0
    assert told["gamma_violations"] == told["nonfinite"] == 0
    # Its ledger and the world's own account agree on funding, made in different ways.
    funding = -told["pnl_parts_1e8"]["funding"]
    assert funding == pytest.approx(cost.funding_1e8, rel=1e-3)
    # Not one order vanished before its cancel could have landed.
    assert int(end.world.lost) == 0
    assert len(fills) > 500
