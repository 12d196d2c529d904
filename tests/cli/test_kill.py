"""Processes that are killed without a word: what rests, what a restart finds, what is counted."""

import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from diffmm.cli import live
from diffmm.live import journal
from diffmm.live.http import post


ROOT = pathlib.Path(__file__).parents[2]
MEMORY = pathlib.Path("/dev/shm")
"""A folder whose writes never wait for a busy disk, where there is one."""
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]),
    "XDG_CACHE_HOME": str(ROOT / ".cache"),
}
CHEAP = str(ROOT / "tests" / "cheap_runner.py")
PATIENCE_S = 60


@pytest.fixture
def here(tmp_path):
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield pathlib.Path(folder)


def ask(base, **body):
    return json.loads(post(base, "/info", body, 5.0)[1])


@contextlib.contextmanager
def venue(*words):
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmm.cli", "venue", "--json", "--no-traffic-limits", *words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def launch(here, base, *words, script=CHEAP):
    return subprocess.Popen(
        [sys.executable, script, "--venue", base, "--name", "run", "--status", "0.2s", *words],
        cwd=here,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def user(process):
    """Its account, as it says at the start."""
    for line in process.stderr:
        if " account 0x" in line:
            return line.split(" account ")[1].strip()
    raise AssertionError("the runner ended before it named its account")


def until_it_rests(base, account):
    until = time.monotonic() + PATIENCE_S
    while not (orders := ask(base, type="openOrders", user=account)):
        assert time.monotonic() < until, "no order came to rest"
        time.sleep(0.02)
    return orders


def until_none_rests(base, account, within_s):
    until = time.monotonic() + within_s
    while ask(base, type="openOrders", user=account):
        assert time.monotonic() < until, f"orders rest {within_s} s after the death"
        time.sleep(0.05)


def fills_in(here):
    """Every fill of every segment, in order."""
    segments = sorted((here / "runs/live/run/journal").glob("*.jsonl"))
    told = [x for path in segments for x in journal.read(path)]
    return [x["fill"] for x in told if x["t"] == "ownfill"]


def killed(here, base, draw, *words, script=CHEAP):
    process = launch(here, base, "--for", "600s", *words, script=script)
    account = user(process)
    until_it_rests(base, account)
    time.sleep(draw.uniform(0.0, 1.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stderr.close()
    return account


def assert_a_restart_is_whole(here, base, account, *words, script=CHEAP):
    process = launch(here, base, "--for", "3s", "--json", *words, script=script)
    out, err = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert (told["resting_at_exit"], told["is_confirmed"]) == (0, True)
    assert told["ledger_equals_venue"]
    assert told["faults"].get("foreign_order", 0) == told["faults"].get("foreign_fill", 0) == 0
    assert ask(base, type="openOrders", user=account) == []
    ours = [x["tid"] for x in fills_in(here)]
    theirs = [x["tid"] for x in ask(base, type="userFills", user=account)]
    assert len(ours) == len(set(ours))
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize("seed", range(2))
def test_after_a_kill_the_watchdog_clears_the_book_and_a_restart_counts_everything_once(here, seed):
    draw = random.Random(seed)
    with venue("--seed", str(seed)) as (_, base):
        account = killed(here, base, draw)
        until_none_rests(base, account, 3.0)
        assert_a_restart_is_whole(here, base, account)


def test_without_a_watchdog_a_restart_finds_what_rests_and_takes_it_off(here):
    with venue() as (_, base):
        account = killed(here, base, random.Random(7), "--no-watchdog")
        time.sleep(0.5)
        assert ask(base, type="openOrders", user=account)
        assert_a_restart_is_whole(here, base, account, "--no-watchdog")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_kills_in_a_row_lose_nothing_and_count_nothing_twice(here):
    draw = random.Random(50)
    with venue("--seed", "50") as (_, base):
        for _ in range(50):
            watched = draw.random() < 0.5
            words = () if watched else ("--no-watchdog",)
            account = killed(here, base, draw, *words)
            if watched:
                until_none_rests(base, account, 3.0)
        assert_a_restart_is_whole(here, base, account)


@pytest.mark.long
def test_the_product_itself_survives_a_kill(here):
    (here / "checkpoints").symlink_to(ROOT / "checkpoints")
    script = str(ROOT / "run_live.py")
    with venue() as (_, base):
        account = killed(here, base, random.Random(1), script=script)
        until_none_rests(base, account, 3.0)
        assert_a_restart_is_whole(here, base, account, script=script)


def test_a_venue_that_dies_ends_the_run_with_five_and_a_state_to_go_on_from(here):
    with venue() as (process, base):
        runner = launch(here, base, "--for", "600s", "--venue-budget", "2s", "--json")
        account = user(runner)
        until_it_rests(base, account)
        process.kill()
        out, err = runner.communicate(timeout=PATIENCE_S)
    assert runner.returncode == 5, err
    assert "Traceback" not in err
    told = json.loads(out)
    assert not told["is_confirmed"]
    segments = sorted((here / "runs/live/run/journal").glob("*.jsonl"))
    assert journal.read(segments[-1])[-1]["t"] == "end"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_everything_confirms_it_and_ends_with_zero(here, number):
    with venue() as (_, base):
        runner = launch(here, base, "--for", "600s", "--json")
        account = user(runner)
        until_it_rests(base, account)
        runner.send_signal(number)
        out, err = runner.communicate(timeout=PATIENCE_S)
        assert runner.returncode == 0, err
        assert ask(base, type="openOrders", user=account) == []
    told = json.loads(out)
    assert (told["resting_at_exit"], told["ledger_equals_venue"]) == (0, True)


def test_a_second_runner_of_the_same_name_is_refused_with_eight(here):
    with venue() as (_, base):
        first = launch(here, base, "--for", "600s")
        account = user(first)
        until_it_rests(base, account)
        second = launch(here, base, "--for", "1s")
        _, err = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 8, err
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=PATIENCE_S)
        assert first.returncode == 0


def test_a_latched_folder_starts_nothing_and_ends_with_four(here):
    folder = here / "runs/live/run"
    folder.mkdir(parents=True)
    (folder / "KILL").write_text("")
    runner = launch(here, "http://127.0.0.1:9", "--for", "1s")
    _, err = runner.communicate(timeout=PATIENCE_S)
    assert runner.returncode == 4
    assert "unkill" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--mode", "live"), 2, "--yes-live"),
        (("--mode", "live", "--yes-live", "--limits", "none.toml"), 2, "DIFFMM_HL_KEY"),
        (("--venue", "https://example.org"), 2, "on this machine only"),
        (("--venue", "ftp://127.0.0.1"), 2, "expected http://127.0.0.1"),
        (("--venue", "http://127.0.0.1:9"), 5, "Nothing else was tried"),
        (("--tape", "x.jsonl"), 2, "--coin"),
    ],
)
def test_what_may_not_be_traded_is_refused_in_one_sentence(
    here, monkeypatch, capsys, words, code, said
):
    monkeypatch.chdir(here)
    monkeypatch.delenv("DIFFMM_HL_KEY", raising=False)
    parser = argparse.ArgumentParser()
    live.add_arguments(parser)
    assert live.main(parser.parse_args([*words, "--for", "1s"])) == code
    told = capsys.readouterr()
    assert said in told.err
    assert "Traceback" not in told.err
