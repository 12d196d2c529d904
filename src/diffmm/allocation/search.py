"""Finding the prices at which the recursion of `programme` closes, and the sizes there.

A joint Newton step for both sides and the Gamma price starts from the last decision's; where it
fails, a grid of Gamma prices with a bracketed Newton for each side inside. Source: ours, tested
against bisection in float64 and a general solver.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import where

from .programme import (
    dearest,
    Ends,
    ends_at,
    highest,
    Levels,
    levels as levels_of,
    Prices,
    Programme,
    shoot,
    Solution,
)


LANES = 8
"""Gamma prices tried at once: with two sides they fill one vector register."""
ROUNDS = 2
"""Grids of Gamma prices; each narrows the bracket by `LANES`."""
INNER = 24
"""Bracketed Newton steps for a side's total at given Gamma prices."""
DEEP_ROUNDS, DEEP_INNER = 16, 64
"""The same to the working precision, for the few programmes on which Newton cycles."""
SINGLE_BITS = 32
MOST_NEWTON = 8
"""Joint Newton steps for both sides and the Gamma price."""


CLOSE = 0.4
"""Newton ends at a gap of the rounding unit to this power; one more step squares it."""
ROUNDING = 64
"""Units of rounding by which a converged step may leave its bracket."""


def solve(p: Programme, guess: Prices) -> Solution:
    """The optimum, feasible to the last bit, with implicit gradients.

    Nothing is differentiated through the search: the gradient is that of one joint Newton step at
    the solution, which is the implicit function theorem's.

    Args:
        p: the programme.
        guess: prices of a similar programme; a bad one costs time, not accuracy.
    """
    frozen = jax.lax.stop_gradient(p)
    at, _ = _joint(p, jax.lax.stop_gradient(_search(frozen, guess)), frozen)
    total, nu = _moved(p, at, frozen)
    y, _ = shoot(p, levels_of(p), total, nu, at.gamma[None])
    y = jnp.maximum(y[..., 0].T, 0.0)
    y = y * jnp.minimum(p.cap / jnp.maximum(jnp.sum(y, axis=1, keepdims=True), p.cap), 1.0)
    used = jnp.sum(p.gamma * y)
    y = y * (p.gamma_limit / jnp.maximum(used, p.gamma_limit))
    return Solution(y, nu[:, 0], jax.lax.stop_gradient(at))


def _search(p: Programme, guess: Prices) -> Prices:
    """Both totals and the Gamma price: Newton from the guess, else a bracketed search."""

    def is_open(carry: tuple[Prices, Array, Array]) -> Array:
        _, gap, k = carry
        # One more Newton step follows and squares the gap. A NaN ends it; Health reports that.
        return (gap > eps**CLOSE) & (k < MOST_NEWTON)

    def newton(carry: tuple[Prices, Array, Array]) -> tuple[Prices, Array, Array]:
        at, gap = _joint(p, carry[0], p)
        return where(is_open((at, gap, carry[2])), at, carry[0]), gap, carry[2] + 1

    def within(gap: Array) -> Programme:
        # The compiler would move a search that depends on nothing in the loop out of it, and run it
        # at every decision.
        return dataclasses.replace(p, edge=jnp.where(gap > 0, p.edge, 0.0))

    def deeply(carry: tuple[Prices, Array, Array]) -> tuple[Prices, Array, Array]:
        at = _grid(within(carry[1]), DEEP_ROUNDS, DEEP_INNER, eps)
        return at, jnp.zeros_like(carry[1]), carry[2] + 1

    def widely(carry: tuple[Prices, Array, Array]) -> tuple[Prices, Array, Array]:
        at = _grid(within(carry[1]), ROUNDS, INNER, eps**CLOSE)
        carry = jax.lax.while_loop(is_open, newton, (at, jnp.full_like(carry[1], jnp.inf), zero))
        return carry[0], carry[1], jnp.full_like(zero, MOST_NEWTON)

    zero, eps = jnp.zeros((), jnp.int32), jnp.finfo(p.edge.dtype).eps
    start = (guess, jnp.full_like(p.gamma_limit, jnp.inf), zero)
    at, gap, _ = jax.lax.while_loop(is_open, newton, start)
    at, gap, _ = jax.lax.while_loop(is_open, widely, (at, gap, zero))
    # In single precision the ladder's rounding is the limit where fills are rare, not the search.
    if jnp.finfo(p.edge.dtype).bits <= SINGLE_BITS:
        return at
    return jax.lax.while_loop(is_open, deeply, (at, gap, zero))[0]


def _gap(p: Programme, at: Prices, ends: Ends) -> Float[Array, ""]:
    """How far from optimal, relative: what is left on each side, and the Gamma limit."""
    over = jnp.sum(ends.used) / p.gamma_limit - 1
    slack = jnp.where(at.gamma > 0, jnp.abs(over), jnp.maximum(over, 0.0))
    return jnp.maximum(jnp.max(jnp.abs(ends.left[:, 0]) / p.cap[:, 0]), slack)


def _grid(p: Programme, rounds: int, inner: int, close: Any) -> Prices:
    """Grids of Gamma prices, finer where exposure falls steeply, the second in the best cell."""
    levels, top, most = levels_of(p), 2 * p.cap, dearest(p)
    steps = jnp.arange(LANES, dtype=p.edge.dtype) / LANES

    def grid(k: Any, carry: tuple[Array, Array, Prices]) -> tuple[Array, Array, Prices]:
        low, high, _ = carry
        price = low + (high - low) * jnp.where(k == 0, steps**2, steps)
        s = _totals(p, levels, price, top, inner, close)
        used = jnp.sum(shoot(p, levels, *ends_at(s, p), price)[1].used, axis=0)
        last = jnp.sum(used > p.gamma_limit)
        pick = jnp.maximum(last - 1, 0)
        follows = jnp.where(last < LANES, price[jnp.minimum(last, LANES - 1)], high)
        at = Prices(s[:, pick], price[pick])
        return price[pick], jnp.where(last > 0, follows, price[pick]), at

    none = jnp.zeros_like(most)
    start = (none, most, Prices(jnp.zeros_like(top[:, 0]), none))
    return jax.lax.fori_loop(0, rounds, grid, start)[2]


def _totals(
    p: Programme,
    levels: Levels,
    price: Float[Array, " lanes"],
    top: Float[Array, "side 1"],
    inner: int,
    close: Any,
) -> Float[Array, "side lanes"]:
    """`s` of each side at each Gamma price: Newton where it helps, else the bracket's middle.

    What the levels ask for, `D(s) = t - N_0`, is a sum of powers `1 / b`, so `D^b` is nearly linear
    in `s` and Newton solves `D^b = t^b`.
    """
    b, tiny = p.power, jnp.finfo(top.dtype).tiny
    raised = lambda x: jnp.exp(b * jnp.log(jnp.maximum(x, tiny)))

    def demand(s: Array) -> tuple[Array, Array]:
        total = lambda s: jnp.minimum(s, p.cap) - shoot(p, levels, *ends_at(s, p), price)[1].left
        d, slope = jax.jvp(total, (s,), (jnp.ones_like(s),))
        power = raised(d)
        return power, b * power / jnp.maximum(d, tiny) * slope

    def is_open(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
        return (jnp.max(carry[3] / p.cap) > close) & (carry[4] < inner)

    def step(carry: tuple[Array, Array, Array, Array, Array]) -> Any:
        low, high, s, last, k = carry
        power, slope = demand(s)
        t = jnp.minimum(s, p.cap)
        own = raised(t)
        value = power - own
        low, high = jnp.where(value > 0, s, low), jnp.where(value > 0, high, s)
        slope = slope - jnp.where(s < p.cap, b * own / jnp.maximum(t, tiny), 0.0)
        newton = s - value / jnp.minimum(slope, -tiny)
        # At the solution rounding moves Newton past the end that it came from: no failure.
        margin = ROUNDING * jnp.finfo(s.dtype).eps * s
        inside = (newton >= low - margin) & (newton <= high + margin)
        # Where the demand bends, Newton may jump between the two ends of the bracket for ever.
        shrinks = jnp.abs(newton - s) <= jnp.maximum(last / 2, margin)
        new = jnp.where(inside & shrinks, newton, (low + high) / 2)
        return low, high, new, jnp.abs(new - s), k + 1

    low = jnp.zeros_like(top) * price[None]
    high = top + low
    power, slope = demand(low)
    # The chord of `t^b` up to the cap is below it, so the first guess is not too small.
    first = jnp.minimum(power / (raised(p.cap) / p.cap - slope), high)
    start = (low, high, first, jnp.full_like(low, jnp.inf), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(is_open, step, start)[2]


def _moved(p: Programme, at: Prices, frozen: Programme) -> tuple[Array, Array]:
    """Both ends of the recursion at a frozen programme's solution; a bound total is the cap."""
    total, nu = ends_at(at.s[:, None], frozen)
    return total + jnp.where(nu > 0, p.cap - frozen.cap, 0.0), nu


def _joint(p: Programme, at: Prices, frozen: Programme) -> tuple[Prices, Float[Array, ""]]:
    """One Newton step for both totals and the Gamma price, and the gap before it.

    The matrix carries no gradient.
    """
    at = jax.lax.stop_gradient(at)
    cap, b = frozen.cap[:, 0], frozen.power
    tiny = jnp.finfo(at.s.dtype).tiny
    scale = highest(frozen)[:, 0] / cap
    total, nu = _moved(p, at, frozen)
    now = shoot(p, levels_of(p), total, nu, at.gamma[None])[1]
    total, asked = total[:, 0], jnp.maximum(total - now.left, tiny)[:, 0]
    # At the cap itself the demand says on which side of the kink the solution lies.
    is_inner = (at.s < cap) | ((at.s == cap) & (asked < cap))
    along = lambda *ends: shoot(frozen, levels_of(frozen), *ends)[1]
    here = jax.lax.stop_gradient((total[:, None], nu, at.gamma[None]))
    ds = (is_inner.astype(cap.dtype)[:, None], jnp.where(is_inner, 0.0, scale)[:, None])
    none = jnp.zeros_like(nu)
    tangents = (jnp.stack([ds[0], none]), jnp.stack([ds[1], none]))
    push = lambda *t: jax.jvp(along, here, t)[1]
    by = jax.vmap(push)(*tangents, jnp.stack([0 * at.gamma, at.gamma * 0 + 1])[:, None])
    held = jax.lax.stop_gradient(asked)
    # Both what the levels ask for and the exposure are nearly linear when raised to b.
    rise = lambda x: jnp.exp(b * jnp.log(x))
    bend = lambda x: b * rise(x) / x
    have = jnp.maximum(total, tiny)
    value = rise(asked) - rise(have)
    have = jax.lax.stop_gradient(have)
    chord = (rise(cap) - rise(have)) / jnp.maximum(cap - have, tiny)
    grows = jnp.where((held > 4 * have) & (have < cap), chord, bend(have))
    asked_s = is_inner.astype(cap.dtype) - by.left[0, :, 0]
    slope = jnp.minimum(bend(held) * asked_s - jnp.where(is_inner, grows, 0.0), -tiny)
    by_price = -bend(held) * by.left[1, :, 0]
    used = jnp.maximum(jnp.sum(now.used), tiny)
    lift = bend(jax.lax.stop_gradient(used))
    over = rise(used) - rise(p.gamma_limit)
    per_value = lift * by.used[0, :, 0] / slope
    fall = lift * jnp.sum(by.used[1, :, 0]) - jnp.sum(per_value * by_price)
    is_bound = ((at.gamma > 0) | (over > 0)) & (fall < 0)
    move = -(over - jnp.sum(per_value * value)) / jnp.where(is_bound, fall, 1.0)
    price = jnp.clip(at.gamma + jnp.where(is_bound, move, 0.0), 0.0, dearest(frozen))
    s = at.s - (value + by_price * (price - at.gamma)) / slope
    # A step over the kink stops at it: the other side has another slope.
    low, high = jnp.where(is_inner, 0.0, cap), jnp.where(is_inner, cap, 2 * cap)
    return Prices(jnp.clip(s, low, high), price), _gap(frozen, at, now)
