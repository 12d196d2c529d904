import argparse
import json
import pathlib

import jax
import pytest

from diffmm import cli
from diffmm.cli import replay
from diffmm.core import declarations, defaults
from diffmm.engine import graph
from diffmm.training import fill_fit, fit, restore, target, trend_fit, with_private, with_trend


ROOT = pathlib.Path(__file__).parents[2]
SHORT = ["--world", "thin", "--for", "20", "--json"]


def run(capsys, *argv):
    parser = argparse.ArgumentParser()
    replay.add_arguments(parser)
    code = replay.main(parser.parse_args(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.slow
def test_replay_prints_one_object_and_the_same_digest_twice(capsys, tmp_path):
    page = tmp_path / "page.html"
    code, first, _ = run(capsys, *SHORT, "--html", str(page))
    assert code == 0
    assert first.count("\n") == 1
    told = json.loads(first)
    _, second, _ = run(capsys, *SHORT)
    assert json.loads(second)["quotes_digest"] == told["quotes_digest"]
    assert sum(told["pnl_parts_1e8"].values()) == round(told["pnl_usd"] * 1e8)
    assert told["gamma_violations"] == told["nonfinite"] == 0
    assert told["decisions"] > 0
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "give a recording or --world NAME"),
        (["--world", "atlantis"], "no world 'atlantis'"),
        (["nowhere.jsonl", "--coin", "BTC"], "nowhere.jsonl"),
        (["--world", "thin", "--for", "5", "--set", "a.b=1"], "no parameter 'a.b'"),
        (["nowhere.jsonl", "--portfolio", "shared"], "--portfolio needs --coin A,B"),
        (["--world", "thin,thin", "--portfolio", "apart", "--html", "x"], "are of one market"),
        (["--world", "thin", "--for", "5", "--checkpoint", "nowhere"], "no readable manifest"),
    ],
)
def test_what_cannot_be_replayed_is_said_and_exits_with_2(capsys, argv, said):
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert said in err


TREND = tuple(f"features.trend.{name}" for name in (*trend_fit.SIGNS, "signs"))
WORLD = (*fill_fit.NAMES, *fill_fit.EDGES)


OWN = ("thin", "thick", "informed", "crisis", "funding")


@pytest.mark.parametrize(
    ("name", "of_fills", "to"),
    [
        ("default", fill_fit.NAMES, 0.6),
        ("worlds", (*WORLD, *TREND), 1.0),
        *((f"of_world/{world}", WORLD, 1.0) for world in OWN),
    ],
)
def test_the_shipped_checkpoints_hold_what_was_fitted_or_set_and_else_what_is_declared(
    name, of_fills, to
):
    folder = ROOT / "checkpoints" / name
    params, provenance = restore(folder, target(folder))
    declared = defaults(graph.Params)
    declared = with_private(declared) if provenance["private"] else declared
    declared = with_trend(declared) if provenance.get("trend") else declared
    stated = {one.split("=")[0] for one in provenance["set"]}
    terms = [f"features.{term}" for term in fit.TERMS]
    changed = set()
    for (path, _), a, b in zip(
        declarations(params), jax.tree.leaves(params), jax.tree.leaves(declared), strict=True
    ):
        if (a != b).any():
            changed.add(path)
    assert changed == {*terms, *of_fills} | stated
    assert (provenance["to"], provenance["fills"]) == (to, True)


def test_an_unknown_command_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fly"])
    assert stopped.value.code == 2
    assert "fly" in capsys.readouterr().err
