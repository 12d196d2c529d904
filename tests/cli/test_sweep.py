"""`diffmm sweep`: in processes of its own, killed and gone on with, in shards, elsewhere."""

import argparse
import json
import pathlib
import sys
import types

import pytest

from diffmm.cli import launchers, sweep as command, sweep_worker
from diffmm.training import experiment_file, sweep, trials
from workers import echo, JOBS


ROOT = pathlib.Path(__file__).parents[2]
TINY = """
[experiment]
name = "tiny"
[world]
name = "busy"
[engine]
checkpoint = "declared"
[sweep]
seeds = [0, 1]
duration_s = 20.0
[sweep.axes]
"pricing.offset_bp" = [0.0, -1.0]
"""


def run(capsys, *argv):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    code = command.main(parser.parse_args(["-c", "tiny.toml", "--out", "out", *argv]))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(ROOT / ".cache"))
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


@pytest.mark.slow
def test_a_shard_leaves_the_rest_and_resume_plays_only_what_has_no_done(here, capsys):
    code, out, err = run(capsys, "--jobs", "1", "--shard", "0/2", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert out.count("\n") == 1
    assert (told["trials"], told["done"], told["played"], told["failed"]) == (4, 2, 2, {})
    folder = pathlib.Path(told["sweep"])
    first = {k: (folder / f"trials/{k:04d}/result.json").read_text() for k in (0, 2)}
    assert all(json.loads(x)["fills"] > 0 for x in first.values())

    code, _, err = run(capsys, "--jobs", "1", "--shard", "0/2")
    assert code == 2
    assert "has 2 of these trials; --resume plays the rest" in err

    # As if it had been killed between a result and its DONE.
    (folder / "trials/0002/DONE").unlink()
    untouched = (folder / "trials/0000/result.json").stat().st_mtime_ns
    code, out, _ = run(capsys, "--jobs", "1", "--resume", "--json")
    assert (code, json.loads(out)["played"], json.loads(out)["done"]) == (0, 3, 4)
    assert (folder / "trials/0000/result.json").stat().st_mtime_ns == untouched
    again = (folder / "trials/0002/result.json").read_text()
    assert again == first[2]

    lines = [json.loads(x) for x in (folder / "results.jsonl").read_text().splitlines()]
    assert [(x["trial"], x["seed"]) for x in lines] == [(0, 0), (1, 1), (2, 0), (3, 1)]
    assert all(sum(x["pnl_parts_1e8"].values()) == x["pnl_1e8"] for x in lines)
    page = (folder / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "offset_bp" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_dry_run_prints_the_trials_and_counts_the_compiles_and_writes_nothing(here, capsys):
    code, out, err = run(capsys, "--dry-run", "--json", "--set", "sweep.rows=1")
    assert code == 0, err
    told = json.loads(out)
    assert [(x["trial"], x["seed"]) for x in told["table"]] == [(0, 0), (1, 1), (2, 0), (3, 1)]
    assert (told["trials"], told["batches"], told["programs"], told["compiles"]) == (4, 4, 1, 1)
    code, out, err = run(capsys, "--dry-run")
    assert out.count("\n") == 5
    assert "2 batches of up to 2 rows, 1 compiles" in err
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--set", 'sweep.axes={"pricing.offst" = [1]}'), "is no parameter and no choice"),
        (("--set", 'world.name="atlantis"'), "no world 'atlantis'"),
        (("--set", 'engine.checkpoint="nowhere"'), "no readable manifest"),
        (("--shard", "2/2"), "expected I/N"),
        (("--launcher", "ray"), "pip install 'diffmm[ray]'"),
        (("--launcher", "slurm"), "pip install 'diffmm[slurm]'"),
    ],
)
def test_what_cannot_be_swept_exits_with_2_before_anything_runs(
    here, capsys, monkeypatch, argv, said
):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert said in err
    assert not (here / "out").exists()


def test_local_jobs_run_one_of_each_program_first():
    order = [x["k"] for x in launchers.run("local", echo, JOBS, 1, pathlib.Path("logs"))]
    assert set(order[:2]) == {0, 3}
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_ray_is_asked_for_as_many_at_a_time_as_told(monkeypatch):
    flying = []

    def remote(work):
        def ask(job):
            flying.append(job)
            assert len(flying) <= 2
            return lambda: work(job)

        return types.SimpleNamespace(remote=ask)

    fake = types.SimpleNamespace(
        init=lambda **_: None,
        remote=lambda **_: remote,
        wait=lambda some, num_returns: (some[:1], some[1:]),
        get=lambda some: [(flying.pop(), x())[1] for x in some],
        cancel=lambda _: None,
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    answers = list(launchers.run("ray", echo, JOBS, 2, pathlib.Path("logs")))
    assert [x["k"] for x in answers] == [0, 1, 2, 3, 4]


def test_slurm_gets_one_array_with_its_width(monkeypatch, tmp_path):
    asked = {}

    class Executor:
        cluster = "slurm"

        def __init__(self, folder):
            asked["folder"] = folder

        def update_parameters(self, **given):
            asked.update(given)

        def map_array(self, work, jobs):
            return [types.SimpleNamespace(result=lambda x=job: work(x)) for job in jobs]

    fake = types.SimpleNamespace(
        AutoExecutor=Executor, helpers=types.SimpleNamespace(as_completed=iter)
    )
    monkeypatch.setitem(sys.modules, "submitit", fake)
    answers = list(launchers.run("slurm", echo, JOBS, 3, tmp_path))
    assert [x["k"] for x in answers] == [0, 1, 2, 3, 4]
    assert asked["slurm_array_parallelism"] == 3
    assert asked["folder"] == str(tmp_path)


def die(job):
    import os

    os._exit(9)


def test_a_worker_that_dies_is_said_with_what_to_do():
    with pytest.raises(launchers.WorkerError, match="--resume plays what is left"):
        list(launchers.run("local", die, JOBS[:1], 1, pathlib.Path("logs")))


def test_a_batch_that_cannot_be_played_is_kept_with_its_reason(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no such thing")

    for name in ("set_compiler_flags", "configure_jax"):
        monkeypatch.setattr(sweep_worker.flags, name, lambda: None)
    monkeypatch.setattr(sweep_worker, "play", broken)
    (tmp_path / "tiny.toml").write_text(TINY)
    some = sweep.trials(experiment_file.load(tmp_path / "tiny.toml"))[:2]
    monkeypatch.chdir(tmp_path)
    job = {"cwd": str(tmp_path), "folder": str(tmp_path), "trials": [x.plain() for x in some]}
    told = sweep_worker.work(job | {"width": 2, "frames": 1024, "duration_s": 20.0})
    assert (told["done"], told["failed"]) == ([], [0, 1])
    assert trials.SweepFolder(tmp_path).failures() == dict.fromkeys(
        (0, 1), "ValueError: no such thing"
    )
