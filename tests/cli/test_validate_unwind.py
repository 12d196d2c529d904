"""`diffmm validate unwind` from the command line."""

import argparse
import json
import pathlib

import pytest

from diffmm.cli import checkpoints, validate


ROOT = pathlib.Path(__file__).parents[2]


def run(capsys, *argv):
    parser = argparse.ArgumentParser()
    validate.add_arguments(parser)
    code = validate.main(parser.parse_args(("unwind", *argv)))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_a_start_that_leaves_nothing_to_estimate_on_is_refused(capsys):
    code, _, said = run(capsys, "thin", "--from", "0")
    assert code == validate.USAGE
    assert "expected 0 < from" in said


def test_a_folder_that_exists_is_not_written_over(capsys, tmp_path):
    code, _, said = run(capsys, "thin", "--out", str(tmp_path))
    assert code == validate.USAGE
    assert "exists already" in said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_world_is_run_twice_and_what_it_was_scored_with_can_trade(capsys, tmp_path):
    out = tmp_path / "with"
    argv = ["thin", "--for", "240", "--from", "0.5", "--seeds", "2", "--out", str(out), "--json"]
    code, told, said = run(capsys, *argv)
    assert code == 0, said
    told = json.loads(told)
    assert told["markets"] == 2
    assert set(told["coins"]) == {"SIM seed 0", "SIM seed 1"}
    for one in told["coins"].values():
        assert {"pnl_usd", "inventory_half_life_s"} <= set(one["with"]) & set(one["without"])
    assert told["pnl_usd"]["difference"] == pytest.approx(
        sum(x["with"]["pnl_usd"] - x["without"]["pnl_usd"] for x in told["coins"].values())
    )
    params, _ = checkpoints.load(str(out), ["risk.unwind.payment_bp=2"])
    assert params.risk.unwind.marginal_bp.shape == (10, 3, 3, 3, 5)
    assert float(params.risk.unwind.payment_bp) == 2
