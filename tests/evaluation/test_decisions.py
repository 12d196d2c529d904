"""Digest, health, and the Gamma limit recomputed on what really stands on the book."""

import dataclasses
import hashlib
import struct

import numpy as np

from diffmm.core import Health
from diffmm.evaluation import decisions


def test_the_digest_is_the_hash_of_every_decision_in_order():
    ticks = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], np.int32)
    lots = np.array([[[1, 0], [2, 3]], [[4, 5], [6, 7]]], np.int32)
    plain = [1, 0, 3, 4, 1, 0, 2, 3, 5, 6, 7, 8, 4, 5, 6, 7]
    want = hashlib.sha256(struct.pack("<16i", *plain)).hexdigest()
    assert decisions.quotes_digest(ticks, lots) == want


def test_the_digest_sees_order_price_and_size_but_no_price_of_nothing():
    rng = np.random.default_rng(0)
    ticks = rng.integers(-9, 9, (5, 2, 3)).astype(np.int32)
    lots = rng.integers(1, 9, (5, 2, 3)).astype(np.int32)
    lots[2, 1, 1] = 0
    base = decisions.quotes_digest(ticks, lots)
    for array in (ticks, lots):
        other = array.copy()
        other[4, 0, 2] += 1
        pair = (other, lots) if array is ticks else (ticks, other)
        assert decisions.quotes_digest(*pair) != base
    assert decisions.quotes_digest(ticks[::-1], lots[::-1]) != base
    nothing = ticks.copy()
    nothing[2, 1, 1] += 1
    assert decisions.quotes_digest(nothing, lots) == base


def test_health_is_counted_by_bit_and_only_nonfinite_steps_are_fatal():
    book, nan = int(Health.NO_BOOK), int(Health.NONFINITE_ALLOCATION)
    health = np.array([0, book, book | nan, nan], np.uint32)
    assert decisions.health_counts(health) == {"NO_BOOK": 2, "NONFINITE_ALLOCATION": 2}
    assert decisions.nonfinite(health) == 2


def violations(run, scale=1.0, limit=None):
    tape, record = run
    index, _ = tape.frame_index()
    event = tape.layout.unpack(tape.rows[index[:, -1]])
    if limit is not None:
        account = dataclasses.replace(event.account, gamma_limit_usd=limit)
        event = dataclasses.replace(event, account=account)
    n = len(index)
    return decisions.gamma_violations(
        record.standing_ticks,
        np.floor(record.standing_lots * scale).astype(np.int64),
        np.full(n, tape.anchors[0][1]),
        np.full(n, tape.anchors[0][2]),
        event,
        record.seen.belief,
        record.quotes.surface,
    )


def test_the_engine_keeps_the_gamma_limit_and_a_planted_bug_is_counted(run):
    assert violations(run) == 0
    # Placing everything a thousandfold ignores the limit.
    assert violations(run, scale=1e3) > 10
    assert violations(run, scale=0) == 0


def test_one_lot_too_much_is_forgiven_and_two_are_not(run):
    tape, record = run
    gamma = record.quotes.targets.gamma_usd
    standing = (record.standing_lots > 0).any(axis=(1, 2))
    some = int(np.flatnonzero(standing & (gamma > 0))[0])
    belief, life = record.seen.belief, record.quotes.surface.tau_s[some]
    index, _ = tape.frame_index()
    age = tape.layout.unpack(tape.rows[index[some, -1:]]).age_s[0]
    sigma = belief.mode_sigma_bp[some] * np.sqrt(life + age)
    lot_usd = tape.anchors[0][1] / 1e6
    one = float(np.sum(np.exp(belief.log_mode[some]) * sigma) * lot_usd / np.sqrt(8 * np.pi) / 1e4)
    for lots, want in ((0.5, 0), (2.0, 1)):
        limit = np.full(len(gamma), 1e9, np.float32)
        limit[some] = gamma[some] - lots * one
        assert violations(run, limit=limit) == want
