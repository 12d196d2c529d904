"""`diffmm doctor`: whether this machine can run, one line a check."""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable

from diffmm.live import kill_latch, lock

from . import runs


OK, FAILED = 0, 3
"""Exit codes."""
PACKAGES = ("jax", "jaxlib", "equinox", "numpy", "orbax-checkpoint", "websockets", "msgspec")
LEAST_FREE_BYTES = 1 << 30
"""A day's journal and checkpoints."""
LEAST_FILES = 256
KEY_FILE = "DIFFMM_HL_KEY_FILE"
READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
STEP_S = 0.05


@dataclasses.dataclass(frozen=True)
class Check:
    """What was looked at, whether it holds, and what was found."""

    name: str
    is_ok: bool
    found: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes."""
    parser.add_argument("--json", action="store_true", help="one object on one line of stdout")


def main(args: argparse.Namespace) -> int:
    """All checks; 3 when one fails."""
    checks = []
    for check in CHECKS:
        try:
            checks.append(check())
        except Exception as error:
            checks.append(Check(check.__name__.strip("_"), False, f"{error!r}"))
    if args.json:
        told = {"is_ok": all(c.is_ok for c in checks)}
        told |= {"checks": [dataclasses.asdict(c) for c in checks]}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for one in checks:
            sys.stdout.write(f"{'ok  ' if one.is_ok else 'FAIL'} {one.name:<10} {one.found}\n")
    return OK if all(c.is_ok for c in checks) else FAILED


def _versions() -> Check:
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    python = ".".join(map(str, sys.version_info[:3]))
    told = ", ".join(f"{name} {version}" for name, version in found.items())
    return Check("versions", sys.version_info >= (3, 11), f"python {python}, {told}")


def _devices() -> Check:
    """The compiled path works at all, in single precision."""
    import jax
    import jax.numpy as jnp

    devices = ", ".join(map(str, jax.devices()))
    one = jax.device_get(jnp.ones(()) + 1)
    is_ok = float(one) == 2.0 and one.dtype == jnp.float32
    return Check("devices", is_ok, f"{devices}; computes in {one.dtype}")


def _clock() -> Check:
    """Wall and monotonic time advance together, and the date is not that of an unset clock."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(STEP_S)
    drift_s = abs((time.time() - wall) - (time.monotonic() - steady))
    made = pathlib.Path(__file__).stat().st_mtime
    is_ok = drift_s < STEP_S and time.time() > made
    return Check("clock", is_ok, f"{runs.now()}, steps agree to {drift_s * 1e3:.1f} ms")


def _disk() -> Check:
    """The runs' folder can be written, synced, and has room."""
    runs.RUNS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=runs.RUNS) as file:
        file.write(b"x")
        file.flush()
        started = time.perf_counter()
        os.fsync(file.fileno())
        taken_ms = (time.perf_counter() - started) * 1e3
    free = shutil.disk_usage(runs.RUNS).free
    words = f"{runs.RUNS.resolve()}: {free / 2**30:.1f} GiB free, sync {taken_ms:.1f} ms"
    return Check("disk", free >= LEAST_FREE_BYTES, words)


def _loopback() -> Check:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address, timeout=1):
            return Check("loopback", True, "127.0.0.1 takes connections")


def _files() -> Check:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Check("files", soft >= LEAST_FILES, f"{soft} may be open at once")


def _key() -> Check:
    """A key's file is nobody else's to read; that there is none is fine, the default needs none."""
    path = os.environ.get(KEY_FILE)
    if path is None:
        return Check("key", True, f"no {KEY_FILE}; paper and shadow need none")
    mode = pathlib.Path(path).stat().st_mode
    is_ok = not mode & READABLE_BY_OTHERS
    return Check("key", is_ok, f"{path} has mode {stat.S_IMODE(mode):o}, expected 600 or stricter")


def _latches() -> Check:
    """Runs that are latched or alive; neither is a fault of the machine."""
    latched = [f.name for f in runs.folders() if kill_latch.is_latched(f)]
    alive = [f.name for f in runs.folders() if lock.is_held(f)]
    words = f"alive: {', '.join(alive) or 'none'}; kill latch: {', '.join(latched) or 'none'}"
    return Check("runs", True, words)


CHECKS: tuple[Callable[[], Check], ...] = (
    _versions,
    _devices,
    _clock,
    _disk,
    _loopback,
    _files,
    _key,
    _latches,
)
