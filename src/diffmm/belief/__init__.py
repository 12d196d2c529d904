"""The Belief System of the RFC: the posterior of fair value, drift, volatility, informed flow."""

from . import (
    dynamics as dynamics,
    evidence as evidence,
    flow_type as flow_type,
    gaussian as gaussian,
    glosten_milgrom as glosten_milgrom,
    imm as imm,
    predictive as predictive,
    private as private,
    reach as reach,
)
from .dynamics import INFORMED as INFORMED, LOG_SIGMA as LOG_SIGMA, MU as MU, V as V
from .evidence import depth_unit_bp as depth_unit_bp, informed_share as informed_share
from .interface import (
    Belief as Belief,
    Config as Config,
    Params as Params,
    State as State,
)
from .model import (
    build as build,
    init as init,
    mid_ahead as mid_ahead,
    update as update,
    with_flow_type as with_flow_type,
    with_private as with_private,
)
