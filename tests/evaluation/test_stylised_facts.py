"""Figures of a market against ones that were planted in it."""

import json

import numpy as np
import pytest

from diffmm.evaluation import stylised_facts
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.venues import tape_io


START_MS = 1_700_000_000_000
CONFIG = stylised_facts.Config()
MIDDLE, HALF = 10_000, 2
"""Price units; one is 1 bp of the price."""


def line(at_ms, channel, data):
    at = (START_MS + at_ms) * 1_000_000
    return at, f"{at} " + json.dumps({"channel": channel, "data": data}, separators=(",", ":"))


def book(at_ms, middle, sizes):
    levels = [
        [{"px": str(middle + sign * HALF), "sz": str(size), "n": 1}]
        for sign, size in zip((-1, 1), sizes, strict=True)
    ]
    return line(at_ms, "l2Book", {"coin": "TOY", "time": START_MS + at_ms, "levels": levels})


def trade(at_ms, sign, price):
    row = {"coin": "TOY", "side": "B" if sign > 0 else "A", "px": str(price), "sz": "1"}
    return line(at_ms, "trades", [{**row, "time": START_MS + at_ms, "tid": at_ms}])


def tape(lines):
    units = {"sizeDecimals": 0, "priceDecimals": 0, "tick": 1, "base": "snapshot"}
    told = [line(0, "instrument", {"coin": "TOY", **units}), trade(1, 1, MIDDLE + HALF), *lines]
    told = [x for _, x in sorted(told, key=lambda pair: pair[0])]
    config = EncoderConfig(base_latency_s=0.0)
    return tape_io.encode(told, tape_io.universe(told)["TOY"], AccountInputs(), config)[0]


@pytest.fixture(scope="module")
def alternating():
    """A buyer and a seller by turns, 2 s apart; half a second later the mid is one unit on."""
    lines, up = [], 0
    for at in range(2, 150_000, 500):
        phase = (at - 2) % 4000
        if phase in (0, 2000):
            sign = 1 if phase == 0 else -1
            lines.append(trade(at + 100, sign, MIDDLE + up + sign * HALF))
        if phase in (500, 2500):
            up = int(phase == 500)
        lines.append(book(at, MIDDLE + up, (10, 30)))
    return stylised_facts.facts(tape(lines), CONFIG, 0)


def test_spread_depth_and_rate_of_trades_are_those_of_the_market(alternating):
    assert alternating["spread_bp"] == pytest.approx(2 * HALF, rel=1e-3)
    assert alternating["touch_usd"] == pytest.approx(20 * MIDDLE, rel=1e-2)
    assert alternating["trades_per_minute"] == pytest.approx(30, rel=0.02)


def test_signs_by_turns_have_a_correlation_of_minus_one_then_one(alternating):
    flow = alternating["flow_autocorrelation"]
    assert flow["1"] == pytest.approx(-1, abs=0.05)
    assert flow["2"] == pytest.approx(1, abs=0.05)


def test_impact_counts_from_the_mid_before_the_trade(alternating):
    # At each of these horizons the last trade that moved the mid was of the same side.
    for after in ("1", "5", "30"):
        assert alternating["impact_bp"][after]["value"] == pytest.approx(1, rel=1e-2)


def test_the_touch_earns_half_the_spread_less_impact(alternating):
    for after, earned in alternating["touch_markout_bp"].items():
        expected = HALF - alternating["impact_bp"][after]["value"]
        assert earned["value"] == pytest.approx(expected, abs=1e-3)
        assert earned["low"] <= earned["value"] <= earned["high"]


def test_queues_that_never_change_say_nothing(alternating):
    assert alternating["imbalance_response"]["slope_bp"] is None


def test_a_mid_that_moves_towards_the_thinner_side_shows_in_the_slope():
    rng = np.random.default_rng(0)
    lines, middle, lean = [], MIDDLE, 1
    for at in range(2, 200_000, 500):
        phase = (at - 2) % 5000
        if phase == 0:
            lean = int(rng.choice([-1, 1]))
        if phase == 2500:
            middle += lean
        lines.append(book(at, middle, (30, 10) if lean > 0 else (10, 30)))
    found = stylised_facts.facts(tape(lines), CONFIG, 0)["imbalance_response"]
    assert 0 < found["low"] < found["slope_bp"] < found["high"]
    assert found["correlation"] > 0.3
    # One unit either way for a log ratio of three, still to come at three seconds in five.
    assert found["slope_bp"] == pytest.approx(0.6 / np.log(3), rel=0.3)


def test_a_random_walk_has_a_flat_signature():
    rng = np.random.default_rng(1)
    middle = MIDDLE + np.cumsum(rng.choice([-1, 1], 4000))
    lines = [book(2 + 250 * k, int(m), (10, 10)) for k, m in enumerate(middle)]
    signature = stylised_facts.facts(tape(lines), CONFIG, 0)["volatility_bp"]
    # Four steps of one unit a second.
    assert signature["1"] == pytest.approx(2, rel=0.1)
    assert signature["5"] == pytest.approx(2, rel=0.15)
    assert signature["30"] == pytest.approx(2, rel=0.4)


def test_a_tape_shorter_than_the_longest_horizon_is_refused():
    lines = [book(at, MIDDLE, (10, 10)) for at in range(2, 60_000, 500)]
    with pytest.raises(ValueError, match="give a longer tape"):
        stylised_facts.facts(tape(lines), CONFIG, 0)
