"""Session-wide JAX settings and the independently computed oracles."""

import contextlib
import json
import pathlib

import jax
import pytest


ROOT = pathlib.Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(ROOT / ".cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="session")
def oracles():
    """Oracle entries by name; skips with the reason where the folder is absent."""
    path = SHARED / "oracles" / "oracles.json"
    if not path.exists():
        pytest.skip("the shared oracles folder is absent beside the checkout")
    return {entry["name"]: entry for entry in json.loads(path.read_text())}


MAPS = pathlib.Path("/proc/self/maps")
MOST_MAPS = 30_000
"""About half of what Linux lets a process have; each compiled program takes dozens."""


@pytest.fixture(autouse=True)
def _room_for_compiled_programs():
    yield
    with contextlib.suppress(OSError):
        with MAPS.open() as file:
            is_full = sum(1 for _ in file) > MOST_MAPS
        if is_full:
            # What is needed again comes from the cache on disk.
            jax.clear_caches()
