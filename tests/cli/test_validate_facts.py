"""`diffmm validate facts` from the command line."""

import argparse
import json
import pathlib

import pytest

from diffmm.cli import validate


ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def run(capsys, *argv):
    parser = argparse.ArgumentParser()
    validate.add_arguments(parser)
    code = validate.main(parser.parse_args(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.slow
def test_two_worlds_are_set_side_by_side(capsys):
    code, out, err = run(capsys, "facts", "thin", "--beside", "thick", "--for", "240", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["facts"]["spread_bp"] > told["beside_facts"]["spread_bp"]
    assert told["facts"].keys() == told["beside_facts"].keys()
    assert "touch_markout_bp 5" in err


def test_a_name_that_is_no_file_and_no_world_says_which_worlds_there_are(capsys):
    code, out, err = run(capsys, "facts", "nowhere")
    assert code == 2
    assert out == ""
    assert "thick" in err


def test_a_run_too_short_for_its_horizons_is_refused(capsys):
    code, _, err = run(capsys, "facts", "thick", "--for", "30")
    assert code == 2
    assert "give a longer tape or --for" in err
