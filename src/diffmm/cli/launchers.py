"""Where the batches of a sweep run: processes of this machine, Ray, or Slurm.

A job is a plain dict that names a folder, so it runs wherever that folder is seen.
"""

import concurrent.futures
import multiprocessing
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from .saying import say


Job = dict[str, Any]
Work = Callable[[Job], dict[str, Any]]
SLURM_MINUTES = 240


class LauncherError(RuntimeError):
    """A launcher that is not here; the message says how to get it."""


class WorkerError(RuntimeError):
    """A worker that died; what was finished stays."""


def run(name: str, work: Work, jobs: list[Job], at_once: int, logs: pathlib.Path) -> Iterator[Any]:
    """Every job's answer, as they come.

    Args:
        name: `local`, `ray` or `slurm`.
        work: what to do, importable by its name.
        jobs: what to do it with.
        at_once: most jobs at a time; Ray and Slurm queue the rest themselves.
        logs: folder for a scheduler's own files.

    Raises:
        WorkerError: for a worker that died, or was never started.
    """
    launch = {"local": _local, "ray": _ray, "slurm": _slurm}[name]
    try:
        yield from launch(work, jobs, at_once, logs)
    except Exception as error:
        raise WorkerError(
            f"a worker of --launcher {name} ended without an answer ({type(error).__name__}: "
            f"{error}); --resume plays what is left, perhaps with fewer --jobs"
        ) from error


def check(name: str) -> None:
    """Whether a launcher can be had, before anything is begun.

    Raises:
        LauncherError: for an extra that is not installed.
    """
    module = {"ray": "ray", "slurm": "submitit"}.get(name)
    if module is None:
        return
    try:
        __import__(module)
    except ImportError as error:
        raise LauncherError(
            f"--launcher {name} needs {module}, which is not installed; "
            f"pip install 'diffmm[{name}]', or use --launcher local"
        ) from error


def _local(work: Work, jobs: list[Job], at_once: int, _: pathlib.Path) -> Iterator[Any]:
    # A fresh interpreter each: a process that has compiled something must not be forked.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(at_once, mp_context=context) as pool:
        try:
            for some in _in_turns(jobs):
                asked = [pool.submit(work, job) for job in some]
                for one in concurrent.futures.as_completed(asked):
                    yield one.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _in_turns(jobs: list[Job]) -> tuple[list[Job], list[Job]]:
    """First one job of each program, which compiles it; then the rest, which find it compiled."""
    leaders: dict[str, Job] = {}
    for job in jobs:
        leaders.setdefault(job["program"], job)
    first = list(leaders.values())
    return first, [x for x in jobs if all(x is not y for y in first)]


def _ray(work: Work, jobs: list[Job], at_once: int, _: pathlib.Path) -> Iterator[Any]:
    import ray  # pyright: ignore[reportMissingImports]

    ray.init(ignore_reinit_error=True)
    remote = ray.remote(num_cpus=1)(work)
    waiting, left = [], list(jobs)
    try:
        while waiting or left:
            while left and len(waiting) < at_once:
                waiting.append(remote.remote(left.pop(0)))
            ready, waiting = ray.wait(waiting, num_returns=1)
            yield from ray.get(ready)
    finally:
        for one in waiting:
            ray.cancel(one)


def _slurm(work: Work, jobs: list[Job], at_once: int, logs: pathlib.Path) -> Iterator[Any]:
    import submitit  # pyright: ignore[reportMissingImports]

    executor = submitit.AutoExecutor(folder=str(logs))
    if executor.cluster != "slurm":
        say("slurm", "there is none on this machine; submitit runs the batches as processes here")
    executor.update_parameters(
        timeout_min=SLURM_MINUTES, cpus_per_task=1, slurm_array_parallelism=at_once
    )
    for one in submitit.helpers.as_completed(executor.map_array(work, jobs)):
        yield one.result()
