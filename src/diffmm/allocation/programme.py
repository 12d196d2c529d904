"""The concave programme of sizes, solved by a primal-dual interior point method.

    max  sum_i P_i [e_i y_i - h_i y_i^(1+b)] - sum_i m y_i - sum_i w_i K(N_i)
    s.t. g . y <= G,   N_M <= cap (each side),   y >= 0

with `N` cumulative from the inside out, `w_i = P_i - P_(i+1) >= 0` and `K` convex. In cumulative
coordinates the Hessian is tridiagonal, so a Newton step costs `log2 M` vector operations; the
Gamma row is one rank. Level `i` has barrier weight `P_i`: fill probabilities span many decades, and
so the path is central in bp for each level. Source: Wright (1997) for the method; structure ours.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE

from . import tridiagonal


class Params(eqx.Module):
    """Numerical choices of the solver; none of them moves the optimum."""

    shrink: Float[Array, ""] = param(POSITIVE, 0.35, trainable=False)
    boundary: Float[Array, ""] = param(POSITIVE, 0.95, trainable=False)
    start: Float[Array, ""] = param(POSITIVE, 0.1, trainable=False)


class Programme(eqx.Module):
    """Data of one programme, sizes in units of `unit_usd`, values in bp times that unit.

    **Attributes:**

    - `fill`: P_i, above zero, not increasing outwards.
    - `edge`: e_i in bp, bounded below.
    - `impact`: h_i in bp at unit size.
    - `power`: b > 0.
    - `message`: m in bp.
    - `sweep`: w_i.
    - `slope`, `bend`: `K'(N) = slope + bend N + cubic N^2 ...` is asked through `marginal`.
    - `gamma`: g_i in bp.
    - `gamma_limit`: G in bp units.
    - `cap`: largest N_M of each side.
    """

    fill: Float[Array, "side levels"]
    edge: Float[Array, "side levels"]
    impact: Float[Array, "side levels"]
    power: Float[Array, ""]
    message: Float[Array, "side levels"]
    sweep: Float[Array, "side levels"]
    cubic: Float[Array, "side 4"]
    gamma: Float[Array, "side levels"]
    gamma_limit: Float[Array, ""]
    cap: Float[Array, "side 1"]


class Point(eqx.Module):
    """Sizes, slacks and duals.

    The slacks are variables of their own that move with the sizes: computed as a difference they
    would lose all their digits in float32 when a limit binds.
    """

    y: Float[Array, "side levels"]
    slack: Float[Array, ""]
    room: Float[Array, "side 1"]
    zeta: Float[Array, "side levels"]
    gamma: Float[Array, ""]
    cap: Float[Array, "side 1"]


def solve(params: Params, p: Programme, iterations: int) -> Point:
    """The optimum, feasible to the last bit, with implicit gradients.

    Differentiation goes through one Newton step at the solution, whose Jacobian is the implicit
    function theorem's; nothing is differentiated through the iterations.
    """
    frozen = jax.lax.stop_gradient(p)
    best = jnp.maximum(jnp.max(frozen.edge), jnp.finfo(p.edge.dtype).eps)
    start = _start(params, frozen, best)
    smallest = best * jnp.finfo(p.edge.dtype).eps

    def iteration(k: int, carry: tuple[Point, Array]) -> tuple[Point, Array]:
        del k
        point, barrier = carry
        barrier = jnp.maximum(barrier * params.shrink, smallest)
        return _step(params, frozen, point, barrier), barrier

    point, barrier = jax.lax.fori_loop(0, iterations, iteration, (start, best))
    point, barrier = jax.lax.stop_gradient((point, barrier))
    moved = dataclasses.replace(
        point,
        slack=point.slack
        + p.gamma_limit
        - frozen.gamma_limit
        - jnp.sum((p.gamma - frozen.gamma) * point.y),
        room=point.room + p.cap - frozen.cap,
    )
    dy = _newton(p, moved, barrier, frozen)
    y = jnp.maximum(point.y + dy - jax.lax.stop_gradient(dy), 0.0)
    y = y * jnp.minimum(p.cap / jnp.maximum(jnp.sum(y, axis=1, keepdims=True), p.cap), 1.0)
    used = jnp.sum(p.gamma * y)
    y = y * (p.gamma_limit / jnp.maximum(used, p.gamma_limit))
    return dataclasses.replace(point, y=y)


def marginal(p: Programme, n: Float[Array, "side levels"]) -> tuple[Array, Array]:
    """`K'(N)` and `K''(N)` in bp: a cubic in N, since gamma(q) is quadratic."""
    c = p.cubic[:, :, None]
    first = c[:, 0] + n * (c[:, 1] + n * (c[:, 2] + n * c[:, 3]))
    second = c[:, 1] + n * (2 * c[:, 2] + 3 * n * c[:, 3])
    return first, second


def objective(p: Programme, y: Float[Array, "side levels"]) -> Float[Array, ""]:
    """The value maximised, for tests against a general solver."""
    n = jnp.cumsum(y, axis=1)
    c = p.cubic[:, :, None]
    cost = n * (c[:, 0] + n * (c[:, 1] / 2 + n * (c[:, 2] / 3 + n * c[:, 3] / 4)))
    gain = p.fill * (p.edge * y - p.impact * y ** (1 + p.power)) - p.message * y
    return jnp.sum(gain - p.sweep * cost)


def _start(params: Params, p: Programme, best: Float[Array, ""]) -> Point:
    share = params.start / p.gamma.shape[1]
    most = jnp.minimum(p.cap, p.gamma_limit / jnp.sum(p.gamma))
    y = share * most * jnp.ones_like(p.gamma)
    slack = p.gamma_limit - jnp.sum(p.gamma * y)
    room = p.cap - jnp.sum(y, axis=1, keepdims=True)
    return Point(y, slack, room, best / y, best / slack, best / room)


def _newton(
    p: Programme, at: Point, barrier: Float[Array, ""], frozen: Programme
) -> Float[Array, "side levels"]:
    """Newton direction of the sizes; the matrix is frozen, the residual carries gradients."""
    y = at.y
    cumulative = jnp.cumsum(y, axis=1)
    first, _ = marginal(p, cumulative)
    _, second = marginal(frozen, cumulative)
    deeper = lambda x: jnp.flip(jnp.cumsum(jnp.flip(x, axis=-1), axis=-1), axis=-1)
    power = y**p.power
    residual = (
        p.fill * (p.edge - (1 + p.power) * p.impact * power + barrier / y)
        - p.message
        - deeper(p.sweep * first)
        - barrier / at.room
        - barrier / at.slack * p.gamma
    )
    curve = (1 + frozen.power) * frozen.power * frozen.impact * power / y
    stiff = frozen.fill * (curve + at.zeta / y)
    weight = frozen.sweep * jnp.maximum(second, 0.0)
    rhs = jnp.stack([residual, jnp.broadcast_to(frozen.gamma, y.shape)])
    # An empty level is so stiff that its row would drown the others in rounding. It is only glue
    # between its neighbours, so a bounded stiffness with the same displacement serves as well.
    most = jnp.sum(weight) + jnp.max(frozen.fill * (frozen.impact + frozen.edge))
    glue = jnp.minimum(stiff, most * jnp.finfo(y.dtype).eps ** (-3 / 5))
    weight = weight.at[:, -1:].add(at.cap / jax.lax.stop_gradient(at.room))
    push = rhs * (glue / stiff)[None]
    following = jnp.concatenate([glue[:, 1:], jnp.zeros_like(glue[:, :1])], axis=1)
    after = jnp.concatenate([push[..., 1:], jnp.zeros_like(push[..., :1])], axis=-1)
    moved = tridiagonal.solve(glue + following + weight, -glue, push - after)
    delta = (rhs - deeper(weight[None] * moved)) / stiff[None]
    rank = at.gamma / jax.lax.stop_gradient(at.slack)
    along = jnp.sum(frozen.gamma * delta[0]) / (1 + rank * jnp.sum(frozen.gamma * delta[1]))
    return delta[0] - rank * along * delta[1]


def _step(params: Params, p: Programme, at: Point, barrier: Float[Array, ""]) -> Point:
    """One step towards the central point of this barrier."""
    dy = _newton(p, at, barrier, p)
    d_slack = -jnp.sum(p.gamma * dy)
    d_room = -jnp.sum(dy, axis=1, keepdims=True)
    d_zeta = (barrier - at.zeta * (at.y + dy)) / at.y
    d_gamma = (barrier - at.gamma * (at.slack + d_slack)) / at.slack
    d_cap = (barrier - at.cap * (at.room + d_room)) / at.room
    keep = lambda x, dx: jnp.min(jnp.where(dx < 0, -params.boundary * x / dx, 1.0))
    least = lambda a, b, c: jnp.minimum(jnp.minimum(a, b), jnp.minimum(c, 1.0))
    primal = least(keep(at.y, dy), keep(at.slack, d_slack), keep(at.room, d_room))
    dual = least(keep(at.zeta, d_zeta), keep(at.gamma, d_gamma), keep(at.cap, d_cap))
    return Point(
        at.y + primal * dy,
        at.slack + primal * d_slack,
        at.room + primal * d_room,
        at.zeta + dual * d_zeta,
        at.gamma + dual * d_gamma,
        at.cap + dual * d_cap,
    )
