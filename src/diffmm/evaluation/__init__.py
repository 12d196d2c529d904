"""The Evaluator of the RFC, pure scoring: money in integers, markouts, costs, limits kept."""

from . import decisions as decisions, impact as impact
from .costs import positive_share as positive_share, Share as Share
from .drawdown import DrawdownLedger as DrawdownLedger
from .ledger import Ledger as Ledger
from .markouts import Estimate as Estimate, Markouts as Markouts, weighted_mean as weighted_mean
from .series import (
    Fill as Fill,
    fills as fills,
    score as score,
    Series as Series,
    series as series,
)
from .sides import Sides as Sides, two_sided as two_sided
