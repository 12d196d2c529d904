"""`diffmm validate pricing` from the command line."""

import argparse
import json
import pathlib

import pytest

from diffmm.cli import validate


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
def test_a_world_is_scored_by_its_truth_under_every_rule(capsys, tmp_path):
    page = tmp_path / "page.html"
    argv = ["pricing", "thin", "--for", "240", "--from", "0.4", "--seeds", "2", "--fee-bp", "1.5"]
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


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nowhere.gz", "--coin", "BTC"], "nowhere.gz"),
        (["no-such-world"], "no world"),
        ([], "give a recording"),
        (["thin", "--from", "0.9", "--to", "0.5"], "from < to"),
        (["thin", "--life-s", "0.2"], "cancel_latency_s"),
        (["thin", "--seeds", "0"], "at least 1"),
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
