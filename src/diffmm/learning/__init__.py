"""The Evaluator's adaptive part: parameter rows on one market, and the weights they earn."""

from . import hedge as hedge
from .counterfactual import (
    Config as Config,
    learn as learn,
    Learned as Learned,
    round_pnl_usd as round_pnl_usd,
    rows as rows,
    run as run,
)
