"""Cartea, Jaimungal & Penalva (2015), chapter 10: quotes where takers' orders move the mid.

Buyers come at rate l+ and lift the mid by e+ whether or not they fill us, sellers by -e-. With a
running penalty phi q^2 and a terminal one alpha q^2:

    d_q = k q (e+ l+ - e- l-) - phi k q^2,   v(T) = exp(-alpha k q^2)
    q -> q - 1: l+ exp(-1 - k e+),   q -> q + 1: l- exp(-1 - k e-)
    ask(q) = 1/k + e+ + h(q) - h(q - 1),   bid(q) = 1/k + e- + h(q) - h(q + 1),   h = log v / k

so the adverse move stands in the half spread one for one.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE

from . import grid
from .grid import Depths


class Params(eqx.Module):
    """The market as the policy sees it, and its taste.

    **Attributes:**

    - `rate`: l- and l+, sellers and buyers; `decay`: k.
    - `move`: e- and e+, by which a taker's order moves the mid.
    - `running`, `terminal`: phi and alpha.
    - `horizon`: T.
    """

    rate: Float[Array, "side"] = param(POSITIVE, (1.0, 1.0), unit="1/s")
    decay: Float[Array, ""] = param(POSITIVE, 1.0, unit="1/bp")
    move: Float[Array, "side"] = param(POSITIVE, (0.1, 0.1), unit="bp")
    running: Float[Array, ""] = param(POSITIVE, 1e-3, unit="bp/(lot^2 s)")
    terminal: Float[Array, ""] = param(POSITIVE, 1e-2, unit="bp/lot^2")
    horizon: Float[Array, ""] = param(POSITIVE, 60.0, unit="s")


def depths(p: Params, most_lots: int) -> Depths:
    """Exact quotes with the whole horizon to go; beyond `most_lots` a side is withdrawn."""
    log_v = value(p, most_lots)
    base = 1 / p.decay + p.move
    return grid.depths(log_v, p.decay, base[0], base[1])


def value(p: Params, most_lots: int) -> Float[Array, "inventories"]:
    """`k h(q)` up to a constant."""
    q = grid.inventories(most_lots, p.decay.dtype)
    pull = p.move[1] * p.rate[1] - p.move[0] * p.rate[0]
    diagonal = p.decay * q * pull - p.running * p.decay * q**2
    weight = p.rate * jnp.exp(-1 - p.decay * p.move)
    terminal = -p.terminal * p.decay * q**2
    return grid.log_value(diagonal, weight[1], weight[0], terminal, p.horizon)
