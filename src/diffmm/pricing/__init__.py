"""The Actuary of the RFC: what each quote is worth, as an option that we write."""

from . import candidates as candidates, option as option
from .model import (
    build as build,
    Config as Config,
    init as init,
    Params as Params,
    State as State,
    Surface as Surface,
    TERMS as TERMS,
    update as update,
)
