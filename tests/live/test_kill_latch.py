"""The latch: stays set whatever happens, is cleared by a person only, and never silently."""

import json
import os
import subprocess
import sys

import pytest

from diffmm.live import durable, kill_latch
from diffmm.live.kill_latch import clear, is_latched, latch, LatchError, read


SET = {"at": "2026-01-01T00:00:00+00:00", "by": "me"}


def test_it_says_why_since_when_and_by_whom(tmp_path):
    made = latch(tmp_path / "run", "loss", **SET)
    assert is_latched(tmp_path / "run")
    assert read(tmp_path / "run") == made
    assert (made.reason, made.at, made.by) == ("loss", SET["at"], "me")


def test_it_is_there_for_the_next_process_after_a_kill_9(tmp_path):
    code = (
        "import os, pathlib, signal, sys\n"
        "from diffmm.live.kill_latch import latch\n"
        "latch(pathlib.Path(sys.argv[1]), 'gone', at='', by='')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert read(tmp_path).reason == "gone"


def test_the_first_reason_stands(tmp_path):
    latch(tmp_path, "first", **SET)
    assert latch(tmp_path, "second", **SET).reason == "first"
    assert read(tmp_path).reason == "first"


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xff\xfe", b'{"reason": 3}', b"[]"])
def test_a_latch_that_says_nothing_readable_still_latches(tmp_path, data):
    (tmp_path / kill_latch.NAME).write_bytes(data)
    assert is_latched(tmp_path)
    assert read(tmp_path).reason == kill_latch.UNREADABLE


def test_a_folder_or_a_dangling_link_of_that_name_latches(tmp_path):
    (tmp_path / "a" / kill_latch.NAME).mkdir(parents=True)
    assert is_latched(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / kill_latch.NAME).symlink_to("nowhere")
    assert is_latched(tmp_path / "b")


def test_a_folder_that_cannot_be_looked_into_counts_as_latched(tmp_path):
    (tmp_path / "file").write_text("")
    assert is_latched(tmp_path / "file" / "run")


def test_clearing_needs_a_latch_and_a_reason(tmp_path):
    with pytest.raises(LatchError, match="no kill latch"):
        clear(tmp_path, "why", **SET)
    latch(tmp_path, "loss", **SET)
    with pytest.raises(LatchError, match="reason"):
        clear(tmp_path, "  ", **SET)
    assert is_latched(tmp_path)


def test_both_the_setting_and_the_clearing_stay_in_the_log(tmp_path):
    latch(tmp_path, "loss", **SET)
    assert clear(tmp_path, "looked at it", at="later", by="you").reason == "loss"
    assert not is_latched(tmp_path)
    lines = (tmp_path / kill_latch.LOG).read_text().splitlines()
    was_set, was_cleared = map(json.loads, lines)
    assert was_set["set"] == "loss"
    assert (was_cleared["cleared"], was_cleared["by"]) == ("looked at it", "you")
    assert was_cleared["stood"]["reason"] == "loss"


def test_a_latch_that_could_not_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LatchError, match="file"):
        latch(tmp_path / "file", "loss", **SET)


def test_a_latch_that_cannot_be_removed_stands_and_says_so(tmp_path):
    (tmp_path / kill_latch.NAME).mkdir()
    with pytest.raises(LatchError, match="still stands"):
        clear(tmp_path, "why", **SET)
    assert is_latched(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "x"
    durable.replace(path, b"old")

    def fail(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="space"):
        durable.replace(path, b"new", is_durable=True)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
