"""An operator at another terminal: sees, pauses, kills and clears without the engine."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import msgspec
import pytest

from diffmm import cli
from diffmm.live import kill_latch, lock, state_file
from diffmm.live.control import Mailbox
from diffmm.live.state_file import Phase, RunState


STATE = RunState(
    mode="paper",
    venue="loopback",
    coin="SIM",
    pid=7,
    started_ms=0,
    updated_ms=0,
    interval_ms=1000,
    phase=Phase.QUOTING,
    mid="100.5",
    bid="100.4 x 1",
    pnl_1e8=-150_000_000,
    pnl_parts_1e8={"spread": 50_000_000, "fees": -200_000_000},
    gate_denials={"size": 2},
    recent=["joined", "paused by hand"],
)


def now_ms():
    return time.time_ns() // 1_000_000


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here):
    folder = pathlib.Path("runs/live/paper-sim")
    folder.mkdir(parents=True)
    state_file.write(folder, msgspec.structs.replace(STATE, updated_ms=now_ms()))
    return folder


@pytest.fixture
def alive(run):
    """A run that does what it is told."""
    seen, is_over = [], threading.Event()
    mailbox = Mailbox(run)

    def serve():
        while not is_over.wait(0.005):
            for request in mailbox.take():
                seen.append((request.command.value, request.reason))
                mailbox.answer(request, is_ok=True, words=f"{request.command.value}: done")

    thread = threading.Thread(target=serve)
    with lock.hold(run):
        thread.start()
        yield seen
        is_over.set()
        thread.join()


def test_status_of_nothing_says_how_to_start(here, capsys):
    assert cli.main(["status"]) == 0
    assert "run_live.py" in capsys.readouterr().out


def test_status_shows_a_live_run(alive, capsys):
    assert cli.main(["status"]) == 0
    told = capsys.readouterr().out
    for words in ("PAPER SIM", "quoting", "mid 100.5", "pnl -1.50", "denied 2", "paused by hand"):
        assert words in told


def test_status_in_json_is_one_line_with_the_whole_state(alive, capsys):
    assert cli.main(["status", "paper-sim", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    told = json.loads(out)
    assert (told["pulse"], told["latched"]) == ("alive", None)
    assert told["state"]["pnl_1e8"] == -150_000_000


def test_status_of_a_dead_run_says_so_and_fails(run, capsys):
    assert cli.main(["status"]) == 3
    assert "DEAD" in capsys.readouterr().out


def test_status_of_a_silent_run_says_so_and_fails(alive, run, capsys):
    state_file.write(run, msgspec.structs.replace(STATE, updated_ms=now_ms() - 60_000))
    assert cli.main(["status"]) == 3
    assert "SILENT" in capsys.readouterr().out


def test_status_of_a_run_that_ended_is_no_failure(run, capsys):
    state_file.write(run, msgspec.structs.replace(STATE, updated_ms=now_ms(), exit_code=0))
    assert cli.main(["status"]) == 0
    assert "exit code 0" in capsys.readouterr().out


def test_a_state_that_cannot_be_read_hides_no_other_run(run, capsys):
    other = run.parent / "broken"
    other.mkdir()
    (other / state_file.NAME).write_text("{")
    assert cli.main(["status", "--json"]) == 3
    told = {one["run"]: one for one in json.loads(capsys.readouterr().out)["runs"]}
    assert "not a run's state" in told["broken"]["error"]
    assert told["paper-sim"]["state"]["coin"] == "SIM"


@pytest.mark.parametrize("word", ["pause", "resume", "reduce-only", "stop"])
def test_ctl_carries_the_word_to_the_run_and_its_answer_back(alive, capsys, word):
    assert cli.main(["ctl", "paper-sim", word, "--reason", "news"]) == 0
    assert alive == [(word, "news")]
    assert f"{word}: done" in capsys.readouterr().out


def test_ctl_to_a_dead_run_or_to_none_fails(run, capsys):
    assert cli.main(["ctl", "paper-sim", "pause"]) == 3
    assert cli.main(["ctl", "nobody", "pause"]) == 2
    assert "paper-sim" in capsys.readouterr().err


def test_kill_latches_and_tells_the_run(alive, run, capsys):
    assert cli.main(["kill", "--reason", "enough"]) == 0
    assert alive == [("kill", "enough")]
    assert kill_latch.read(run).reason == "enough"
    assert cli.main(["status"]) == 4
    assert "KILL LATCH: enough" in capsys.readouterr().out


def test_kill_of_a_dead_run_latches_it_for_the_next(run, capsys):
    assert cli.main(["kill", "paper-sim"]) == 0
    assert kill_latch.is_latched(run)


def test_kill_all_latches_every_run(run):
    other = run.parent / "second"
    other.mkdir()
    assert cli.main(["kill", "--all"]) == 0
    assert kill_latch.is_latched(run)
    assert kill_latch.is_latched(other)


def test_with_several_runs_kill_wants_a_name(run, capsys):
    (run.parent / "second").mkdir()
    assert cli.main(["kill"]) == 2
    assert "paper-sim, second" in capsys.readouterr().err


def test_a_latch_that_cannot_be_written_still_tells_the_run(alive, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise kill_latch.LatchError("disk full; the latch is NOT set")

    monkeypatch.setattr(kill_latch, "latch", full)
    assert cli.main(["kill", "paper-sim"]) == 3
    assert alive == [("kill", "diffmm kill")]


def test_unkill_clears_with_a_reason_once_the_run_is_gone(run, capsys):
    cli.main(["kill", "paper-sim"])
    with pytest.raises(SystemExit) as left:
        cli.main(["unkill", "paper-sim"])
    assert left.value.code == 2
    with lock.hold(run):
        assert cli.main(["unkill", "paper-sim", "--reason", "too early"]) == 3
    assert kill_latch.is_latched(run)
    assert cli.main(["unkill", "paper-sim", "--reason", "understood"]) == 0
    assert not kill_latch.is_latched(run)
    assert cli.main(["unkill", "paper-sim", "--reason", "again"]) == 2


def test_the_doctor_finds_this_machine_fit_and_a_key_others_can_read_not(here, monkeypatch, capsys):
    # The command would set flags for the whole process: here only its checks are run.
    from diffmm.cli import doctor

    monkeypatch.delenv(doctor.KEY_FILE, raising=False)
    checks = {one().name: one() for one in doctor.CHECKS if one.__name__ != "_devices"}
    assert all(check.is_ok for check in checks.values()), checks
    key = here / "key"
    key.write_text("secret")
    key.chmod(0o644)
    monkeypatch.setenv(doctor.KEY_FILE, str(key))
    found = doctor._key()
    assert not found.is_ok
    assert "644" in found.found
    assert "secret" not in found.found


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["ctl", "paper-sim", "pause"],
        ["kill", "paper-sim"],
        ["unkill", "paper-sim", "--reason", "x"],
    ],
)
def test_an_operators_command_starts_without_the_engine(run, words):
    code = (
        "import sys\nfrom diffmm import cli\ncli.main(sys.argv[1:])\nsys.exit('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=os.environ, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_page_prints_its_address_serves_and_ends_with_a_signal(run):
    words = [sys.executable, "-m", "diffmm.cli", "page", "--port", "0", "--read-only"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    with urllib.request.urlopen(url + "state", timeout=5) as answer:
        assert json.load(answer)["state"]["coin"] == "SIM"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")
