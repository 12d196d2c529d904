"""The Sensor of the RFC: market events as standardised observations of the belief state."""

from . import (
    frontier as frontier,
    hawkes as hawkes,
    participants as participants,
    propagation as propagation,
    touch as touch,
    trend as trend,
)
from .model import (
    build as build,
    Config as Config,
    Features as Features,
    init as init,
    OBSERVATIONS as OBSERVATIONS,
    Params as Params,
    PARTICIPANTS as PARTICIPANTS,
    price_noise as price_noise,
    State as State,
    Target as Target,
    update as update,
    with_frontier as with_frontier,
    with_participants as with_participants,
    with_propagation as with_propagation,
    with_trend as with_trend,
)
