"""Sizes against Clarabel, an interior-point solver that takes the same programme as cones.

Own impact is a power cone per level, `t^(1/(1+b)) >= y`; inventory cost of both the quadratic and
the convex part is two second-order cones, `u >= r^2` and `v >= u^2`. Both are exact, so the two
programmes have one optimum, and Clarabel's dual bounds it from above.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

from diffmm import allocation
from programmes import BP, caps, decide, inputs, M, problem, SIGN, value


clarabel = pytest.importorskip("clarabel", reason="clarabel is in the extra `test`")

POWERS = (0.5, 1.0, 1.5)
MANY, FEW = 1000, 24
CLOSE = 1e-6
LEVELS = 2 * M


def drawn(seed):
    """A random problem; three in four have one of the usual powers, the others any."""
    x = problem(10_000 + seed)
    if seed % 4 < len(POWERS):
        x["power"] = POWERS[seed % 4]
    return x


def scale_of(x):
    """USD of the best level at the size of the room, the unit of the judge's objective."""
    return max(np.max(x["fill"] * np.maximum(x["net"], 0.01)) * x["room"] / BP, 1e-9)


def judged(x):
    """Sizes in USD, a bound from above on the objective in USD, and whether Clarabel is sure.

    Variables by level are the size y in rooms, t, and u, v of the inventory after it.
    """
    unit, scale = x["room"], scale_of(x)
    y, t, u, v = (k * LEVELS + np.arange(LEVELS) for k in range(4))
    fill = x["fill"].ravel()
    sweep = (x["fill"] - np.concatenate([x["fill"][:, 1:], np.zeros((2, 1))], axis=1)).ravel()
    new = np.ones((2, M))
    new[:, 2] = ~x["held"]
    impact = x["impact"] * (unit / (x["depth"] + 1).ravel()) ** x["power"]
    held = np.repeat(-SIGN * x["q"] / unit, M)
    risk = x["gamma0"] * x["variance"] / BP**2 * unit**2 / 2
    cost = np.zeros(4 * LEVELS)
    cost[y] = -fill * x["net"].ravel() * unit / BP + x["message"] * new.ravel() * unit / x["size"]
    cost[t] = fill * impact * unit / BP
    cost[u], cost[v] = sweep * risk, sweep * risk * x["convexity"]
    rows, right, cones = [], [], []

    def add(block, values, cone):
        rows.append(sparse.csc_matrix(block))
        right.append(np.atleast_1d(values))
        cones.append(cone)

    one = sparse.identity(4 * LEVELS, format="csr")
    up_to = np.kron(np.eye(2), np.tril(np.ones((M, M))))
    sides = np.kron(np.eye(2), np.ones(M))
    linear = sparse.csr_matrix((3, 4 * LEVELS)).tolil()
    linear[0, y] = x["gamma"].ravel() * unit / BP / x["limit"]
    linear[1:, y] = sides
    add(
        sparse.vstack([-one[y], linear]),
        np.concatenate([np.zeros(LEVELS), [1.0], caps(x) / unit]),
        clarabel.NonnegativeConeT(LEVELS + 3),
    )
    for i in range(LEVELS):
        add(
            sparse.vstack([-one[t[i]], 0 * one[0], -one[y[i]]]),
            np.array([0.0, 1.0, 0.0]),
            clarabel.PowerConeT(1 / (1 + x["power"])),
        )
        # |(2 r, u - 1)| <= u + 1 says r^2 <= u.
        inventory = sparse.csr_matrix((1, 4 * LEVELS)).tolil()
        inventory[0, y] = -2 * up_to[i]
        square = lambda big, root: sparse.vstack([-one[big], root, -one[big]])
        add(
            square(u[i], inventory),
            np.array([1.0, 2 * held[i], -1.0]),
            clarabel.SecondOrderConeT(3),
        )
        add(square(v[i], -2 * one[u[i]]), np.array([1.0, 0.0, -1.0]), clarabel.SecondOrderConeT(3))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = 1e-11
    settings.tol_feas = 1e-11
    found = clarabel.DefaultSolver(
        sparse.csc_matrix((4 * LEVELS, 4 * LEVELS)),
        cost / scale,
        sparse.vstack(rows, format="csc"),
        np.concatenate(right),
        cones,
        settings,
    ).solve()
    base = risk * np.sum(sweep * (held**2 + x["convexity"] * held**4))
    n = np.maximum(np.array(found.x)[y], 0.0).reshape(2, M) * unit
    # What it oversteps a limit by is taken back before values are compared.
    n *= np.minimum(1, caps(x) / np.maximum(n.sum(axis=1), 1e-30))[:, None]
    n *= min(1.0, x["limit"] / max(np.sum(n * x["gamma"]) / BP, 1e-30))
    return n, base - found.obj_val_dual * scale, str(found.status) == "Solved"


def kkt_residual(x, n, cap_dual_bp, gamma_dual):
    """Largest violation of the optimality conditions.

    Of a level it is how far its size in rooms would move if its net worth of one more unit, as a
    share of the best level's, were added to it; of a limit its price times what is unused of it.
    A side without room has no size and no condition.
    """
    reduced = BP * value(x, n)[1] - gamma_dual * x["gamma"] - cap_dual_bp[:, None]
    unit, has_room = BP * scale_of(x) / x["room"], caps(x) > 0
    y = n / x["room"]
    stationary = np.abs(y - np.maximum(y + reduced / unit, 0.0))[has_room]
    slack = 1 - np.sum(n * x["gamma"]) / BP / x["limit"]
    spare = 1 - n.sum(axis=1)[has_room] / caps(x)[has_room]
    unused = [gamma_dual * np.max(x["gamma"]) * slack, *(cap_dual_bp[has_room] * spare)]
    return max(stationary.max(), np.max(np.abs(unused)) / unit)


@functools.cache
def compiled():
    return jax.jit(jax.vmap(decide))


def ours(problems):
    """Every problem's allocation by the public stage, in double precision."""
    with jax.enable_x64(True):
        given = [inputs(x, jnp.float64) for x in problems]
        event, budget, surface = jax.tree.map(lambda *leaves: np.stack(leaves), *given)
        params = allocation.Params(jnp.asarray([x["message"] for x in problems], jnp.float64))
        return compiled()(params, event, budget, surface)


def compared(problems):
    """By problem: loss against Clarabel's sizes and against its bound, KKT residual, overstepping.

    Losses are shares of the optimum, or of a millionth of the room's worth where it is less.
    """
    out = ours(problems)
    sizes, cap_dual, gamma_dual = (
        np.asarray(v, float) for v in (out.size_usd, out.cap_dual_bp, out.gamma_dual)
    )
    assert np.isfinite(sizes).all()
    assert (sizes >= 0).all()
    rows = []
    for x, n, cap, gamma in zip(problems, sizes, cap_dual, gamma_dual, strict=True):
        theirs, bound, is_solved = judged(x)
        got, best = value(x, n)[0], value(x, theirs)[0]
        unit = max(abs(best), 1e-6 * scale_of(x))
        over = max(
            np.sum(n * x["gamma"]) / BP / x["limit"] - 1,
            np.max(n.sum(axis=1) - caps(x)) / x["room"],
        )
        above = (got - bound) / unit if is_solved else 0.0
        rows.append(((best - got) / unit, above, kkt_residual(x, n, cap, gamma), over))
    return np.array(rows)


def told(rows):
    loss, above, kkt, over = rows.T
    print(
        f"{len(rows)} problems: largest loss {loss.max():.1e}, above the bound {above.max():.1e}, "
        f"KKT residual median {np.median(kkt):.1e}, 99 % {np.quantile(kkt, 0.99):.1e}, "
        f"largest {kkt.max():.1e}, largest overstepping {over.max():.1e}"
    )


@pytest.mark.parametrize("many", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_sizes_are_within_a_millionth_of_clarabel_s_and_never_infeasible(many):
    rows = compared([drawn(seed) for seed in range(many)])
    told(rows)
    loss, above, kkt, over = rows.T
    assert np.flatnonzero(loss > CLOSE).tolist() == []
    # Nor are they worth more than can be: the two solve the same programme.
    assert np.flatnonzero(above > CLOSE).tolist() == []
    assert over.max() <= 4 * np.finfo(float).eps
    assert np.quantile(kkt, 0.99) <= 1e-3
