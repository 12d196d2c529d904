"""`diffmm fit WORLD`: a generated market's own parameters, and what cannot be fitted."""

import json
import pathlib

import jax
import pytest

from diffmm import cli
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.training import fill_fit, restore, target


ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["thin", "tape.jsonl.gz"], "recordings beside worlds"),
        (["tape.jsonl.gz"], "--coin is missing"),
        (["atlantis"], "no world 'atlantis'"),
        (["thin", "--rounds", "0"], "--rounds 0, expected at least 1"),
        (["thin", "--set", "belief.private.follow=1"], "no parameter 'belief.private.follow'"),
        (["thin", "--for", "60"], "expected at least 330"),
        (["thin", "--trend", "--for", "400"], "found no drift in these worlds"),
        (["tape.jsonl.gz", "--coin", "BTC", "--trend"], "which do not tell their drift"),
    ],
)
def test_what_cannot_be_fitted_is_said_and_nothing_is_written(capsys, tmp_path, argv, said):
    assert cli.main(["fit", *argv, "--steps", "0", "-o", str(tmp_path / "it")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "it").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_world_gets_its_own_fill_model_and_what_a_fill_says_of_v(capsys, tmp_path):
    argv = [
        "thin",
        "--for",
        "400",
        "--seed",
        "7",
        "--private",
        "--steps",
        "0",
        "--fills",
        "--json",
        "--rounds",
        "2",
    ]
    sets = ["--set", "belief.private.follow=1", "--set", "pricing.taking=0"]
    with_path = [*argv, *sets, "-o", str(tmp_path / "it")]
    # The optimiser counts its steps in integers and raises floats to them.
    with jax.numpy_dtype_promotion("standard"):
        assert cli.main(["fit", *with_path]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tapes"] == {"thin": {"seed": 7, "seeds": 1, "for_s": 400.0}}
    fills = told["found"]["fills"]
    assert fills["end"]["fitted"] > fills["start"]["fitted"]
    assert told["rounds"] == 2
    assert {*fill_fit.NAMES, *fill_fit.EDGES} <= set(fills)
    params, _ = restore(tmp_path / "it", target(tmp_path / "it"))
    assert float(params.belief.private.follow) == 1.0
    assert float(params.pricing.taking) == 0.0
    declared = defaults(graph.Params)
    assert float(params.belief.signal_noise) != float(declared.belief.signal_noise)
