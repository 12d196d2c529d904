"""Gueant, Lehalle & Fernandez-Tapia (2013): the exact CARA quoter on a grid of inventories.

    d_q = -k C(q) + k mu q,   C(q) = 1/2 gamma(q) sigma^2 q^2
    gamma(q) = gamma (1 + c (|q|/q_c)^2)
    eta = A (1 + gamma/k)^-(1 + k/gamma) on both off-diagonals,   a = b = log(1 + gamma/k)/gamma

and its closed form for an endless horizon, which the drift shifts by `mu/(gamma sigma^2)`:

    bid(q) = c1 + (2q + 1)/2 c2,   ask(q) = c1 - (2q - 1)/2 c2

Prices in the market's unit, time in its unit, one lot a fill. Source: the paper, eq. 3.10 and
section 4; the convex gamma is ours (`quant-reference.md` 11d), tested against the same ODE.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE, REAL

from . import grid
from .grid import Depths


class Params(eqx.Module):
    """The market as the policy sees it, and its taste.

    **Attributes:**

    - `rate`, `decay`: A and k of the fill rate `A exp(-k depth)`.
    - `sigma`: volatility, `drift`: mu.
    - `aversion`: gamma; `convexity`, `convexity_lots`: c and q_c of gamma(q).
    - `horizon`: T.
    """

    rate: Float[Array, ""] = param(POSITIVE, 1.0, unit="1/s")
    decay: Float[Array, ""] = param(POSITIVE, 1.0, unit="1/bp")
    sigma: Float[Array, ""] = param(POSITIVE, 1.0, unit="bp/s^0.5")
    drift: Float[Array, ""] = param(REAL, 0.0, unit="bp/s")
    aversion: Float[Array, ""] = param(POSITIVE, 0.01, unit="1/(bp lot)")
    convexity: Float[Array, ""] = param(REAL, 0.0)
    convexity_lots: Float[Array, ""] = param(POSITIVE, 10.0, unit="lot")
    horizon: Float[Array, ""] = param(POSITIVE, 600.0, unit="s")


def running_cost(p: Params, q: Float[Array, "*q"]) -> Float[Array, "*q"]:
    """`C(q)` a second; quotes feel its steps `C(q + 1) - C(q)`, never `q gamma(q) sigma^2`."""
    gamma = p.aversion * (1 + p.convexity * (q / p.convexity_lots) ** 2)
    return gamma * p.sigma**2 * q**2 / 2


def depths(p: Params, most_lots: int) -> Depths:
    """Exact quotes with the whole horizon to go.

    Args:
        p: market and taste.
        most_lots: Q; beyond it a side is withdrawn.
    """
    q = grid.inventories(most_lots, p.rate.dtype)
    diagonal = -p.decay * running_cost(p, q) + p.decay * p.drift * q
    eta = fill_weight(p)
    log_v = grid.log_value(diagonal, eta, eta, jnp.zeros_like(q), p.horizon)
    base = half_spread(p)
    return grid.depths(log_v, p.decay, base, base)


def closed_form(p: Params, q: Float[Array, "*q"]) -> Depths:
    """Quotes of an endless horizon without a limit on inventory, of a constant gamma."""
    skew = jnp.sqrt(p.sigma**2 * p.aversion / (2 * p.decay * fill_weight(p)))
    held = q - p.drift / (p.aversion * p.sigma**2)
    base = half_spread(p)
    return Depths(base + (2 * held + 1) / 2 * skew, base - (2 * held - 1) / 2 * skew)


def half_spread(p: Params) -> Float[Array, ""]:
    """`log(1 + gamma/k)/gamma`: 1/k where nothing is feared."""
    return jnp.log1p(p.aversion / p.decay) / p.aversion


def fill_weight(p: Params) -> Float[Array, ""]:
    """`A (1 + gamma/k)^-(1 + k/gamma)`, through logarithms: `A/e` where nothing is feared."""
    ratio = p.aversion / p.decay
    return p.rate * jnp.exp(-(1 + 1 / ratio) * jnp.log1p(ratio))
