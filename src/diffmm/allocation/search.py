"""The point where inventory cost and inventory along the ladder agree, and the sizes there.

Prices that clear the limits at a given inventory cost, then a block Newton step for the inventory,
from the last decision's. Where that cycles between sets of levels, the cleared sizes are a
direction in which the true objective rises (they are the best for its tangent), so a line search
along it cannot fail. Source: ours, tested against bisection in float64 and a general solver.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import coupling
from .clearing import clear, entries
from .programme import (
    inventory_cost,
    inwards,
    Levels,
    levels,
    outwards,
    Prices,
    Programme,
    sizes,
    Solution,
)


MOST_NEWTON, MOST_ASCENT = 6, 64
"""Steps of each kind."""
HALVINGS = 24
"""Halvings of a line search: the working precision of single."""
CLOSE = 0.4
"""The search ends at a gap of the rounding unit to this power; one more step squares it."""


class Found(NamedTuple):
    """A point, its sizes, how far it is from the solution, and the steps so far."""

    prices: Prices
    y: Array
    gap: Array
    steps: Array


def solve(p: Programme, guess: Prices) -> Solution:
    """The optimum, feasible to the last bit, with implicit gradients.

    Nothing is differentiated through the search: the gradient is that of one Newton step at the
    solution, which is the implicit function theorem's.

    Args:
        p: the programme.
        guess: prices of a similar programme; a bad one costs time, not accuracy.
    """
    frozen = jax.lax.stop_gradient(levels(p))
    prices = jax.lax.stop_gradient(_search(frozen, guess))
    at = levels(p)
    now = coupling.point(at, prices)
    step = coupling.newton(at, prices, now, frozen)
    new = _moved(prices, now, step)
    # The step knows the levels that have a size now; it ends where the next would enter.
    entry = entries(frozen, now.cost, prices.gamma)
    floor = jnp.max(jnp.where(entry < prices.cap[:, None], entry, 0.0), axis=1)
    new = Prices(new.held, jnp.maximum(new.cap, floor), new.gamma)
    y, _ = sizes(at, now.cost + step.cost + new.cap[:, None], new.gamma)
    # Beyond a cap the outermost levels give way: they are worth the least.
    held = jnp.minimum(outwards(y), at.cap[:, None])
    before = jnp.concatenate([jnp.zeros_like(held[:, :1]), held[:, :-1]], axis=1)
    y = jnp.maximum(held - before, 0.0)
    y = y * (at.limit / jnp.maximum(jnp.sum(at.gamma * y), at.limit))
    return Solution(y, new.cap, jax.lax.stop_gradient(new))


def _search(at: Levels, guess: Prices) -> Prices:
    """Newton from the guess, then ascent where it is needed."""
    eps = jnp.finfo(at.edge.dtype).eps
    # What an error in inventory cost is measured against: the best edge, or the dearest inventory.
    scale = jnp.maximum(jnp.max(at.edge), jnp.max(jnp.abs(at.cubic[:, 0])))
    scale = jnp.maximum(scale, jnp.finfo(at.edge.dtype).tiny)

    def start(found: Found) -> Found:
        return found

    def newton(found: Found) -> Found:
        cost = inwards(inventory_cost(at, found.prices.held)[0])
        now = coupling.around(at, cost, found.y)
        step = coupling.newton(at, found.prices, now, at)
        return found._replace(prices=_moved(found.prices, now, step))

    def ascent(found: Found) -> Found:
        return found._replace(prices=found.prices._replace(held=outwards(found.y)))

    def is_open(found: Found) -> Array:
        # A NaN ends it; Health reports that.
        return (found.gap > eps**CLOSE) & (found.steps < MOST_NEWTON + MOST_ASCENT)

    def step(found: Found) -> Found:
        kind = jnp.where(found.steps == 0, 0, jnp.where(found.steps <= MOST_NEWTON, 1, 2))
        last = jax.lax.switch(kind, (start, newton, ascent), found)
        prices = last.prices
        cost = inwards(inventory_cost(at, prices.held)[0])
        new = clear(at, cost, prices.cap, prices.gamma, eps**CLOSE)
        off = jnp.abs(inwards(coupling.around(at, cost, new.y).miss)) * at.inverse
        way = new.y - last.y
        share = jax.lax.cond(
            kind == 2, lambda: _rise(at, last.y, way), lambda: jnp.ones_like(at.limit)
        )
        y = jnp.where(share < 1, last.y + share * way, new.y)
        prices = Prices(prices.held, new.cap, new.gamma)
        return Found(prices, y, jnp.max(off) / scale, found.steps + 1)

    none, inf = jnp.zeros_like(at.edge), jnp.full_like(at.limit, jnp.inf)
    return jax.lax.while_loop(is_open, step, Found(guess, none, inf, jnp.int32(0))).prices


def _moved(prices: Prices, now: coupling.Point, step: coupling.Step) -> Prices:
    return Prices(
        now.held + step.held,
        jnp.maximum(prices.cap + step.cap, 0.0),
        jnp.maximum(prices.gamma + step.gamma, 0.0),
    )


def _rise(at: Levels, y: Array, way: Array) -> Float[Array, ""]:
    """Share of the way from `y` at which the objective is highest."""

    def slope(share: Array) -> Array:
        here = jnp.maximum(y + share * way, 0.0)
        raised = jnp.exp(jnp.log(jnp.where(here > 0, here / at.steep, 1.0)) / at.root)
        edge = at.edge - jnp.where(here > 0, raised, 0.0)
        cost = inwards(inventory_cost(at, outwards(here))[0])
        return jnp.sum(way * (edge / at.inverse - cost))

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        rises = slope(middle) > 0
        return jnp.where(rises, middle, low), jnp.where(rises, high, middle)

    none = jnp.zeros_like(at.limit)
    low, _ = jax.lax.fori_loop(0, HALVINGS, halve, (none, none + 1))
    return jnp.where(slope(none + 1) > 0, 1.0, low)
