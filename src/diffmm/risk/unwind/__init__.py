"""Getting flat: a decision problem solved outside, a table of it read at each wake."""

from . import estimate as estimate, value as value
from .problem import (
    Action as Action,
    LEVELS as LEVELS,
    Problem as Problem,
    Rates as Rates,
    rates as rates,
    Stance as Stance,
)
from .table import (
    Charged as Charged,
    marginal_bp as marginal_bp,
    Params as Params,
    read as read,
    tables as tables,
    Unwind as Unwind,
)
