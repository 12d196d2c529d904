"""Getting flat as a finite Markov decision problem in continuous time.

A state is (inventory, mode, funding, markout shape, settlement phase), the side of the inventory
folded away by the mirror symmetry: `|q| = b Delta`, b = 0 .. B, `Delta = room / B`. An action says
how the reducing side quotes; with it inventory falls by one `Delta` at the rate `fill_usd_s /
Delta`. Everything else moves by itself, at rates that no action changes: the adding side is filled
as long as there is room, at flat both sides are. What is paid, in USD:

    a second   1e-8 x 1/2 gamma(q) sigma_mode^2 q^2 + 1e-4 x drift_shape q
    a fill     1e-4 x extra_action Delta                 beyond what the usual ladder gives away
    settling   1e-4 x payment_funding q                  when the last phase of the clock ends
    a second   1e-4 x income add_usd_s                   where there is no room: what is not earned

The clock is a chain of exponential phases, the one before settlement the shortest. Money later is
discounted, so that the recursion contracts whatever the rates are. What the usual ladder earns is
no part of it: a flat maker earns that too, but for the side that has no room. Source: ours; Guo &
Hernandez-Lerma (2009) for discounted problems in continuous time.
"""

import enum
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE, REAL


BP = 1e4
LEVELS = 10
"""B; with flat there are 11 x 3 x 3 x 3 x 5 = 1,485 states."""


class Action(enum.IntEnum):
    """How the reducing side quotes, from patient to urgent."""

    LADDER = 0
    JOIN = 1
    IMPROVE = 2
    TAKE = 3


class Stance(enum.IntEnum):
    """What funding, or the expected move of V, does to whoever holds the inventory."""

    ADVERSE = 0
    NONE = 1
    FAVOURABLE = 2


class Problem(eqx.Module):
    """Rates and costs of one market and one account.

    A matrix of rates holds those of the jumps from its row to its column; its diagonal is ignored.

    **Attributes:**

    - `fill_usd_s`: notional that an action gets rid of in a second, by mode.
    - `extra_bp`: what a filled unit costs beyond a fill of the usual ladder, by `Action`.
    - `add_usd_s`: notional that the adding side is filled with in a second, by mode.
    - `income_bp`: what a unit of that is worth.
    - `sigma_bp`: volatility of each mode, bp per sqrt(s).
    - `gamma0`, `convexity`, `room_usd`: of the inventory cost, as in `RiskBudget`.
    - `drift_bp_s`: what V is expected to lose the holder in a second, by `Stance`.
    - `payment_bp`: what the holder pays at the settlement, by `Stance`.
    - `mode_rate`, `funding_rate`, `shape_rate`: of the jumps.
    - `phase_s`: mean length of each phase of the clock, the one before settlement first.
    - `discount_rate`: of money.
    """

    fill_usd_s: Float[Array, "actions modes"] = param(POSITIVE, unit="USD/s")
    extra_bp: Float[Array, "actions"] = param(REAL, unit="bp")
    add_usd_s: Float[Array, "modes"] = param(POSITIVE, unit="USD/s")
    income_bp: Float[Array, ""] = param(POSITIVE, unit="bp")
    sigma_bp: Float[Array, "modes"] = param(POSITIVE, unit="bp/s^0.5")
    gamma0: Float[Array, ""] = param(POSITIVE, unit="1/USD")
    convexity: Float[Array, ""] = param(POSITIVE)
    room_usd: Float[Array, ""] = param(POSITIVE, unit="USD")
    drift_bp_s: Float[Array, "shapes"] = param(REAL, unit="bp/s")
    payment_bp: Float[Array, "fundings"] = param(REAL, unit="bp")
    mode_rate: Float[Array, "modes modes"] = param(POSITIVE, unit="1/s")
    funding_rate: Float[Array, "fundings fundings"] = param(POSITIVE, unit="1/s")
    shape_rate: Float[Array, "shapes shapes"] = param(POSITIVE, unit="1/s")
    phase_s: Float[Array, "phases"] = param(POSITIVE, unit="s")
    discount_rate: Float[Array, ""] = param(POSITIVE, unit="1/s")

    @property
    def outside(self) -> tuple[int, int, int, int]:
        """How many modes, fundings, shapes and phases there are."""
        sized = (self.sigma_bp, self.payment_bp, self.drift_bp_s, self.phase_s)
        return tuple(x.shape[0] for x in sized)  # pyright: ignore[reportReturnType]


class Rates(eqx.Module):
    """The problem as the recursion reads it, everything but inventory in one axis `outside`.

    **Attributes:**

    - `fill`, `add`: levels of inventory a second, downwards (by action) and upwards; at flat both
      sides add, and nothing is above the last level.
    - `jumps`: off-diagonal rates between the states outside.
    - `mirror`: where each of those is as the other side of the inventory sees it.
    - `running`: cost of a second, USD, settlements at their rate included.
    - `extra`: cost of a fill, USD.
    - `discount`: rate of money.
    """

    fill: Float[Array, "actions levels outside"]
    add: Float[Array, "levels outside"]
    jumps: Float[Array, "outside outside"]
    mirror: Float[Array, "outside outside"]
    running: Float[Array, "levels outside"]
    extra: Float[Array, "actions"]
    discount: Float[Array, ""]


def rates(problem: Problem, levels: int = LEVELS) -> Rates:
    """Rates and costs of every state.

    Args:
        problem: of one market and one account.
        levels: B, into how many the room is divided.
    """
    modes, fundings, shapes, phases = problem.outside
    step = problem.room_usd / levels
    q = step * jnp.arange(levels + 1, dtype=step.dtype)
    of_mode = jnp.repeat(jnp.arange(modes), fundings * shapes * phases)
    add = jnp.tile(problem.add_usd_s[of_mode] / step, (levels + 1, 1)).at[0].mul(2.0)
    fill = jnp.tile((problem.fill_usd_s / step)[:, None, of_mode], (1, levels + 1, 1))
    aversion = problem.gamma0 * (1 + problem.convexity * (q / problem.room_usd) ** 2)
    risk = jnp.outer(aversion * q**2 / 2, (problem.sigma_bp[of_mode] / BP) ** 2)
    settling = jnp.zeros_like(problem.phase_s).at[0].set(1 / problem.phase_s[0])
    paid = jnp.outer(problem.payment_bp, settling)[:, None, :] + problem.drift_bp_s[None, :, None]
    paid = jnp.tile(jnp.ravel(paid), modes)
    lost = problem.income_bp / BP * problem.add_usd_s[of_mode]
    running = risk + jnp.outer(q, paid) / BP
    eye = lambda n: jnp.eye(n, dtype=step.dtype)
    flip = lambda n: eye(n)[::-1]
    kron = lambda *parts: ft.reduce(jnp.kron, parts)
    one = [eye(n) for n in problem.outside]
    chains = (
        _jumps(problem.mode_rate),
        _jumps(problem.funding_rate),
        _jumps(problem.shape_rate),
        _clock(problem.phase_s),
    )
    return Rates(
        fill=fill.at[:, 0].set(0.0),
        add=add.at[-1].set(0.0),
        jumps=sum(
            (kron(*one[:k], chain, *one[k + 1 :]) for k, chain in enumerate(chains)),
            start=jnp.zeros((), step.dtype),
        ),
        mirror=kron(one[0], flip(fundings), flip(shapes), one[3]),
        running=running.at[-1].add(lost),
        extra=problem.extra_bp / BP * step,
        discount=problem.discount_rate,
    )


def _jumps(rate: Float[Array, "n n"]) -> Float[Array, "n n"]:
    return rate * (1 - jnp.eye(rate.shape[0], dtype=rate.dtype))


def _clock(phase_s: Float[Array, "phases"]) -> Float[Array, "phases phases"]:
    """Each phase to the one nearer the settlement, the nearest to the farthest."""
    n = phase_s.shape[0]
    if n == 1:
        return jnp.zeros((1, 1), phase_s.dtype)
    return jnp.roll(jnp.eye(n, dtype=phase_s.dtype), -1, axis=1) / phase_s[:, None]
