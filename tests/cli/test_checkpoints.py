"""Which shipped checkpoint a command takes: in a generated market that of the worlds."""

import pathlib

import pytest

from diffmm import cli
from diffmm.cli import checkpoints
from diffmm.training import CheckpointError


ROOT = pathlib.Path(__file__).parents[2]
WORLD = ("--for", "5")


@pytest.fixture
def asked(monkeypatch):
    """What the command would load; it goes no further."""
    named = []

    def load(checkpoint, settings):
        named.append(checkpoint)
        raise CheckpointError("looked at")

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(checkpoints, "load", load)
    return named


@pytest.mark.parametrize(
    "argv",
    [
        ("replay", "--world", "busy", *WORLD),
        ("replay", "--world", "experiments/worlds/thin.toml", *WORLD),
        ("replay", "--world", "thin,thin", "--portfolio", "apart", *WORLD),
        ("validate", "pricing", "trending", "--fee-bp", "0", *WORLD),
        ("validate", "flow-type", "thin", "--seeds", "2", *WORLD),
        ("validate", "sell-off"),
        ("validate", "gradient"),
        ("live", "--mode", "shadow", "--world", "busy", "--for", "5s"),
    ],
)
def test_a_generated_market_is_traded_by_the_checkpoint_of_the_worlds(asked, capsys, argv):
    assert cli.main([*argv]) == 2
    assert asked == ["checkpoints/worlds"]
    assert "looked at" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ("replay", "--world", "thin", *WORLD),
        ("validate", "pricing", "thin", "--fee-bp", "0", *WORLD),
        ("validate", "shadow", "thin", *WORLD),
        ("validate", "unwind", "thin", *WORLD),
        ("live", "--mode", "shadow", "--world", "thin", "--for", "5s"),
    ],
)
def test_a_world_that_a_checkpoint_was_fitted_on_is_traded_by_its_own(asked, argv):
    assert cli.main([*argv]) == 2
    assert asked == ["checkpoints/of_world/thin"]


def test_one_that_is_named_is_taken_in_any_market(asked):
    assert cli.main(["replay", "--world", "thin", "--for", "5", "--checkpoint", "mine"]) == 2
    assert asked == ["mine"]


def test_a_market_that_is_not_generated_takes_the_default():
    assert checkpoints.for_market(None, is_generated=False) is None
    assert checkpoints.find(None).folder == checkpoints.DEFAULT
