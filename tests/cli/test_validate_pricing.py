"""`diffmm validate pricing` and `shadow` from the command line."""

import argparse
import json
import math
import pathlib

import numpy as np
import pytest

from diffmm.cli import markets, validate
from diffmm.evaluation import forecast
from diffmm.live.journal import in_folder
from diffmm.market import AccountInputs
from diffmm.venues import world_io


ROOT = pathlib.Path(__file__).parents[2]
TAPE = ROOT.parent / "shared" / "data" / "hyperliquid_20250904_BTC_ETH_SOL_WLFI.jsonl.gz"


def run(capsys, *argv):
    parser = argparse.ArgumentParser()
    validate.add_arguments(parser)
    code = validate.main(parser.parse_args(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_world_is_scored_by_its_truth_under_every_rule(capsys, tmp_path):
    page = tmp_path / "page.html"
    argv = ["pricing", "thin", "--for", "240", "--from", "0.4", "--seeds", "2", "--fee-bp", "1.5"]
    argv += ["--edge-offsets-bp=-0.5,0.5"]
    code, out, _ = run(capsys, *argv, "--json", "--html", str(page))
    assert code == 0
    assert out.count("\n") == 1
    told = json.loads(out)
    assert told["life_s"] == 5.0
    assert told["quote_life"]["life_s"] == pytest.approx(0.6)
    assert set(told["coins"]) == {"SIM seed 0", "SIM seed 1"}
    for found in (told, told["quote_life"], *told["coins"].values()):
        assert set(found["by_rule"]) == {"prints", "prints_or_touch"}
        assert set(found["by_rule"]["prints"]) == {"0", "0.5", "1"}
        named = {"p_fill", "edge_given_fill", "expected_pnl"}
        assert named <= set(found["by_rule"]["prints"]["1"])
        assert {k: found["by_rule"]["prints"]["0.5"][k] for k in named} == {
            k: found[k] for k in named
        }
    assert told["p_fill"]["n"] == sum(x["p_fill"]["n"] for x in told["coins"].values())
    assert {"slope", "low", "high", "n", "brier_skill", "ece", "level"} <= set(told["p_fill"])
    assert told["expected_pnl"]["top_minus_bottom"]["value"] is not None
    assert set(told["verdicts"]) == {"p_fill.slope", "edge_given_fill.slope"}
    assert page.read_text().startswith("<!doctype html>")
    assert "under each rule" in page.read_text()
    assert "beside reference policies" in page.read_text()
    for found in told["placed"].values():
        assert found["references"]["decay"] > 0
        policies = found["policies"]
        assert list(policies) == [
            "ours",
            "glft",
            "avellaneda_stoikov",
            "cartea_jaimungal",
            "fixed_spread",
            "join_touch",
            "gate_and_zone",
        ]
        assert all(x["fills"] > 0 for x in policies.values())
        pair, own = policies["glft"]["ours_less_it_60s_usd_per_hour"], "markout_60s_usd_per_hour"
        gap = policies["ours"][own]["value"] - policies["glft"][own]["value"]
        assert pair["value"] == pytest.approx(gap)
        matched = policies["glft"]["at_matched_notional"]
        assert matched["edge_offset_bp"] in (-0.5, 0.0, 0.5)
        apart = lambda x, y=policies["glft"]: abs(math.log(x["filled_usd"] / y["filled_usd"]))
        assert apart(matched) <= apart(policies["ours"]) + 0.01
        assert 0 <= policies["glft"]["theta_below_gamma_share"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_shadow_replay_keeps_its_limits_and_says_what_its_fills_were_expected_to_earn(capsys):
    code, out, err = run(capsys, "shadow", "thin", "--for", "240", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["gamma_violations"] == 0
    assert told["edge_fills"] <= told["fills"]
    for name in ("expected_edge_bp", "realised_edge_bp"):
        assert told[name]["low"] < told[name]["value"] < told[name]["high"]
    assert 0 < told["two_sided_seconds"] <= told["quote_seconds"] <= told["seconds"]
    assert 0 <= told["theta_below_gamma_share"] <= 1
    assert "gamma violations 0" in err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_shadow_session_s_journal_is_a_recording_of_what_it_heard(capsys, tmp_path):
    with in_folder(tmp_path / "journal") as journal:
        journal.write({"t": "run", "mode": "shadow", "venue": "a world", "coin": "SIM"})
        for line in world_io.lines(world_io.load_world("thin"), 0, 120.0):
            stamp, raw = line.split(" ", 1)
            journal.write({"t": "line", "ns": int(stamp), "raw": raw})
    code, out, _ = run(capsys, "shadow", str(tmp_path), "--json")
    assert code == 0
    told = json.loads(out)
    assert told["coin"] == "SIM"
    assert told["quote_seconds"] > 0


def test_a_folder_without_a_journal_is_refused(capsys, tmp_path):
    code, out, err = run(capsys, "shadow", str(tmp_path))
    assert (code, out) == (2, "")
    assert "no journal of a run" in err


def test_the_truth_of_a_world_is_on_the_axis_of_its_mids():
    args = argparse.Namespace(path="none", seeds=1, seed=3, for_s=60.0)
    still = markets.find(args, AccountInputs())[0]
    known = forecast.path(still.tape)
    # Nothing moves there and nobody knows more: V is the mid, but for rounding to ticks.
    assert np.abs(still.truth_bp - known.mid_bp).max() <= known.tick_bp.max()
    args = argparse.Namespace(path="private", seeds=1, seed=3, for_s=600.0)
    secret = markets.find(args, AccountInputs())[0]
    known = forecast.path(secret.tape)
    behind = known.mid_bp[known.row_at(known.time_s + 40.0)] - known.mid_bp
    ahead = secret.truth_bp - known.mid_bp
    # What V knows now the mid knows when the secret is out.
    early = known.time_s < known.time_s[-1] - 40
    assert np.corrcoef(ahead[early], behind[early])[0, 1] > 0.3


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nowhere.gz", "--coin", "BTC"], "nowhere.gz"),
        (["no-such-world"], "no world"),
        ([], "give a recording"),
        (["thin", "--from", "0.9", "--to", "0.5"], "from < to"),
        (["thin", "--life-s", "0.2"], "cancel_latency_s"),
        (["thin", "--seeds", "0"], "at least 1"),
        (["thin", "--edge-offsets-bp", "a"], "expected numbers"),
        (["thin", "--set", "pricing.nothing=1"], "pricing.nothing"),
    ],
)
def test_what_cannot_be_done_is_said_and_exits_with_2(capsys, argv, said):
    code, out, err = run(capsys, "pricing", *argv)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.skipif(not TAPE.exists(), reason="the recording is absent beside the checkout")
def test_a_coin_that_is_not_there_is_named_with_those_that_are(capsys):
    code, _, err = run(capsys, "pricing", str(TAPE), "--coin", "BTC,DOGE")
    assert code == 2
    assert "DOGE" in err
    assert "WLFI" in err
