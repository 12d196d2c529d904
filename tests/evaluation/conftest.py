"""Stacked decisions of a small run: one compile for every test that reads decisions."""

import jax
import numpy as np
import pytest

import small_run


@pytest.fixture(scope="session")
def run():
    """`(tape, record as numpy)` of a small closed loop."""
    tape, record = small_run.run()
    return tape, jax.tree.map(np.asarray, record)
