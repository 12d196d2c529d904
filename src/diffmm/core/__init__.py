"""Vocabulary shared by every subsystem: stages, parameters, health, small algebra."""

from . import numerics as numerics, small as small
from .health import flag as flag, Health as Health
from .pack import Packing as Packing
from .params import (
    constrain as constrain,
    declarations as declarations,
    defaults as defaults,
    Domain as Domain,
    interval as interval,
    NON_NEGATIVE as NON_NEGATIVE,
    param as param,
    POSITIVE as POSITIVE,
    REAL as REAL,
    SHARE as SHARE,
    trainable as trainable,
    unconstrain as unconstrain,
    UNIT as UNIT,
    violations as violations,
)
from .stage import Stage as Stage
from .tree import all_finite as all_finite, where as where
