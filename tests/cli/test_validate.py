"""`diffmm validate` and `diffmm fit` from the command line."""

import argparse
import json
import pathlib

import pytest

from diffmm.cli import fit, validate


ROOT = pathlib.Path(__file__).parents[2]
TAPE = ROOT.parent / "shared" / "data" / "hyperliquid_20250904_BTC_ETH_SOL_WLFI.jsonl.gz"
FLOORS = {
    "BTC": (0.25, 0.15, 0.09),
    "ETH": (0.24, 0.05, -0.01),
    "SOL": (0.23, 0.08, 0.03),
    "WLFI": (0.02, -0.02, -0.03),
}


def run(capsys, module, *argv):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    code = module.main(parser.parse_args(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not TAPE.exists(), reason="the recording is absent beside the checkout")
@pytest.mark.parametrize("coin", FLOORS)
def test_the_shipped_belief_is_above_its_floors_on_the_part_it_was_not_fitted_on(
    capsys, tmp_path, coin
):
    page = tmp_path / "page.html"
    told = ["fair-value", str(TAPE), "--coin", coin, "--json", "--html", str(page)]
    code, out, _ = run(capsys, validate, *told, *["--participants"] * (coin == "WLFI"))
    assert code == 0
    found = json.loads(out)
    gains = [found["mse_gain_vs_mid"][h]["value"] for h in ("1", "5", "10")]
    assert all(a >= b for a, b in zip(gains, FLOORS[coin], strict=True)), gains
    assert found["from"] == 0.6
    assert len(found["features"]) == 4
    assert max(found["pit_ks"].values()) < 0.15
    assert page.read_text().startswith("<!doctype html>")
    assert ("Participants" in page.read_text()) == (coin == "WLFI")
    if coin == "WLFI":
        who = found["participants"]
        assert 0.9 < sum(x["share"] for x in who) <= 1 + 1e-9
        foreseen = [x["skill_vs_constant"]["1"]["low"] > 0 for x in who]
        assert sum(foreseen) > len(who) / 2


@pytest.mark.parametrize(
    ("module", "argv", "said"),
    [
        (validate, ["fair-value", "nowhere.gz", "--coin", "BTC"], "nowhere.gz"),
        (validate, ["fair-value", "x", "--coin", "A", "--from", "0.9", "--to", "0.5"], "from < to"),
        (validate, ["fair-value", "x", "--coin", "A", "--propagation"], "give its --reference"),
        (validate, ["fair-value", "x", "--coin", "A", "--lags", "y"], "was not asked for"),
        (validate, ["liquidations"], "give its path"),
        (validate, ["liquidations", "nowhere.csv"], "nowhere.csv"),
        (validate, ["liquidations", "pyproject.toml"], "expected 'coin'"),
        (fit, ["x", "--coin", "A", "--to", "0", "-o", "new"], "a share in (0, 1]"),
        (fit, ["x", "--coin", "A", "-o", "checkpoints/default"], "exists already"),
        (fit, ["nowhere.gz", "--coin", "A", "-o", "new"], "nowhere.gz"),
    ],
)
def test_what_cannot_be_done_is_said_and_exits_with_2(capsys, module, argv, said):
    code, out, err = run(capsys, module, *argv)
    assert (code, out) == (2, "")
    assert said in err


def test_a_table_of_lags_is_read_by_its_columns_and_anything_else_is_refused(tmp_path):
    path = tmp_path / "lags.csv"
    head = f"{validate.LAG_MS},{validate.USABLE}\n"
    path.write_text(head + "500,1\n700,1\n9000,0\n600,1\n")
    found = validate.recorded_lags(path)
    assert (found["median_s"], found["hours"]) == (0.6, 3)
    for text in ("a,b\n1,2\n", head, head + "x,1\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="lags"):
            validate.recorded_lags(path)
    with pytest.raises(ValueError, match="expected a CSV"):
        validate.recorded_lags(tmp_path / "none.csv")


@pytest.mark.slow
@pytest.mark.skipif(not TAPE.exists(), reason="the recording is absent beside the checkout")
def test_how_fast_a_recorded_market_takes_in_its_reference(capsys, tmp_path):
    page = tmp_path / "page.html"
    told = ["fair-value", str(TAPE), "--coin", "ETH", "--reference", "BTC", "--propagation"]
    code, out, _ = run(capsys, validate, *told, "--json", "--html", str(page))
    assert code == 0
    found = json.loads(out)["propagation"]
    assert found["moves_fitted"] + found["moves"] > 100
    assert 0.1 < found["half_s"]["value"] < 3
    assert found["nats_vs_absorbed"]["value"] > 0
    assert "Propagation of moves of BTC" in page.read_text()


@pytest.mark.skipif(not TAPE.exists(), reason="the recordings are absent beside the checkout")
def test_recorded_liquidations_are_told_apart_and_scored(capsys):
    there = TAPE.parent
    path = there / "hyperliquid_liquidation_reversion.csv.gz"
    code, out, _ = run(capsys, validate, "liquidations", str(path), "--json")
    found = json.loads(out)["reversion"]
    assert code == 0
    assert found["n"] > 7_000
    assert all(x["low"] > 0 for x in found["gain_vs_none"].values())
    path = there / "hyperliquid_liquidation_fills_2025_2026.csv.gz"
    code, out, _ = run(capsys, validate, "liquidations", str(path), "--json")
    found = json.loads(out)["sizes"]
    assert code == 0
    assert found["nats_vs_exponential"]["value"] > 0
    assert 1 < found["tail_exponent"] < 2
