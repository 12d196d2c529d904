"""Participants of a book with few quoters: classes of events, what each shows, its next quote."""

from . import (
    attribution as attribution,
    cycles as cycles,
    mixture as mixture,
    response as response,
    standing as standing,
    statistics as statistics,
)
from .changes import Changes as Changes, changes as changes, Levels as Levels
from .model import build as build, init as init, update as update
from .records import (
    Config as Config,
    Params as Params,
    Participants as Participants,
    State as State,
)
