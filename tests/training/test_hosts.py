"""A run shared among processes: the numbers of one process, and files of the first alone."""

import json
import socket
import subprocess
import sys

import pytest

from diffmm.training.hosts import Hosts


RUN = """
import json, pathlib, sys
import jax, jax.numpy as jnp, numpy as np

root, port, processes, process, dies_after = sys.argv[1], *map(int, sys.argv[2:])
sys.path.insert(0, {tests!r})
from diffmm.engine import run
from diffmm.training import train
from diffmm.training.hosts import Follower, Hosts, Leader
from diffmm.training.run_folder import RunFolder
from training.hills import experiment, Hill, TOP

if processes > 1:
    Hosts(f"127.0.0.1:{{port}}", processes, process).join()
assert len(jax.devices()) == processes

class Shared(Hill):
    '''A hill whose paths are played by every process's devices.'''

    def __post_init__(self):
        super().__post_init__()
        devices = jax.devices() if processes > 1 else None
        self.hard = run.each_path(self._utility, self.block, devices)
        self.relaxed = run.each_path(jax.value_and_grad(self._utility), self.block, devices)

    def _utility(self, z, noise):
        return 5 - jnp.sum((z - TOP.astype(np.float32)) ** 2) + noise @ (1 + z)

    def _given(self, z, seed):
        return np.asarray(z, np.float32), self.noises(seed).astype(np.float32)

    def utilities(self, z, seeds):
        played = [self.hard(*self._given(z, k)) for k in seeds]
        return np.concatenate([run.fetch(x).astype(float) for x in played])

    def slopes(self, z, seed):
        found = self.relaxed(*self._given(z, seed))
        return tuple(run.fetch(x).astype(float) for x in found)

class Died(Exception):
    pass

asked, told = experiment(steps=12, save_every=2, audit_every=5, evaluate_every=4), []
if process == 0:
    root = pathlib.Path(root)
    folder = RunFolder.unfinished(root, asked) or RunFolder.create(root, asked, "20260101", {{}})
    folder = Leader(folder.path) if processes > 1 else folder
else:
    folder = Follower()

def tell(line):
    told.append(line)
    if len(told) == dies_after:
        raise Died

try:
    result = train.run(Shared(), asked, folder, tell)
except Died:
    sys.exit(0)
print(json.dumps({{"result": result, "steps": [x for x in told if x["kind"] == "step"]}}))
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def play(root, processes, dies_after=0):
    """What each process printed; nothing for one that was to die."""
    tests = str(__file__).rpartition("/training/")[0]
    code, port = RUN.format(tests=tests), free_port()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, root, *map(str, (port, processes, k, dies_after))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(processes)
    ]
    try:
        ends = [x.communicate(timeout=240) for x in started]
    finally:
        for x in started:
            x.kill()
    for x, (_, err) in zip(started, ends, strict=True):
        if x.returncode and "collectives are not" in err:
            pytest.skip(f"this jaxlib has no collectives between processes: {err[-300:]}")
        assert x.returncode == 0, err[-3000:]
    # The collectives have a word to say on stdout too.
    said = [[x for x in out.splitlines() if x.startswith("{")] for out, _ in ends]
    return [json.loads(x[-1]) if x else {} for x in said]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_find_the_numbers_of_one(tmp_path):
    (alone,) = play(tmp_path / "one", 1)
    first, second = play(tmp_path / "two", 2)
    assert first == alone
    assert second == alone
    assert len(alone["steps"]) == 12


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_processes_that_died_go_on_from_what_the_first_one_kept(tmp_path):
    (alone,) = play(tmp_path / "one", 1)
    play(tmp_path / "two", 2, dies_after=9)
    first, second = play(tmp_path / "two", 2)
    assert first["result"] == second["result"] == alone["result"]
    # Both went on, neither began anew.
    assert first["steps"] == second["steps"] == alone["steps"][-len(first["steps"]) :]
    assert 0 < len(first["steps"]) < 12


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("h:1", 1, 0), "at least 2"),
        (("h:1", 2, 2), "process 2 of 2"),
        (("12345", 2, 0), "expected host:port"),
    ],
)
def test_hosts_that_cannot_meet_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        Hosts(*values)
