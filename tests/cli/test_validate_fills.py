"""`diffmm validate fills`: written-down orders on a tape, by our rule and by a referee's."""

import argparse
import gzip
import importlib.util
import itertools
import json
import pathlib

import numpy as np
import pytest

from diffmm.cli import validate, validate_fills
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.simulation import scripted
from diffmm.venues import tape_io


ROOT = pathlib.Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
START_MS = 1_700_000_000_000
LATENCY_MS = 20.0
HAS_REFEREE = all(importlib.util.find_spec(x) for x in ("hftbacktest", "numba"))
needs_referee = pytest.mark.skipif(not HAS_REFEREE, reason="the extra `referee` is not installed")


def line(at_ms, channel, data):
    stamp = START_MS + at_ms
    return f"{stamp * 1_000_000} " + json.dumps(
        {"channel": channel, "data": data}, separators=(",", ":")
    )


def header():
    units = {"sizeDecimals": 0, "priceDecimals": 0, "tick": 1, "base": "snapshot"}
    return line(0, "instrument", {"coin": "TOY", **units})


def book(at_ms, bids, asks):
    level = lambda x: {"px": str(x[0]), "sz": str(x[1]), "n": 1}
    levels = [[level(x) for x in side] for side in (bids, asks)]
    return line(at_ms, "l2Book", {"coin": "TOY", "time": START_MS + at_ms, "levels": levels})


IDS = itertools.count()


def trade(at_ms, sign, price, size):
    row = {"coin": "TOY", "side": "B" if sign > 0 else "A", "px": str(price), "sz": str(size)}
    return line(at_ms, "trades", [{**row, "time": START_MS + at_ms, "tid": next(IDS)}])


STILL = ([(1000, 10), (999, 30)], [(1002, 10), (1003, 30)])


def quiet(*market, until_ms=20_000):
    """A book that stands still but for what is given; the first trades frame is history."""
    told = [(0, header()), (1, trade(1, 1, 1002, 1))]
    told += [(t, book(t, *STILL)) for t in range(2, until_ms, 500)]
    told += list(market)
    return [x for _, x in sorted(told, key=lambda pair: pair[0])]


def ours(lines, rule=None):
    """Fills of orders sent at 5, 10 and 15 s, as `(order, ms after sending, price)`."""
    instrument = tape_io.universe(lines)["TOY"]
    config = EncoderConfig(base_latency_s=0.0)
    tape, *_ = tape_io.encode(tape_io.on_exchange_clock(lines), instrument, AccountInputs(), config)
    script = scripted.join_the_touch(tape, LATENCY_MS, scripted.Config())
    found = validate_fills._ours(tape, script, LATENCY_MS, rule or validate_fills.Rule())
    after = found.time_ms - script.sent_ms[found.order]
    return list(zip(found.order.tolist(), after.tolist(), found.price.tolist(), strict=True))


SENT_MS = 5_002
"""The first row at or after 5 s past the first one, when the first two orders are sent."""


def at(after_ms, make, *args):
    return SENT_MS + after_ms, make(SENT_MS + after_ms, *args)


def test_prints_fill_once_they_exceed_the_queue_that_was_there():
    assert ours(quiet(at(100, trade, -1, 1000, 4), at(200, trade, -1, 1000, 6))) == []
    prints = [(100, 4), (200, 6), (300, 1)]
    found = ours(quiet(*(at(t, trade, -1, 1000, size) for t, size in prints)))
    assert found == [(0, 300, 1000)]


def test_before_its_latency_an_order_is_not_there_and_after_its_cancel_it_is_gone():
    assert ours(quiet(at(19, trade, -1, 1000, 50))) == []
    assert ours(quiet(at(20, trade, -1, 1000, 50))) == [(0, 20, 1000)]
    assert ours(quiet(at(4019, trade, 1, 1002, 50))) == [(1, 4019, 1002)]
    assert ours(quiet(at(4020, trade, 1, 1002, 50))) == []


def test_what_a_row_adds_is_behind_an_order_that_arrived_before_it():
    more = ([(1000, 40), (999, 30)], STILL[1])
    market = [at(10, book, *STILL), at(30, book, *more), at(40, trade, -1, 1000, 11)]
    assert ours(quiet(*market)) == [(0, 40, 1000)]
    # What was there when it arrived is in front of it.
    market[1] = at(15, book, *more)
    assert ours(quiet(*market)) == []


def test_an_opposite_best_at_our_price_fills_only_under_the_referee_s_rule():
    crossed = ([(1002, 5), (1000, 10)], [(1003, 30)])
    assert ours(quiet(at(1100, book, *crossed))) == [(1, 1100, 1002)]
    other = validate_fills.Rule(fill_on_touch=False)
    assert ours(quiet(at(1100, book, *crossed)), other) == []


def test_orders_of_a_side_that_could_overlap_are_refused():
    lines = quiet()
    tape, *_ = tape_io.encode(
        lines, tape_io.universe(lines)["TOY"], AccountInputs(), EncoderConfig(base_latency_s=0.0)
    )
    with pytest.raises(ValueError, match="would not say which order"):
        scripted.join_the_touch(tape, 600.0, scripted.Config(every_s=5.0, life_s=4.0))


def run(capsys, *argv):
    parser = argparse.ArgumentParser()
    validate.add_arguments(parser)
    code = validate.main(parser.parse_args(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


def written(tmp_path, lines):
    path = tmp_path / "tape.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_without_the_package_the_error_names_the_extra(capsys, tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name=name)

    monkeypatch.setattr("diffmm.venues.referee.importlib.import_module", missing)
    code, out, err = run(capsys, "fills", written(tmp_path, quiet()), "--json")
    assert code == 2
    assert out == ""
    assert "diffmm[referee]" in err


def wandering(seed, until_ms=120_000):
    """A market at random: a touch that walks, sizes drawn anew, prints at it and through it."""
    rng = np.random.default_rng(seed)
    told, middle, now = [(0, header()), (1, trade(1, 1, 1002, 1))], 1000, 2
    while now < until_ms:
        middle += int(rng.choice([-1, 0, 0, 0, 0, 0, 0, 1]))
        sizes = rng.integers(1, 12, (2, 5))
        bids, asks = (
            [(middle + sign * (k + 1), size) for k, size in enumerate(side)]
            for sign, side in zip((-1, 1), sizes.tolist(), strict=True)
        )
        told.append((now, book(now, bids, asks)))
        if rng.random() < 0.5:
            sign = int(rng.choice([-1, 1]))
            price = middle + sign * int(rng.choice([1, 1, 1, 2]))
            told.append((now + 3, trade(now + 3, sign, price, int(rng.integers(1, 9)))))
        now += int(rng.integers(5, 120))
    return [x for _, x in told]


FAST = ("--latency-ms", "20", "--every-s", "0.5", "--stand-s", "0.4", "--json")


@needs_referee
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("latency_ms", ["20", "150"])
def test_on_a_market_at_random_both_rules_fill_the_same_orders(capsys, tmp_path, latency_ms):
    args = ("--latency-ms", latency_ms, "--every-s", "1", "--stand-s", "0.5", "--json")
    code, out, _ = run(capsys, "fills", written(tmp_path, wandering(0)), *args)
    told = json.loads(out)
    assert code == 0
    assert told["theirs"] > 100
    assert told["matched"] == told["ours"] == told["theirs"] == told["same_millisecond"]
    assert told["unmatched"] == []
    assert told["pnl_difference_bp"] == 0
    # Each way in which the rule of a replay is another shows.
    assert all(x["matched_share"] < 1 for x in told["otherwise"])


MINUTE = 16_000
"""Lines of about a minute of that recording."""


@needs_referee
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_on_a_recorded_minute_both_rules_fill_the_same_orders(capsys, tmp_path):
    tape = DATA / "binance_usdm_btcusdt_20240808.gz"
    if not tape.exists():
        pytest.skip("the recording is absent beside the checkout")
    with gzip.open(tape, "rt") as file:
        path = written(tmp_path, [x.rstrip("\n") for x in itertools.islice(file, MINUTE)])
    code, out, _ = run(capsys, "fills", path, *FAST)
    told = json.loads(out)
    assert code == 0
    assert told["theirs"] > 20
    assert told["matched_share"] >= 0.99
    assert abs(told["pnl_difference_bp"]) <= 0.02
