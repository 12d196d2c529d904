"""The Governor of the RFC: what inventory costs, what holding it pays, how much may be held."""

from . import kelly as kelly, portfolio as portfolio
from .model import (
    build as build,
    Config as Config,
    cost_usd as cost_usd,
    cross_bp as cross_bp,
    init as init,
    marginal_cost as marginal_cost,
    Params as Params,
    RiskBudget as RiskBudget,
    State as State,
    update as update,
)
