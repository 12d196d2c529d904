"""A run's state from outside: whole or refused, and alive only while its process is."""

import subprocess
import sys

import msgspec
import pytest

from diffmm.live import lock, state_file
from diffmm.live.state_file import Phase, Pulse, RunState, StateError


STATE = RunState(
    mode="paper",
    venue="loopback",
    coin="SIM",
    pid=1,
    started_ms=0,
    updated_ms=10_000,
    interval_ms=500,
    phase=Phase.QUOTING,
)


def changed(**fields):
    return msgspec.structs.replace(STATE, **fields)


def test_what_was_written_is_read(tmp_path):
    state = changed(pnl_parts_1e8={"spread": 3}, reason='a "quoted" ünïcode', recent=["x"])
    state_file.write(tmp_path, state)
    assert state_file.read(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == [state_file.NAME]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a run's state"),
        (b"{}", "version"),
        (b'{"version": 99, "unheard": 1}', "version 99"),
        (b'{"version": 1}', "not a run's state"),
        (b"\xff", "not a run's state"),
    ],
)
def test_anything_else_is_refused_with_what_was_found(tmp_path, data, said):
    (tmp_path / state_file.NAME).write_bytes(data)
    with pytest.raises(StateError, match=said):
        state_file.read(tmp_path)


def test_a_run_that_never_started_is_said_to_be_that(tmp_path):
    with pytest.raises(StateError, match="no run of this name"):
        state_file.read(tmp_path)


def test_alive_is_a_held_lock_and_a_fresh_state(tmp_path):
    with lock.hold(tmp_path):
        assert state_file.pulse(tmp_path, STATE, 10_600) is Pulse.ALIVE
        assert state_file.pulse(tmp_path, STATE, 20_000) is Pulse.SILENT
    assert state_file.pulse(tmp_path, STATE, 10_600) is Pulse.DEAD
    assert state_file.pulse(tmp_path, changed(exit_code=0), 10_600) is Pulse.ENDED


def test_one_runner_a_folder_and_the_second_is_told_who_is_first(tmp_path):
    with lock.hold(tmp_path), pytest.raises(lock.LockedError, match="held by process"):
        with lock.hold(tmp_path):
            pytest.fail("two hold one folder")
    with lock.hold(tmp_path):
        assert lock.is_held(tmp_path)
    assert not lock.is_held(tmp_path)


def test_a_killed_process_holds_no_lock(tmp_path):
    code = (
        "import os, pathlib, signal, sys\n"
        "from diffmm.live import lock\n"
        "with lock.hold(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / lock.NAME).exists()
    assert not lock.is_held(tmp_path)
    with lock.hold(tmp_path):
        assert lock.is_held(tmp_path)
