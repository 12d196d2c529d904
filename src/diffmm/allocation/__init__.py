"""The Executor of the RFC, part 1: sizes per price from a concave programme with named duals."""

from . import programme as programme, search as search
from .model import (
    Allocation as Allocation,
    build as build,
    Config as Config,
    init as init,
    Params as Params,
    State as State,
    update as update,
)
