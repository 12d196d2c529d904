"""The Belief System of the RFC: the posterior of fair value, drift, volatility, informed flow."""

from . import (
    dynamics as dynamics,
    flow_type as flow_type,
    gaussian as gaussian,
    glosten_milgrom as glosten_milgrom,
    imm as imm,
    predictive as predictive,
    private as private,
    reach as reach,
)
from .dynamics import INFORMED as INFORMED, LOG_SIGMA as LOG_SIGMA, MU as MU, V as V
from .model import (
    Belief as Belief,
    build as build,
    Config as Config,
    informed_share as informed_share,
    init as init,
    mid_ahead as mid_ahead,
    Params as Params,
    State as State,
    update as update,
    with_flow_type as with_flow_type,
    with_private as with_private,
)
