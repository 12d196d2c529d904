"""`diffmm validate flow-type` from the command line."""

import argparse
import json
import pathlib

import numpy as np
import pytest

from diffmm.belief.flow_type import FEATURES, TYPES
from diffmm.cli import checkpoints, validate


ROOT = pathlib.Path(__file__).parents[2]


def run(capsys, *argv):
    parser = argparse.ArgumentParser()
    validate.add_arguments(parser)
    code = validate.main(parser.parse_args(("flow-type", *argv)))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "takers who are known"),
        (("pyproject.txt.gz",), "takers who are known"),
        (("thin",), "at least 2"),
        (("thin", "--seeds", "2", "--out", "."), "exists already"),
    ],
)
def test_what_cannot_be_fitted_and_scored_is_refused(capsys, argv, words):
    code, _, said = run(capsys, *argv)
    assert code == validate.USAGE
    assert words in said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_world_is_fitted_scored_on_its_other_seeds_and_the_checkpoint_has_the_types(
    capsys, tmp_path
):
    out = tmp_path / "with"
    argv = ["informed", "--for", "300", "--seeds", "2", "--out", str(out), "--json"]
    code, told, said = run(capsys, *argv)
    assert code == 0, said
    told = json.loads(told)
    assert told["seeds"] == ["SIM seed 1"]
    assert np.sum(told["confusion"]) == sum(told["fills"].values()) > 20
    assert np.sum(told["confusion"], axis=1).tolist() == list(told["fills"].values())
    assert set(told["v_gain"]) == {
        "one_bias over none",
        "types over none",
        "types over one_bias",
    }
    params, _ = checkpoints.load(str(out), ["belief.flow_type.memory_s=7"])
    assert params.belief.flow_type.typical.shape == (len(TYPES), len(FEATURES))
    assert float(params.belief.flow_type.memory_s) == 7
    np.testing.assert_allclose(
        params.belief.flow_type.informed_bias, told["parameters"]["informed_bias"], rtol=1e-6
    )
