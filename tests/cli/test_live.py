"""The command: what it prints, how it exits, what a signal does."""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from diffmm.cli import live as command
from diffmm.cli.durations import seconds, speed
from diffmm.cli.stopping import Stopper
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.training import CheckpointError, save


ROOT = pathlib.Path(__file__).parents[2]


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def launch(here, *words):
    environment = {**os.environ, "XDG_CACHE_HOME": str(ROOT / ".cache")}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run_live.py"), *words],
        cwd=here,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_durations_and_speeds_are_read_with_their_units():
    assert [seconds(x) for x in ("60s", "1.5m", "2h", "250ms", "7")] == [60, 90, 7200, 0.25, 7]
    assert (speed("inf"), speed("4x"), speed("0.5")) == (float("inf"), 4.0, 0.5)
    for wrong in ("", "-1s", "0", "1w", "nan"):
        with pytest.raises(argparse.ArgumentTypeError):
            seconds(wrong)
    for wrong in ("0", "-1", "nan", "fast"):
        with pytest.raises(argparse.ArgumentTypeError):
            speed(wrong)


def test_the_first_signal_stops_and_the_second_leaves_at_once():
    asked = []
    with Stopper() as stopper:
        stopper.watch(lambda: asked.append(1))
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked == [1]
        with pytest.raises(SystemExit) as left:
            os.kill(os.getpid(), signal.SIGINT)
    assert left.value.code == 130


def test_a_signal_before_anything_began_is_a_clean_end():
    with Stopper(), pytest.raises(SystemExit) as left:
        os.kill(os.getpid(), signal.SIGINT)
    assert left.value.code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--tape", "missing.jsonl"), 2, "missing.jsonl"),
        (("--tape", "a", "--venue", "ws://127.0.0.1:9"), 2, "exclude each other"),
        (("--venue", "http://x", "--coin", "X"), 2, "expected ws://"),
        (("--venue", "ws://127.0.0.1:9"), 2, "--coin"),
        (("--world", "nowhere"), 2, "nowhere"),
        (("--venue", "ws://127.0.0.1:9", "--coin", "X", "--patience", "0.3s"), 5, "no book of X"),
    ],
)
def test_what_cannot_be_done_exits_with_its_code_and_one_sentence(here, capsys, words, code, said):
    assert command.main(arguments("--mode", "shadow", *words)) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert "SHADOW" in told.err
    assert said in told.err
    assert "Traceback" not in told.err


@pytest.mark.slow
def test_a_run_on_a_world_prints_one_object_writes_its_page_and_repeats_itself(here):
    outs = []
    for _ in range(2):
        words = ("--for", "30s", "--seed", "3", "--speed", "inf", "--json")
        process = launch(here, "--mode", "shadow", *words)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        outs.append(json.loads(out))
    first, again = outs
    assert out.count("\n") == 1
    assert first["mode"] == "shadow"
    assert first["quotes_digest"] == again["quotes_digest"]
    assert sum(first["pnl_parts_1e8"].values()) == round(first["pnl_usd"] * 1e8)
    assert {"trivial", "observe", "decide"} == set(first["latency_us"])
    assert first["gamma_violations"] == 0
    assert (first["ended"], first["faults"]) == ("done", {})
    page = (here / "runs/live/shadow-sim/report.html").read_text()
    assert "SHADOW" in page
    assert sorted((here / "runs/live/shadow-sim/journal").iterdir())[-1].name == "000002.jsonl"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_summary_and_zero(here, number):
    words = ("--for", "600s", "--json", "--html", "", "--status", "0.2s")
    process = launch(here, "--mode", "shadow", *words)
    for line in process.stderr:
        if " mid " in line:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["ended"] == "stopped"
    assert told["decisions"] > 0
    assert "Traceback" not in err


def test_real_money_starts_from_nothing_that_was_not_promoted(here):
    save(here / "mine", defaults(graph.Params), {"source": "a test"})
    with pytest.raises(CheckpointError, match="mine is not promoted"):
        command.compiled(arguments("--mode", "live", "--checkpoint", "mine"))
