"""The Sensor of the RFC: market events as standardised observations of the belief state."""

from . import (
    frontier as frontier,
    hawkes as hawkes,
    participants as participants,
    propagation as propagation,
    touch as touch,
    trend as trend,
)
from .folds import price_noise as price_noise
from .interface import (
    Config as Config,
    Features as Features,
    OBSERVATIONS as OBSERVATIONS,
    Params as Params,
    PARTICIPANTS as PARTICIPANTS,
    State as State,
    Target as Target,
)
from .model import build as build, init as init, update as update
from .parts import (
    with_frontier as with_frontier,
    with_participants as with_participants,
    with_propagation as with_propagation,
    with_trend as with_trend,
)
