"""Reference policies that ours is compared with: published quoters, exact, on one interface.

Each is a module with `Params` and `depths(params, ...) -> Depths`: how far from the mid to quote at
every inventory of a grid, in the market's price unit, time unit and lots. Nothing here shapes a
quote of ours.
"""

from . import (
    avellaneda_stoikov as avellaneda_stoikov,
    cartea_jaimungal as cartea_jaimungal,
    glft as glft,
    quoting as quoting,
)
from .grid import Depths as Depths, inventories as inventories
