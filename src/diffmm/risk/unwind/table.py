"""What the unwind policy says at a wake: two tables, read by interpolation, and one term of it.

The tables are an input of the engine, solved outside and refreshed like any parameter: the marginal
value `J'` of being rid of one unit, and the expected time to flat, by (inventory, mode, funding,
shape, phase), the side folded away. Inventory is interpolated in `q^2` between levels, so that the
term leaves flat without a kink; funding, shape and settlement
time linearly; modes are averaged by their probabilities.

**Every cost once.** `J'` contains risk, drift and funding from now until flat, and the engine's own
reducing side has the same three over the holding horizon T already. So the term is what is left,

    saving = max(J'(q) - C'(|q|) - (carry over T)+ - (adverse drift over T)+, 0)     USD per USD

and the reducing side feels the larger of the two, never their sum. A carry that is received and a
favourable drift stay where they are, in the edge. As inventory is sold the term falls to zero at
flat: being rid of N of |q| saves `saving (N - N^2 / (2 |q|))`. Source: ours; the tests state it.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE

from . import value
from .problem import BP, Problem, rates, Stance


class Params(eqx.Module):
    """The tables and the scales of their axes; all solved, none trained.

    **Attributes:**

    - `marginal_bp`: `J'` at the levels of inventory, `q = room x (1 .. B) / B`; rising with it.
    - `flat_s`: expected time to flat there.
    - `payment_bp`: hourly funding at which the state of it is wholly adverse or favourable.
    - `drift_bp`: expected move of V over the holding horizon at which the shape is.
    - `clock_s`: settlement times that the phases stand for, rising.
    """

    marginal_bp: Float[Array, "levels modes fundings shapes phases"] = param(
        POSITIVE, unit="bp", trainable=False
    )
    flat_s: Float[Array, "levels modes fundings shapes phases"] = param(
        POSITIVE, unit="s", trainable=False
    )
    payment_bp: Float[Array, ""] = param(POSITIVE, unit="bp", trainable=False)
    drift_bp: Float[Array, ""] = param(POSITIVE, unit="bp", trainable=False)
    clock_s: Float[Array, " phases"] = param(POSITIVE, unit="s", trainable=False)


class Charged(NamedTuple):
    """What the engine charges for holding one more unit over T, USD per USD; signed as long pays.

    **Attributes:**

    - `marginal`: `C'(q)`.
    - `carry`: funding.
    - `fall`: expected fall of V.
    """

    marginal: Float[Array, ""]
    carry: Float[Array, ""]
    fall: Float[Array, ""]


class Unwind(eqx.Module):
    """What the policy adds to the reducing side.

    **Attributes:**

    - `saving`: value of being rid of one unit beyond what is charged already, USD per USD, >= 0.
    - `slope`: how fast it falls with what is sold, `saving / |q|`, 1/USD.
    - `marginal`: `J'(q)`, USD per USD.
    - `flat_s`: expected time to flat.
    """

    saving: Float[Array, ""]
    slope: Float[Array, ""]
    marginal: Float[Array, ""]
    flat_s: Float[Array, ""]


def tables(problem: Problem) -> Params:
    """Solve a problem; the dtype is the problem's.

    Raises:
        ValueError: where the sweeps did not end at a solution.
    """
    r = rates(problem)
    found = value.solve(r)
    flat = value.time_to_flat(r, value.greedy(r, found.value))
    close = value.CLOSE * jnp.finfo(found.value.dtype).eps
    for name, one in (("value", found), ("time to flat", flat)):
        if not float(one.residual) <= close:
            raise ValueError(
                f"unwind: {name} changes by {float(one.residual):.2g} after {int(one.sweeps)} "
                f"sweeps, expected at most {close:.2g}; are all rates finite and above zero?"
            )
    apart = lambda x: jnp.reshape(x, (-1, *problem.outside))
    return Params(
        marginal_bp=apart(marginal_bp(problem, found.value)),
        flat_s=apart(flat.value[1:]),
        payment_bp=problem.payment_bp[Stance.ADVERSE],
        drift_bp=drift_bp(problem),
        clock_s=jnp.cumsum(problem.phase_s),
    )


def marginal_bp(
    problem: Problem, cost_usd: Float[Array, "levels outside"]
) -> Float[Array, "lower outside"]:
    """`J'` by differences from each level down; what holding would earn counts as nothing.

    The running maximum says that a unit of a larger inventory is worth no less to be rid of. The
    value is convex without it as long as one action is the best; where a more urgent one takes
    over, it may bend the other way a little.
    """
    step = problem.room_usd / (cost_usd.shape[0] - 1)
    rising = jax.lax.cummax(BP * jnp.diff(cost_usd, axis=0) / step, axis=0)
    return jnp.maximum(rising, jnp.finfo(rising.dtype).eps)


def drift_bp(problem: Problem) -> Float[Array, ""]:
    """What the adverse shape is expected to cost a unit until it ends."""
    leave = problem.shape_rate[Stance.ADVERSE]
    return problem.drift_bp_s[Stance.ADVERSE] / (jnp.sum(leave) - leave[Stance.ADVERSE])


def read(
    params: Params,
    position_usd: Float[Array, ""],
    room_usd: Float[Array, ""],
    log_mode: Float[Array, " modes"],
    rate_1h: Float[Array, ""],
    settlement_s: Float[Array, ""],
    charged: Charged,
) -> Unwind:
    """The policy at one wake.

    Args:
        params: the tables.
        position_usd: q.
        room_usd: q_max; beyond it the last level counts.
        log_mode: log probabilities of the modes.
        rate_1h: hourly funding that a long pays, a fraction; 0 where there is no context.
        settlement_s: time to the next settlement.
        charged: what the engine charges already.
    """
    sign = jnp.where(position_usd < 0, -1.0, 1.0).astype(position_usd.dtype)
    stances = (
        jnp.exp(log_mode),
        _stance(sign * rate_1h * BP / params.payment_bp),
        _stance(sign * charged.fall * BP / params.drift_bp),
        _hats(settlement_s, params.clock_s),
    )
    low, high, weights = _levels(params, position_usd / room_usd)
    modes = log_mode.shape[0]

    def at(table: Array) -> Array:
        pick = lambda i: jax.lax.dynamic_index_in_dim(table, i, keepdims=False)[:modes]
        found = weights[0] * pick(low) + weights[1] * pick(high)
        for weight in reversed(stances):
            found = jnp.sum(found * jnp.broadcast_to(weight, found.shape), axis=-1)
        return found

    marginal = at(params.marginal_bp) / BP
    paid = jnp.maximum(sign * charged.carry, 0.0) + jnp.maximum(sign * charged.fall, 0.0)
    saving = jnp.maximum(marginal - sign * charged.marginal - paid, 0.0)
    size = jnp.abs(position_usd)
    slope = jnp.where(size > 0, saving / jnp.where(size > 0, size, 1.0), 0.0)
    return Unwind(saving, slope, marginal, at(params.flat_s))


def _levels(
    params: Params, used: Float[Array, ""]
) -> tuple[Array, Array, tuple[Float[Array, ""], Float[Array, ""]]]:
    """Rows on both sides of an inventory and their weights, linear in its square; flat is 0."""
    levels = params.marginal_bp.shape[0]
    square = jnp.minimum(used**2, 1.0) * levels**2
    floor = jnp.floor(jnp.minimum(jnp.abs(used) * levels, levels - 1))
    floor = jax.lax.stop_gradient(floor)
    share = (square - floor**2) / (2 * floor + 1)
    high = floor.astype(jnp.int32)
    return jnp.maximum(high - 1, 0), high, (jnp.where(floor > 0, 1 - share, 0.0), share)


def _stance(adverse: Float[Array, ""]) -> Float[Array, "3"]:
    """Weights of adverse, none, favourable."""
    u = jnp.clip(adverse, -1.0, 1.0)
    return jnp.stack([jnp.maximum(u, 0.0), 1 - jnp.abs(u), jnp.maximum(-u, 0.0)])


def _hats(x: Float[Array, ""], nodes: Float[Array, " n"]) -> Float[Array, " n"]:
    """Weights of linear interpolation, beyond the ends as at them."""
    width = nodes[1:] - nodes[:-1]
    reached = jnp.clip((x - nodes[:-1]) / width, 0.0, 1.0)
    ends = jnp.ones_like(nodes[:1])
    return jnp.concatenate([ends, reached]) - jnp.concatenate([reached, 0 * ends])
