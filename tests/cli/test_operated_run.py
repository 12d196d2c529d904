"""A real run, and an operator at another terminal: watch, pause, kill, clear."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from diffmm.live import state_file


ROOT = pathlib.Path(__file__).parents[2]
PATIENCE_S = 150


def start(here, *words):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run_live.py"), "--name", "demo", "--html", "", *words],
        cwd=here,
        env={**os.environ, "XDG_CACHE_HOME": str(ROOT / ".cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def operator(here, *words):
    command = [sys.executable, "-m", "diffmm.cli", *words]
    return subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)


def wait_for(here, phase):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            state = state_file.read(here / "runs/live/demo")
        except state_file.StateError:
            state = None
        if state is not None and state.phase.value in phase:
            return state
        time.sleep(0.1)
    pytest.fail(f"it never was {phase}")


@pytest.mark.slow
def test_an_operator_watches_pauses_kills_and_clears_a_run(tmp_path):
    process = start(tmp_path, "--json")
    try:
        wait_for(tmp_path, ("quoting", "pulled"))
        seen = json.loads(operator(tmp_path, "status", "demo", "--json").stdout)
        assert (seen["pulse"], seen["state"]["mode"]) == ("alive", "paper")
        assert operator(tmp_path, "ctl", "demo", "pause").returncode == 0
        assert wait_for(tmp_path, ("paused",)).exit_code is None
        assert operator(tmp_path, "kill", "demo", "--reason", "enough").returncode == 0
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 4, err
    assert json.loads(out)["resting_at_exit"] == 0
    again = start(tmp_path, "--for", "1s")
    _, said = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 4
    assert "enough" in said
    assert operator(tmp_path, "status").returncode == 4
    assert operator(tmp_path, "unkill", "demo", "--reason", "seen").returncode == 0
    assert operator(tmp_path, "status").returncode == 0
