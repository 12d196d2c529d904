"""A run's course, its files, and that a run that died goes on as if it had not."""

import json
import shutil

import numpy as np
import pytest

from diffmm.training import CheckpointError, restore, train
from diffmm.training.run_folder import RunFolder

from .hills import experiment, Hill, TOP


class Died(Exception):
    pass


def folder_of(root, asked):
    return RunFolder.create(root, asked, "20260101T000000Z", {"made": "by a test"})


def trained(root, asked, hill=None, dies_after=None):
    """Result and folder; dies in the middle of a line where asked."""
    folder = RunFolder.unfinished(root, asked) or folder_of(root, asked)
    count = 0

    def tell(line):
        nonlocal count
        count += 1
        if count == dies_after:
            raise Died

    return train.run(hill or Hill(), asked, folder, tell), folder


def test_the_best_place_is_better_on_paths_that_nothing_saw(tmp_path):
    result, folder = trained(tmp_path, experiment())
    # From zero to the top the hill rises by |top|^2.
    assert abs(result["gain_usd"]["value"] - TOP @ TOP) < 0.15
    assert result["gain_usd"]["low"] > 0
    moved = result["parameters"]["risk.holding_s"]
    assert moved["end"] < moved["start"]
    kinds = [x["kind"] for x in folder.lines()]
    assert (kinds.count("step"), kinds.count("look"), kinds.count("audit")) == (40, 5, 2)
    assert json.loads((folder.path / "latest.json").read_text()) == {"step": 40}


@pytest.mark.parametrize("dies_after", [1, 3, 17, 33, 46])
def test_a_run_that_died_goes_on_to_the_same_bits(tmp_path, dies_after):
    asked = experiment(save_every=4)
    whole, first = trained(tmp_path / "a", asked)
    with pytest.raises(Died):
        trained(tmp_path / "b", asked, dies_after=dies_after)
    second_hill = Hill()
    result, second = trained(tmp_path / "b", asked, second_hill)
    assert list(first.lines()) == list(second.lines())
    assert result == whole
    assert second_hill.calls < 43 or dies_after < 6


def test_a_damaged_state_gives_way_to_the_one_before_it(tmp_path):
    asked = experiment(save_every=4)
    whole, _ = trained(tmp_path / "a", asked)
    with pytest.raises(Died):
        trained(tmp_path / "b", asked, dies_after=30)
    folder = RunFolder.unfinished(tmp_path / "b", asked)
    newest = max(folder.steps.glob("[0-9]*"), key=lambda x: int(x.name))
    files = [x for x in (newest / "params").rglob("*") if x.is_file()]
    file = max(files, key=lambda x: x.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    assert trained(tmp_path / "b", asked)[0] == whole
    for step in folder.steps.iterdir():
        shutil.rmtree(step / "params")
    with pytest.raises(CheckpointError, match="no saved state is whole"):
        trained(tmp_path / "b", asked)


def test_a_checkpoint_that_was_begun_is_made_anew(tmp_path):
    folder, hill = folder_of(tmp_path, experiment()), Hill()
    (folder.path / "best" / "params").mkdir(parents=True)
    folder.keep_best(hill.start, {"made": "whole"})
    assert restore(folder.path / "best", hill.start)[1] == {"made": "whole"}


def test_another_experiment_does_not_go_on_with_this_run(tmp_path):
    with pytest.raises(Died):
        trained(tmp_path, experiment(), dies_after=10)
    assert RunFolder.unfinished(tmp_path, experiment()) is not None
    assert RunFolder.unfinished(tmp_path, experiment(learning_rate=0.2)) is None


def test_it_stops_when_looks_get_no_better(tmp_path):
    result, _ = trained(tmp_path, experiment(steps=400, patience=3, learning_rate=0.5))
    assert result["stopped"] == "patience"
    assert result["steps"] < 400


def test_one_block_without_a_number_is_passed_over_and_three_end_the_run(tmp_path):
    result, folder = trained(tmp_path / "a", experiment(), Hill(broken=frozenset([5, 6])))
    assert result["gain_usd"]["low"] > 0
    assert [x["left_out"] for x in folder.lines() if x["kind"] == "step"][5:7] == [8, 8]
    with pytest.raises(train.TrainingError, match="step 7: 3 steps in a row"):
        trained(tmp_path / "b", experiment(), Hill(broken=frozenset([5, 6, 7])))


def test_the_hard_runs_that_judge_are_not_those_that_select(tmp_path):
    seen = {"utilities": set(), "slopes": set()}

    class Watched(Hill):
        def utilities(self, z, seeds):
            seen["utilities"] |= set(seeds)
            return super().utilities(z, seeds)

        def slopes(self, z, seed):
            seen["slopes"].add(seed)
            return super().slopes(z, seed)

    trained(tmp_path, experiment(audit_every=0), Watched())
    assert not seen["utilities"] & seen["slopes"]
    assert len(seen["utilities"]) == 2 + 4


def test_metrics_are_plain_numbers_without_a_clock(tmp_path):
    _, folder = trained(tmp_path, experiment(steps=3))
    names = {name for line in folder.lines() for name in line}
    assert not [x for x in names if "wall" in x or x.endswith("_at")]
    assert all(np.isfinite(x["gradient_norm"]) for x in folder.lines() if x["kind"] == "step")
