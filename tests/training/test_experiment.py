"""Experiments as files: one grammar, one place where they are checked."""

import pytest

from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.training import apply
from diffmm.training.experiment_file import ExperimentError, load


BASE = """
[experiment]
name = "base"
[world]
name = "busy"
[risk]
holding_s = 20.0
kelly_fraction = 0.5
[train]
parameters = ["risk.holding_s", "pricing.taking"]
steps = 7
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "base.toml").write_text(BASE)
    return tmp_path


def write(folder, text, name="own.toml"):
    (folder / name).write_text(text)
    return folder / name


def test_a_file_lies_over_the_one_it_extends_and_a_setting_over_both(folder):
    own = write(folder, 'extends = "base.toml"\n[risk]\nholding_s = 30\n[train]\nsteps = 8\n')
    found = load(own, ["train.paths=64", "pricing.sniping=off"])
    assert (found.train.steps, found.train.paths, found.world.name) == (8, 64, "busy")
    assert found.risk == {"holding_s": 30, "kelly_fraction": 0.5}
    params = apply(defaults(graph.Params), found.settings())
    assert (float(params.risk.holding_s), float(params.pricing.sniping)) == (30.0, 0.0)


def test_arrays_are_replaced_and_not_merged(folder):
    own = write(folder, 'extends = "base.toml"\n[train]\nparameters = ["pricing.impact"]\n')
    assert load(own).train.parameters == ("pricing.impact",)


def test_the_digest_is_of_what_is_meant_and_not_of_how_it_is_written(folder):
    own = write(folder, 'extends = "base.toml"\n[train]\nsteps = 7\n')
    assert load(own).digest() == load(folder / "base.toml").digest()
    assert load(own, ["train.steps=8"]).digest() != load(own).digest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "own.toml"', r"extends itself"),
        ('extends = "/base.toml"', r"expected one relative path"),
        ('extends = "no.toml"', r"No such file.*expected an experiment"),
        ("[experiment\n", r"not TOML"),
        ('extends = "base.toml"\n[train]\nstep = 3', r"unknown field `step`.*\$\.train"),
        ('extends = "base.toml"\n[train]\nsteps = 0', r"train\.steps = 0, expected 1 to"),
        ('extends = "base.toml"\n[train]\npaths = 33', r"train\.paths = 33, expected a multiple"),
        ('extends = "base.toml"\n[train]\nsteps = "x"', r"Expected `int`.*\$\.train\.steps"),
        ('extends = "base.toml"\n[train]\nparameters = []', r"train\.parameters is empty"),
        ('extends = "base.toml"\n[experiment]\nname = "a/b"', r"fit for a folder"),
        ('[experiment]\nname = "a"', r"missing required field `world`"),
    ],
)
def test_what_cannot_be_followed_is_said(folder, text, message):
    with pytest.raises(ExperimentError, match=message):
        load(write(folder, text))


@pytest.mark.parametrize("setting", ["train.steps", "=3", "train.steps.more=3"])
def test_a_setting_that_is_none_is_refused(folder, setting):
    with pytest.raises(ExperimentError):
        load(folder / "base.toml", [setting])
