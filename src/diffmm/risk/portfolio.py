"""Several instruments under one budget: who moves with whom, and what a position costs the others.

    Sigma_ij = rho_ij s_i s_j,  s_i^2 = sigma_i^2 T of each engine          bp^2
    C(q)  = 1e-8 x 1/2 gamma_0 q' Sigma q                                   USD
    c_i   = 1e-8 gamma_0 sum_{j != i} Sigma_ij q_j                          USD per USD
    x_i   = sum_{j != i} Sigma_ij q_j / Sigma_ii                            USD

Each engine prices its own variance itself; it is told x_i, from which it makes its linear cost
`c_i q` and its room under the joint Kelly ceiling `|q_i + x_i| <= S*_i`. That is where growth of
the joint bet stops rising in q_i, `(Sigma q)_i = c W mu_i`, so n equal bets of correlation rho come
to rest at `S* / (1 + (n - 1) rho)` each, and at rho = 1 are one bet. The ceiling counts positions
elsewhere, not orders that stand there: fills of two instruments between two wakes may exceed it.

rho comes from what the filters did not expect: changes of V less those predicted, on one clock, in
units of their predicted spread, Student-weighted (Lange, Little & Taylor 1989), an exponential mean
of outer products; then drawn to the crisis matrix of ones by the probability of a crisis. A missing
instrument keeps its variance and is correlated with none. Source: Kelly (1956), Merton (1969);
handing the budget out by x ours, tested against `kelly_equicorrelation`.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import numerics, param, POSITIVE, small, Stage


BP = 1e4


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `instruments`: K.
    """

    instruments: int

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(3)


class Params(eqx.Module):
    """How joint moves are read.

    **Attributes:**

    - `memory_s`: of the mean of outer products.
    - `clock_s`: between two looks at all instruments.
    - `tail`: degrees of freedom of the Student weights.
    """

    memory_s: Float[Array, ""] = param(POSITIVE, 600.0, unit="s")
    clock_s: Float[Array, ""] = param(POSITIVE, 5.0, unit="s")
    tail: Float[Array, ""] = param(POSITIVE, 5.0)


class State(eqx.Module):
    """Joint moves so far.

    **Attributes:**

    - `scatter`: mean outer product of standardised innovations; the identity before the first.
    - `count`: how many ticks it holds, one for the identity.
    """

    scatter: Float[Array, "k k"]
    count: Float[Array, ""]


class Innovations(eqx.Module):
    """One tick of the common clock.

    **Attributes:**

    - `bp`: V now less what was expected of it one tick ago.
    - `sd_bp`: the spread predicted then.
    - `is_valid`: whether the instrument was believed at both ends.
    """

    bp: Float[Array, "k"]
    sd_bp: Float[Array, "k"]
    is_valid: Bool[Array, "k"]


class Held(eqx.Module):
    """What the engines say of themselves.

    **Attributes:**

    - `position_usd`, `variance_bp2`, `kelly_usd`: of each one's `RiskBudget`.
    - `crisis`: probability of the crisis mode.
    - `is_valid`: false for an instrument without a book or a belief.
    - `gamma0`: of the account they share.
    """

    position_usd: Float[Array, "k"]
    variance_bp2: Float[Array, "k"]
    kelly_usd: Float[Array, "k"]
    crisis: Float[Array, "k"]
    is_valid: Bool[Array, "k"]
    gamma0: Float[Array, ""]


class Shared(eqx.Module):
    """The joint risk, and its prices back to each instrument.

    **Attributes:**

    - `correlation`: rho, crisis included.
    - `cov_bp2`: Sigma.
    - `cross_usd`: x, what goes into each one's `Account`.
    - `price_bp`: 1e4 c, what a dollar more of each costs beside the others' positions.
    - `most_usd`: the Kelly ceiling handed to each, `(short, long)`: q stays in `[-short, long]`.
    - `cost_usd`: C(q).
    - `risk_usd`: sqrt(q' Sigma q), the joint standard deviation over the holding horizon.
    - `apart_usd`: the same as if no two instruments were correlated.
    """

    correlation: Float[Array, "k k"]
    cov_bp2: Float[Array, "k k"]
    cross_usd: Float[Array, "k"]
    price_bp: Float[Array, "k"]
    most_usd: Float[Array, "k 2"]
    cost_usd: Float[Array, ""]
    risk_usd: Float[Array, ""]
    apart_usd: Float[Array, ""]


def init(params: Params, *, config: Config) -> State:
    """Nobody is known to move with anybody."""
    one = jnp.ones_like(params.memory_s)
    return State(jnp.eye(config.instruments, dtype=one.dtype), one)


def update(
    params: Params, state: State, inputs: Innovations, *, config: Config
) -> tuple[State, Float[Array, "k k"]]:
    """Fold one tick of the common clock; the state, and the correlations before any crisis."""
    del config
    known = inputs.is_valid & (inputs.sd_bp > 0)
    z = jnp.where(known, inputs.bp, 0.0) / jnp.where(known, inputs.sd_bp, 1.0)
    # Squares and their sums stay finite.
    top = jnp.finfo(z.dtype).max ** 0.25
    z = jnp.clip(z, -top, top)
    n = jnp.sum(known).astype(z.dtype)
    # A move is odd by what is known of joint moves: in a fall of all there is nothing odd.
    rho = jnp.where(known[:, None] & known[None, :] | _is_own(z), estimated(state), 0.0)
    own = jnp.clip(z / _spread(state), -top, top)
    odd = jnp.sum(small.solve_lower(small.cholesky(rho), own) ** 2)
    weight = (params.tail + n) / (params.tail + odd)
    # What is not seen is taken to be as it was expected to be: its correlations fade.
    fresh = weight * (z[:, None] * z[None, :]) + jnp.diag(jnp.where(known, 0.0, 1.0))
    # Every tick counts the same until there are as many as the memory holds.
    count = 1 + state.count * jnp.exp(-params.clock_s / params.memory_s)
    new = State(state.scatter + (fresh - state.scatter) / count, count)
    return new, estimated(new)


def estimated(state: State) -> Float[Array, "k k"]:
    """Correlations of the scatter, positive definite.

    They are drawn to none by one observation of no correlation among those that an exponential mean
    is worth (`2 count - 1`), which keeps the least eigenvalue off zero.
    """
    root = _spread(state)
    alone = jnp.maximum(1 / (2 * state.count), _edge(root))
    found = (1 - alone) * state.scatter / (root[:, None] * root[None, :])
    return jnp.where(_is_own(root), 1.0, found)


def correlation(
    found: Float[Array, "k k"],
    crisis: Float[Array, "k"],
    is_valid: Bool[Array, "k"],
) -> Float[Array, "k k"]:
    """Drawn to one by the crisis probability, and to none where an instrument is missing.

    Every filter has one opinion of one market's mode: the probability is their mean.
    """
    n = jnp.sum(is_valid).astype(crisis.dtype)
    votes = jnp.where(is_valid, crisis, 0.0)
    share = jnp.where(n > 0, jnp.sum(votes) / jnp.where(n > 0, n, 1.0), 0.0)
    drawn = (1 - share) * found + share * (1 - _edge(crisis))
    both = is_valid[:, None] & is_valid[None, :]
    return jnp.where(_is_own(crisis), 1.0, jnp.where(both, drawn, 0.0))


def share(state: State, held: Held) -> Shared:
    """Prices and ceilings of the moment."""
    rho = correlation(estimated(state), held.crisis, held.is_valid)
    sd = numerics.safe_sqrt(held.variance_bp2)
    cov = sd[:, None] * rho * sd[None, :]
    cross = cross_usd(cov, held.position_usd)
    risk = risk_usd(rho, sd, held.position_usd)
    return Shared(
        correlation=rho,
        cov_bp2=cov,
        cross_usd=cross,
        price_bp=BP * shadow_price(cov, held.position_usd, held.gamma0),
        most_usd=jnp.stack([held.kelly_usd + cross, held.kelly_usd - cross], axis=1),
        cost_usd=held.gamma0 * risk**2 / 2,
        risk_usd=risk,
        apart_usd=risk_usd(jnp.eye(len(sd), dtype=sd.dtype), sd, held.position_usd),
    )


def cross_usd(cov: Float[Array, "k k"], q: Float[Array, "k"]) -> Float[Array, "k"]:
    """`sum_{j != i} Sigma_ij q_j / Sigma_ii` in USD; none for what has no variance."""
    own = jnp.diagonal(cov)
    moves = own > 0
    return jnp.where(moves, _others(cov) @ q / jnp.where(moves, own, 1.0), 0.0)


def shadow_price(
    cov: Float[Array, "k k"], q: Float[Array, "k"], gamma0: Float[Array, ""]
) -> Float[Array, "k"]:
    """`1e-8 gamma_0 sum_{j != i} Sigma_ij q_j`, USD per USD; the own variance is not in it."""
    return gamma0 * (_others(cov) @ (q / BP)) / BP


def risk_usd(
    rho: Float[Array, "k k"], sd_bp: Float[Array, "k"], q: Float[Array, "k"]
) -> Float[Array, ""]:
    """`sqrt(q' Sigma q)` in USD, as the length of `L' q` with `Sigma = L L'`."""
    y = jnp.transpose(small.cholesky(rho)) @ (sd_bp * (q / BP))
    most = jnp.max(jnp.abs(y))
    scale = jnp.where(most > 0, most, 1.0)
    return scale * numerics.safe_sqrt(jnp.sum((y / scale) ** 2))


def budget_price(
    cov: Float[Array, "k k"], cap_dual_bp: Float[Array, "k side"]
) -> Float[Array, "k"]:
    """What a dollar more of each takes of the others' Kelly ceilings, at those ceilings' prices.

    Reported, never charged: the ceiling itself already bounds, and a bound is not paid for twice.

    Args:
        cov: Sigma.
        cap_dual_bp: price of the Kelly ceiling of each instrument and side, zero where it is free,
            in the unit of `Allocation.cap_dual_bp`.
    """
    own = jnp.diagonal(cov)
    moves = own > 0
    # A dollar of j is Sigma_ij / Sigma_ii dollars of i: less room for its bids, more for its asks.
    dual = jnp.where(moves, cap_dual_bp[:, 0] - cap_dual_bp[:, 1], 0.0)
    return _others(cov) @ (dual / jnp.where(moves, own, 1.0))


def _others(cov: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Without the diagonal."""
    return jnp.where(_is_own(cov), 0.0, cov)


def _is_own(of_each: Array) -> Bool[Array, "k k"]:
    """The diagonal."""
    return jnp.eye(of_each.shape[0], dtype=bool)


def _spread(state: State) -> Float[Array, "k"]:
    """Roots of the scatter's diagonal; one where nothing ever moves."""
    variance = jnp.diagonal(state.scatter)
    limits = jnp.finfo(variance.dtype)
    return jnp.sqrt(jnp.where(variance > limits.tiny / limits.eps, variance, 1.0))


def _edge(like: Array) -> float:
    """How near to singular a matrix of this precision still has a factor."""
    return float(jnp.finfo(like.dtype).eps ** 0.5)


def build(config: Config) -> Stage[Params, State, Innovations, Float[Array, "k k"]]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
