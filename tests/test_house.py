"""The house rules that a machine can check."""

import pathlib
import re
import subprocess
import sys


ROOT = pathlib.Path(__file__).parents[1]
PURE = (
    "core market features belief risk pricing allocation execution evaluation simulation engine "
    "learning"
).split()


def test_no_file_of_the_house_names_a_package_host_in_a_lock():
    for lock in ROOT.glob("*.lock"):
        assert "://" not in lock.read_text(), f"{lock.name} names a host"


def test_pure_packages_touch_no_clock_socket_or_environment():
    banned = re.compile(
        r"^\s*(?:import|from)\s+(?:asyncio|socket|websockets|time|datetime|os|random)\b", re.M
    )
    seen = 0
    for package in PURE:
        for path in (ROOT / "src" / "diffmm" / package).rglob("*.py"):
            seen += 1
            assert not banned.search(path.read_text()), f"{path} does I/O or reads a clock"
    assert seen > 0


def test_importing_the_package_does_not_import_jax():
    code = "import sys, diffmm; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
