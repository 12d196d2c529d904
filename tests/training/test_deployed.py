"""What is promoted is pinned, byte for byte."""

import json

import pytest

import small_run
from diffmm.cli import checkpoints
from diffmm.training import CheckpointError, deployed, save


GATE = {"passed": True, "worlds": {"thin": {"pnl_usd_per_hour": 12.5}}}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "checkpoints" / "mine", small_run.params()[0], {"source": "a test"})
    return tmp_path / "checkpoints"


@pytest.fixture
def record(home):
    return deployed.promote(home / "mine", "calm", GATE)


def test_a_promoted_name_is_found_with_what_its_gate_measured(home, record):
    for spelled in ("calm", str(record)):
        found = checkpoints.find(spelled)
        assert found.folder == (home / "mine").resolve()
        assert found.is_promoted
        assert "checkpoints/mine, promoted as calm (gate: thin +12.50" in found.label
    assert not checkpoints.find(str(home / "mine")).is_promoted


def test_a_gate_that_ran_another_source_is_said(record):
    assert "another source" not in checkpoints.find("calm").label
    record.write_text(json.dumps(json.loads(record.read_text()) | {"source": "x"}))
    assert "its gate ran another source of the engine" in checkpoints.find("calm").label


def test_one_changed_missing_or_new_file_is_refused_and_named(home, record):
    manifest = home / "mine" / "manifest.json"
    original = manifest.read_text()
    manifest.write_text(original.replace("a test", "b test"))
    with pytest.raises(CheckpointError, match=r"manifest\.json; promote it again"):
        checkpoints.find("calm")
    manifest.unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        checkpoints.find("calm")
    manifest.write_text(original)
    checkpoints.find("calm")
    (home / "mine" / "new").write_text("x")
    with pytest.raises(CheckpointError, match="new; promote"):
        checkpoints.find("calm")


def test_a_manifest_that_was_changed_to_fit_is_still_refused_by_the_record(home, record):
    from diffmm.training import files

    data = next(x for x in (home / "mine" / "params").rglob("d/*") if x.is_file())
    data.write_bytes(data.read_bytes() + b"x")
    manifest = home / "mine" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["sha256"] = files.digests(home / "mine" / "params")
    manifest.write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="not those that passed the gate"):
        checkpoints.find("calm")


def test_the_whole_folder_may_move_with_its_record(home, record, tmp_path, monkeypatch):
    home.rename(tmp_path / "elsewhere")
    folder, _ = deployed.read(tmp_path / "elsewhere" / "deployed" / "calm.json")
    assert folder == (tmp_path / "elsewhere" / "mine").resolve()


@pytest.mark.parametrize("gate", [{"passed": False}, {}, {"passed": 1}])
def test_without_a_passed_gate_nothing_is_written(home, gate):
    with pytest.raises(CheckpointError, match="has not passed"):
        deployed.promote(home / "mine", "calm", gate)
    assert not (home / "deployed").exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(CheckpointError, match="found the name"):
        deployed.record_path(name)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"path": "x", "sha256": {}, "gate": {}}'])
def test_a_record_that_is_none_is_refused(home, text):
    (home / "deployed").mkdir()
    (home / "deployed" / "calm.json").write_text(text)
    with pytest.raises(CheckpointError, match="no record of a promotion"):
        checkpoints.find("calm")
