"""Avellaneda & Stoikov (2008): reservation price and spread, to first order in the time to go.

    r = mid - q gamma sigma^2 (T - t)                                          (eq. 29)
    bid + ask = gamma sigma^2 (T - t) + (2 / gamma) log(1 + gamma / k)         (eq. 30)

An expansion: badly short of the optimum where gamma is large (`glft` is exact), and known by all.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .glft import half_spread, Params
from .grid import Depths, inventories


def depths(p: Params, most_lots: int) -> Depths:
    """Quotes with the whole horizon to go; a side that would pass `most_lots` is withdrawn."""
    q = inventories(most_lots, p.rate.dtype)
    found = at(p, q, p.horizon)
    bid = jnp.where(q < most_lots, found.bid, jnp.inf)
    return Depths(bid, jnp.where(q > -most_lots, found.ask, jnp.inf))


def at(p: Params, q: Float[Array, "*q"], left: Float[Array, ""]) -> Depths:
    """Quotes at an inventory with `left` to go; they may lie beyond the mid."""
    risk = p.aversion * p.sigma**2 * left
    half = risk / 2 + half_spread(p)
    return Depths(half + q * risk, half - q * risk)
