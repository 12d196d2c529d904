"""The ways to run the engine: live, replay, counterfactual, training."""

from . import graph as graph, loop as loop
from .graph import Config as Config, Params as Params, Quotes as Quotes, Seen as Seen
from .run import (
    counterfactual as counterfactual,
    Engine as Engine,
    fold_frame as fold_frame,
    init as init,
    objective_and_gradient as objective_and_gradient,
    replay as replay,
)
from .stepper import Stepper as Stepper
