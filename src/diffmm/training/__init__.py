"""Objectives, tuning and checkpoints: what changes Params, and how they are kept."""

from . import fit as fit
from .checkpoint import (
    CheckpointError as CheckpointError,
    extend as extend,
    restore as restore,
    save as save,
)
from .overrides import apply as apply, OverrideError as OverrideError
from .target import (
    target as target,
    with_flow_type as with_flow_type,
    with_private as with_private,
    with_trend as with_trend,
    with_unwind as with_unwind,
)
