"""The Governor of the RFC: what inventory costs, what holding it pays, how much may be held."""

from . import funding as funding, kelly as kelly, portfolio as portfolio, unwind as unwind
from .model import (
    build as build,
    Config as Config,
    correlation as correlation,
    cost_usd as cost_usd,
    cross_bp as cross_bp,
    init as init,
    marginal_cost as marginal_cost,
    Params as Params,
    reducing as reducing,
    RiskBudget as RiskBudget,
    State as State,
    target as target,
    update as update,
    with_unwind as with_unwind,
)
