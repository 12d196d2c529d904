"""Process-wide compiler flags, set before jax is imported and only by the command line.

An unknown flag aborts the process, so a version that is not in the table gets none.
"""

import importlib.metadata
import os


SMALL_LOOPS = (
    "--xla_cpu_enable_concurrency_optimized_scheduler=false",
    "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=2097152",
)
"""One kernel for a loop of up to 2 MiB, and no thread pool.

At 512 KiB a live decision falls apart into 200 separate calls; at 1 MiB the backward pass of a
replay does, and a gradient costs 9 forward passes in place of 5, for half the time to compile.
"""
TABLE = {"0.10": SMALL_LOOPS, "0.11": SMALL_LOOPS}
"""By the jaxlib series."""


def set_compiler_flags() -> None:
    """Add the flags of the installed jaxlib, unless the user has set some."""
    if os.environ.get("XLA_FLAGS"):
        return
    series = ".".join(importlib.metadata.version("jaxlib").split(".")[:2])
    if flags := TABLE.get(series):
        os.environ["XLA_FLAGS"] = " ".join(flags)


def configure_jax() -> None:
    """Synchronous dispatch, and compiled programs kept between runs."""
    import pathlib

    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(cache / "diffmm" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
