"""A tape of random small events, as the runners take it."""

import dataclasses

import jax
import numpy as np

import events
from diffmm import market


ANCHOR, TICK = 400_000, 10
INSTRUMENT = market.Instrument("TOY", 2, 4)


FEE_BP = -2.0
"""A rebate, so that something is worth quoting on a random walk."""


def tape(n=400, seed=0, frame_rows=4):
    """`n` events packed, frames of `frame_rows`, a tick of 0.25 bp, one lot worth 0.4 USD."""
    stream = events.stream(n, seed, wake_every=frame_rows)
    flat = lambda x: np.zeros_like(x)
    fee = np.full(n, FEE_BP, np.float32)
    account = dataclasses.replace(
        stream.account,
        position_usd=flat(stream.account.position_usd),
        cross_usd=flat(stream.account.cross_usd),
        maker_fee_bp=fee,
    )
    tick_bp = np.full(n, 1e4 * np.log1p(TICK / ANCHOR), np.float32)
    lot_usd = np.full(n, ANCHOR / 10**6, np.float32)
    rules = dataclasses.replace(stream.rules, lot_usd=lot_usd, tick_bp=tick_bp)
    exact = 1e4 * np.log1p(np.asarray(stream.book.ticks) * TICK / ANCHOR)
    book = dataclasses.replace(stream.book, price_bp=exact.astype(np.float32))
    stream = dataclasses.replace(stream, account=account, rules=rules, book=book)
    columns = [np.asarray(x, np.float32).reshape(n, -1) for x in jax.tree.leaves(stream)]
    layout = market.Layout(events.LEVELS, events.SLOTS)
    rows = np.concatenate(columns, axis=1)
    return market.Tape(rows, layout, frame_rows, INSTRUMENT, ((0, ANCHOR, TICK),))
