"""The point where inventory cost and inventory along the ladder agree, and the sizes there.

Prices that clear the limits at a given inventory cost, then a block Newton step for the inventory,
from the last decision's. Where that cycles between sets of levels, sizes move by line search only:
by Newton steps from themselves, among the levels that have one, towards what Newton from the last
prices proposes and, in turn, towards what clears at their own inventory cost. The latter is the
best for the objective's tangent, so it is a direction of ascent that finds new levels, and what
the tangent promises bounds what is still to be gained: the search ends with a certified loss.
Source: ours; the bound is that of Frank & Wolfe (1956). Tested against two general solvers and
between precisions.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import coupling
from .clearing import clear, entries
from .programme import (
    impact,
    income,
    inventory_cost,
    inwards,
    Levels,
    levels,
    outwards,
    Prices,
    Programme,
    sizes,
    Solution,
    value,
)


MOST_NEWTON, MOST_ASCENT = 6, 64
"""Steps of each kind."""
CYCLE = 4
"""Ascent: a step from the sizes, one from what cleared, another from the sizes, the tangent."""
HALVINGS = 24
"""Halvings of a line search: the working precision of single."""
CLOSE = 0.4
"""Newton ends at a gap of the rounding unit to this power; one more step squares it."""
CERTAIN = 0.5
"""Ascent ends where at most the rounding unit to this power is left to gain, as a share."""


class Found(NamedTuple):
    """A point of the search.

    **Attributes:**

    - `prices`: inventory that gave the cost, prices that clear at it.
    - `cleared`: sizes there.
    - `y`: sizes that no step may make worth less.
    - `gap`: how far inventory cost is from what the cleared inventory says, relative.
    - `left`: at most what better sizes than `y` could gain, relative.
    - `steps`: so far.
    """

    prices: Prices
    cleared: Array
    y: Array
    gap: Array
    left: Array
    steps: Array

    @property
    def is_close(self) -> Array:
        """Whether one Newton step gives the solution."""
        return self.gap <= jnp.finfo(self.gap.dtype).eps ** CLOSE


def solve(p: Programme, guess: Prices) -> Solution:
    """The optimum, feasible to the last bit, with implicit gradients.

    Nothing is differentiated through the search: the gradient is that of one Newton step at the
    solution, which is the implicit function theorem's.

    Args:
        p: the programme.
        guess: prices of a similar programme; a bad one costs time, not accuracy.
    """
    frozen = jax.lax.stop_gradient(levels(p))
    found = jax.lax.stop_gradient(_search(frozen, guess))
    at, prices = levels(p), found.prices
    now = coupling.point(at, prices)
    step = coupling.newton(at, prices, now, frozen)
    new = _moved(prices, now, step)
    # The step knows the levels that have a size now; it ends where the next would enter.
    entry = entries(frozen, now.cost, prices.gamma)
    floor = jnp.max(jnp.where(entry < prices.cap[:, None], entry, 0.0), axis=1)
    new = Prices(new.held, jnp.maximum(new.cap, floor), new.gamma)
    y, _ = sizes(at, now.cost + step.cost + new.cap[:, None], new.gamma)
    y, kept = _feasible(at, y), _feasible(at, found.y)
    # The step may leave levels behind that it did not know; it must not cost what was certain.
    worth, known = value(frozen, y), value(frozen, kept)
    lost = known - worth > jnp.finfo(y.dtype).eps ** CERTAIN * jnp.abs(known)
    y = jnp.where(found.is_close & ~lost, y, kept)
    return Solution(y, new.cap, jax.lax.stop_gradient(new))


def _feasible(at: Levels, y: Array) -> Array:
    """Beyond a cap the outermost levels give way, worth the least; then all within Gamma's."""
    held = jnp.minimum(outwards(y), at.cap[:, None])
    before = jnp.concatenate([jnp.zeros_like(held[:, :1]), held[:, :-1]], axis=1)
    y = jnp.maximum(held - before, 0.0)
    return y * (at.limit / jnp.maximum(jnp.sum(at.gamma * y), at.limit))


def _search(at: Levels, guess: Prices) -> Found:
    """Newton from the guess, then ascent where it is needed."""
    eps, tiny = jnp.finfo(at.edge.dtype).eps, jnp.finfo(at.edge.dtype).tiny
    # What an error in inventory cost is measured against: the best edge, or the dearest inventory.
    scale = jnp.maximum(jnp.max(at.edge), jnp.max(jnp.abs(at.cubic[:, 0])))

    def newton(found: Found) -> Prices:
        cost = inwards(inventory_cost(at, found.prices.held)[0])
        now = coupling.around(at, cost, found.cleared)
        return _moved(found.prices, now, coupling.newton(at, found.prices, now, at))

    def tangent(found: Found) -> Prices:
        return found.prices._replace(held=outwards(found.y))

    def is_open(found: Found) -> Array:
        # A NaN ends it; Health reports that. Less than nothing left is a tangent not solved.
        is_far = ~found.is_close & (jnp.abs(found.left) > eps**CERTAIN) & ~jnp.isnan(found.gap)
        return is_far & (found.steps < MOST_NEWTON + MOST_ASCENT)

    def step(found: Found) -> Found:
        is_local = (found.steps > MOST_NEWTON + 1) & (found.steps % 2 == 1)
        return jax.lax.cond(is_local, lambda: _approach(at, found), lambda: clearing(found))

    def clearing(found: Found) -> Found:
        is_safe = found.steps > MOST_NEWTON
        at_own = is_safe & (found.steps % CYCLE == 0)
        kind = jnp.where(found.steps == 0, 0, jnp.where(at_own, 2, 1))
        prices = jax.lax.switch(kind, (lambda x: x.prices, newton, tangent), found)
        cost = inwards(inventory_cost(at, prices.held)[0])
        new = clear(at, cost, prices.cap, prices.gamma, eps**CLOSE)
        off = jnp.abs(inwards(coupling.around(at, cost, new.y).miss)) * at.inverse
        y, left = jax.lax.cond(
            is_safe,
            lambda: _ascend(at, found.y, new.y, cost),
            lambda: (new.y, found.left),
        )
        return Found(
            Prices(prices.held, new.cap, new.gamma),
            new.y,
            y,
            jnp.max(off) / jnp.maximum(scale, tiny),
            jnp.where(at_own, left, found.left),
            found.steps + 1,
        )

    none, inf = jnp.zeros_like(at.edge), jnp.full_like(at.limit, jnp.inf)
    return jax.lax.while_loop(is_open, step, Found(guess, none, none, inf, inf, jnp.int32(0)))


def _approach(at: Levels, found: Found) -> Found:
    """A Newton step from the sizes themselves, for the levels that have one."""
    y, prices = found.y, found.prices
    cost = inwards(inventory_cost(at, outwards(y))[0])
    # The inventory cost at which each level would have the size that it has.
    own = (at.edge - impact(at, y)) / at.inverse - prices.cap[:, None] - prices.gamma * at.gamma
    none = jnp.maximum(cost, own)
    now = coupling.around(at, jnp.where(y > 0, own, none), y)
    step = coupling.newton(at, prices, now, at)
    way = jnp.diff(step.held, axis=1, prepend=jnp.zeros_like(step.held[:, :1]))
    # As far as nothing is below zero and no limit that has no price is overstepped.
    reach = lambda left, use: jnp.where(use > 0, left / jnp.where(use > 0, use, 1.0), jnp.inf)
    to_zero = reach(y, -way)
    to_cap = jnp.where(prices.cap > 0, jnp.inf, reach(at.cap - now.held[:, -1], step.held[:, -1]))
    to_limit = reach(at.limit - jnp.sum(at.gamma * y), jnp.sum(at.gamma * way))
    to_limit = jnp.where(prices.gamma > 0, jnp.inf, to_limit)
    far = jnp.minimum(jnp.minimum(jnp.min(to_zero), jnp.min(to_cap)), to_limit)
    far = jnp.clip(far, 0.0, 1.0)
    to = _feasible(at, jnp.where(to_zero <= far, 0.0, jnp.maximum(y + far * way, 0.0)))
    near, _ = _ascend(at, y, to, cost)
    # Many levels may have to go at once; cutting the whole step off at zero may do that.
    whole, _ = _ascend(at, y, _feasible(at, jnp.maximum(y + way, 0.0)), cost)
    is_better = value(at, whole) > value(at, near)
    new = jnp.where(is_better, whole, near)
    # A limit that is met has a price from here on; Newton takes it back if it is below zero.
    tiny = jnp.finfo(y.dtype).tiny
    priced = lambda old, change, met: jnp.where(
        old > 0, jnp.maximum(old + change, 0.0), jnp.where(met, tiny, 0.0)
    )
    moved = prices._replace(
        cap=priced(prices.cap, step.cap, to_cap <= far),
        gamma=priced(prices.gamma, step.gamma, to_limit <= far),
    )
    return found._replace(prices=moved, y=new, steps=found.steps + 1)


def _moved(prices: Prices, now: coupling.Point, step: coupling.Step) -> Prices:
    return Prices(
        now.held + step.held,
        jnp.maximum(prices.cap + step.cap, 0.0),
        jnp.maximum(prices.gamma + step.gamma, 0.0),
    )


def _ascend(at: Levels, y: Array, to: Array, cost: Array) -> tuple[Array, Float[Array, ""]]:
    """The best sizes on the way, and what the tangent with `cost` promises there, relative."""
    way = to - y

    def slope(share: Array) -> Array:
        here = jnp.maximum(y + share * way, 0.0)
        beyond = inwards(inventory_cost(at, outwards(here))[0])
        return jnp.sum(way * ((at.edge - impact(at, here)) / at.inverse - beyond))

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        rises = slope(middle) > 0
        return jnp.where(rises, middle, low), jnp.where(rises, high, middle)

    none = jnp.zeros_like(at.limit)
    low, _ = jax.lax.fori_loop(0, HALVINGS, halve, (none, none + 1))
    share = jnp.where(slope(none + 1) > 0, 1.0, low)
    promised = income(at, to) - income(at, y) - jnp.sum(cost * way)
    return y + share * way, promised / jnp.maximum(value(at, y), jnp.finfo(y.dtype).tiny)
