"""`diffmm ckpt`: what is promoted, refused, exported and listed."""

import argparse
import json
import pathlib

import pytest

from diffmm.cli import ckpt
from diffmm.training import gate


ROOT = pathlib.Path(__file__).parents[2]


def run(capsys, *argv):
    parser = argparse.ArgumentParser()
    ckpt.add_arguments(parser)
    code = ckpt.main(parser.parse_args(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def short(monkeypatch):
    config = gate.Config(worlds=("thin",), seeds=2, duration_s=60.0)
    monkeypatch.setattr(gate, "Config", lambda: config)


@pytest.mark.slow
def test_promote_runs_the_gate_pins_what_passed_and_refuses_what_quotes_nothing(
    here, capsys, monkeypatch
):
    short(monkeypatch)
    run(capsys, "init", "checkpoints/a")
    run(capsys, "init", "checkpoints/far", "--set", "pricing.offset_bp=1000")
    code, out, err = run(capsys, "promote", "checkpoints/a", "--to", "calm", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["passed"], told["reasons"]) == (True, [])
    assert told["worlds"]["thin"]["difference_usd_per_hour"] == 0
    assert "noise" in err
    code, out, err = run(capsys, "promote", "checkpoints/far", "--against", "calm", "--json")
    assert (code, json.loads(out)["passed"]) == (3, False)
    assert "both sides quoted in 0.000 of the decisions" in err
    assert [x.name for x in (here / "checkpoints/deployed").iterdir()] == ["calm.json"]
    code, out, _ = run(capsys, "ls")
    assert code == 0
    assert "checkpoints/a" in out
    assert "calm" in out


def test_ls_names_what_is_unusable(here, capsys):
    run(capsys, "init", "checkpoints/a")
    manifest = here / "checkpoints/a/manifest.json"
    manifest.write_text(manifest.read_text().replace("float32", "float64", 1))
    _, out, _ = run(capsys, "ls", "--json")
    (row,) = json.loads(out)["checkpoints"]
    assert row["state"] == "unusable"
    assert "expected float32" in row["words"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("promote",), 2, "needs PATH"),
        (("export", "checkpoints/default"), 2, "needs -o DIR"),
        (("promote", "nowhere"), 3, "no readable manifest"),
        (("promote", "nowhere", "--to", "../x"), 3, "found the name"),
        (("verify", "nowhere"), 3, "no readable manifest"),
    ],
)
def test_what_cannot_be_done_exits_with_its_code_and_one_sentence(here, capsys, argv, code, said):
    found, out, err = run(capsys, *argv)
    assert (found, out) == (code, "")
    assert said in err
