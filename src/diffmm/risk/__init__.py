"""The Governor of the RFC: what inventory costs, what holding it pays, how much may be held."""

from . import kelly as kelly, unwind as unwind
from .model import (
    build as build,
    Config as Config,
    cost_usd as cost_usd,
    init as init,
    marginal_cost as marginal_cost,
    Params as Params,
    reducing as reducing,
    RiskBudget as RiskBudget,
    State as State,
    update as update,
    with_unwind as with_unwind,
)
