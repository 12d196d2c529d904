"""`diffmm train` as a person uses it: killed and gone on with, beside one that was not."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from diffmm.training import restore, target


pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = pathlib.Path(__file__).parents[2]
SMALL = ROOT / "experiments" / "small.toml"
ENVIRONMENT = {**os.environ, "XDG_CACHE_HOME": str(ROOT / ".cache")}
SILENT_S = 900.0


def command(*more):
    return [sys.executable, "-m", "diffmm.cli", *map(str, more)]


def run(*more, **kwargs):
    return subprocess.run(command(*more), capture_output=True, text=True, env=ENVIRONMENT, **kwargs)


def killed_after(lines, *more, out):
    """Start it, and kill it when its metrics have some lines."""
    process = subprocess.Popen(command(*more), stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    try:
        end = time.monotonic() + SILENT_S
        while time.monotonic() < end and process.poll() is None:
            found = [x.read_text().count("\n") for x in out.rglob("metrics.jsonl")]
            if found and found[0] >= lines:
                break
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


def test_a_run_that_was_killed_ends_with_the_losses_of_one_that_was_not(tmp_path):
    ask = lambda out: ("train", "-c", SMALL, "--out", out, "--json")
    killed_after(15, *ask(tmp_path / "a"), out=tmp_path / "a")
    resumed, whole = (run(*ask(tmp_path / x)) for x in "ab")
    assert (resumed.returncode, whole.returncode) == (0, 0), resumed.stderr + whole.stderr
    results = [json.loads(x.stdout) for x in (resumed, whole)]
    folders = [pathlib.Path(x.pop("run")) for x in results]
    assert len({x.parent for x in folders}) == 2
    assert len(list((tmp_path / "a").rglob("metrics.jsonl"))) == 1
    a, b = ((x / "metrics.jsonl").read_bytes() for x in folders)
    assert a == b
    clocked = ("wall_s", "events_per_s")
    bare = [{k: v for k, v in x.items() if k not in clocked} for x in results]
    assert bare[0] == bare[1]
    # Tuning makes it better on runs that nothing has seen.
    assert results[0]["gain_usd"]["low"] > 0
    params, provenance = restore(folders[0] / "best", target(folders[0] / "best"))
    moved = results[0]["parameters"]["pricing.offset_bp"]["end"]
    assert float(params.pricing.offset_bp) == pytest.approx(moved)
    assert provenance["experiment"]["experiment"]["name"] == "small"
    assert "<svg" in (folders[0] / "report.html").read_text()
    assert (folders[0] / "DONE").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("train", "-c", "no.toml"), "expected an experiment's .toml"),
        (("train", "-c", SMALL, "--set", "train.parameters=['risk.hold']"), "risk.hold: expected"),
        (("train", "-c", SMALL, "--set", "world.name=nowhere"), "no world 'nowhere'"),
        (("train", "-c", SMALL, "--set", "risk.holding=3"), "no parameter 'risk.holding'"),
        (("train", "-c", SMALL, "--devices", "99"), "--devices 99, expected 1 to"),
        (("train", "-c", SMALL, "--processes", "2"), "expected --coordinator HOST:PORT too"),
        (
            ("train", "-c", SMALL, "--coordinator", "h:1", "--processes", "2", "--process", "2"),
            "process 2 of 2",
        ),
        (("train", "-c", SMALL, "--resume", "nothing"), "expected auto, never, or the folder"),
        (
            ("tune", "-c", SMALL, "--method", "random", "--budget", "1"),
            "does not pay for one round",
        ),
    ],
)
def test_what_cannot_be_followed_is_said_before_anything_runs(more, message, tmp_path):
    found = run(*more, "--out", tmp_path)
    assert found.returncode == 2
    assert message in found.stderr
    assert not list(tmp_path.iterdir())
