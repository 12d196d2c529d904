"""The JSON of a run: its keys, its sums, and that it is plain."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import small_run
import small_tape
from diffmm import market
from diffmm.report import summary


KEYS = {
    "events",
    "decisions",
    "two_sided_fraction",
    "missing_side",
    "quotes_digest",
    "fills",
    "max_abs_position_usd",
    "pnl_usd",
    "pnl_parts",
    "pnl_parts_1e8",
    "markouts_bp",
    "epnl_positive_share",
    "gamma_violations",
    "nonfinite",
    "health",
    "events_per_s",
    "fill_rule",
    "account",
}
ACCOUNT = market.AccountInputs(maker_fee_bp=small_tape.FEE_BP)


@pytest.fixture(scope="module")
def out():
    scored = summary.score(*small_run.run(), ACCOUNT)
    return summary.summary(scored, small_run.params()[1], ACCOUNT, events_per_s=1.5)


def test_the_object_has_its_keys_and_survives_json(out):
    assert set(out) == KEYS
    assert json.loads(json.dumps(out, allow_nan=False)) == out


def test_the_run_trades_and_the_parts_sum_to_the_pnl_in_integers(out):
    assert out["fills"] > 5
    assert out["decisions"] == 100
    assert out["events"] == 400
    assert out["pnl_usd"] == sum(out["pnl_parts_1e8"].values()) / 1e8
    assert {k: x / 1e8 for k, x in out["pnl_parts_1e8"].items()} == out["pnl_parts"]
    assert 0 < out["two_sided_fraction"] <= 1
    assert set(out["markouts_bp"]) == {"1", "5", "10", "30", "60"}
    assert set(out["markouts_bp"]["1"]) == {"value", "n", "low", "high"}


def test_fees_and_position_agree_with_the_fills_of_the_record(out):
    _, record = small_run.run()
    lots = np.asarray(record.lots, np.int64).sum(axis=(0, 1))
    ticks = np.asarray(record.lots_ticks, np.int64).sum(axis=(0, 1))
    value = small_tape.ANCHOR * lots + small_tape.TICK * ticks
    fees = -small_tape.FEE_BP / 1e4 * value.sum() / 1e6
    assert out["pnl_parts"]["fees"] == pytest.approx(fees, abs=1e-6)
    position = abs(int(lots[0] - lots[1])) * small_tape.ANCHOR / 1e6
    assert out["max_abs_position_usd"] > 0.99 * position > 0


def test_the_rule_and_the_account_are_written_as_they_were_given(out):
    assert out["fill_rule"] == {
        "order_latency_ms": 350.0,
        "cancel_latency_ms": 350.0,
        "queue_cancel_ahead": 0.5,
        "fill_on": "prints",
    }
    assert out["account"] == dataclasses.asdict(ACCOUNT)
    assert out["events_per_s"] == 1.5
    rule = dataclasses.replace(small_run.params()[1], queue_cancel_ahead=np.float32(0.3))
    assert summary.fill_rule(rule, True)["queue_cancel_ahead"] == 0.3
    assert summary.fill_rule(rule, True)["fill_on"] == "prints_or_touch"


def test_a_run_that_stopped_early_is_scored_as_far_as_it_went():
    tape, record = small_run.run()
    scored = summary.score(tape, jax.tree.map(lambda x: x[:40], record), ACCOUNT)
    assert (scored.rows, len(scored.index)) == (160, 40)
    last = tape.layout.unpack(tape.rows[:160]).book.ticks[-1, :, 0]
    assert scored.ledger.mid2 == 2 * small_tape.ANCHOR + small_tape.TICK * int(last.sum())


def test_the_scored_tape_need_not_hold_the_same_fee_as_the_account():
    scored = summary.score(*small_run.run(), market.AccountInputs(maker_fee_bp=1.5))
    assert scored.ledger.pnl_parts_1e8["fees"] < 0


def test_decisions_that_a_tape_does_not_have_are_refused():
    tape, record = small_run.run()
    short = dataclasses.replace(tape, rows=tape.rows[:40])
    with pytest.raises(ValueError, match="100 decisions on a tape of 10 frames"):
        summary.score(short, record, ACCOUNT)
