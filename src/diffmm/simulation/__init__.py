"""Worlds for the engine: hard fills of our orders on any market, and a generative market."""

from . import (
    account as account,
    control_problem as control_problem,
    generative as generative,
    hard_fills as hard_fills,
    laws as laws,
    probes as probes,
    soft_fills as soft_fills,
)
from .world import parse as parse, World as World
