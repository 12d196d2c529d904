"""The Executor of the RFC, part 2: which orders stay, which go, which are placed."""

from .audit import gamma_exposure_usd as gamma_exposure_usd
from .diff import Cancel as Cancel, diff as diff, Place as Place
from .model import (
    build as build,
    Config as Config,
    init as init,
    Params as Params,
    State as State,
    Targets as Targets,
    update as update,
)
