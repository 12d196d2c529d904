"""The reference policies of a comparison, fitted on the part of a market before the one scored.

Exact Gueant-Lehalle-Fernandez-Tapia, Avellaneda-Stoikov, Cartea-Jaimungal-Penalva, a fixed spread
(GLFT's own, without its skew) and joining the touch; all with our wealth, room and gamma(q), and
all as tables of depths by inventory, so that one stage runs them side by side. A and k are those of
*our* fills: a complementary log-log regression of whether probe quotes were filled on their depth,

    P(filled within tau) = 1 - exp(-A exp(-k depth) tau)

so latency and queues are in them, and the references are as good as the data allow. Source: the
papers named in each module; McCullagh & Nelder (1989), 2.5, for the regression.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffmm.core import defaults

from . import avellaneda_stoikov, cartea_jaimungal, glft
from .grid import Depths


STEPS = 50
"""Newton steps of the regression; it converges in about ten."""
BP = 1e4


@dataclasses.dataclass(frozen=True)
class Market:
    """What the policies know of a market.

    **Attributes:**

    - `rate`, `decay`: A, 1/s a side, and k, 1/bp.
    - `sigma_bp`: volatility, bp per sqrt(s).
    - `move_bp`: by which a taker's order moves the mid.
    """

    rate: float
    decay: float
    sigma_bp: float
    move_bp: float


@dataclasses.dataclass(frozen=True)
class Taste:
    """What a policy wants; the same for all.

    **Attributes:**

    - `size_usd`: of each quote, one lot of the papers.
    - `most_lots`: room in such lots.
    - `gamma0`: absolute risk aversion, 1/USD; `convexity`: of gamma(q), at the room.
    - `holding_s`: horizon of Avellaneda-Stoikov; the others look `horizon_s` ahead, where their
      quotes no longer depend on it.
    """

    size_usd: float
    most_lots: int
    gamma0: float
    convexity: float
    holding_s: float = 60.0
    horizon_s: float = 600.0


class Table(NamedTuple):
    """Depths by inventory, from the mid, or beyond the touch."""

    depths: Depths
    is_from_touch: bool


def fill_rate(depth_bp: np.ndarray, is_filled: np.ndarray, life_s: float) -> tuple[float, float]:
    """A and k by maximum likelihood.

    Args:
        depth_bp: of each probe from the mid.
        is_filled: 1 where it was filled.
        life_s: how long it stood.

    Raises:
        ValueError: when the probes do not tell a rate that falls with depth.
    """
    if not 0 < is_filled.sum() < len(is_filled) or np.ptp(depth_bp) == 0:
        raise ValueError(
            f"{int(is_filled.sum())} of {len(is_filled)} probes were filled before --from; A and k "
            "need some of each at several depths. Give a later --from or a longer tape"
        )
    scale = float(depth_bp.std())
    x = np.stack([np.ones_like(depth_bp), depth_bp / scale], axis=1)
    b = np.array([np.log(-np.log1p(-is_filled.mean())), 0.0])
    for _ in range(STEPS):
        hazard = np.exp(np.clip(x @ b, -30.0, 3.0))
        p = -np.expm1(-hazard)
        # Score and Fisher information of a Bernoulli whose log hazard is linear.
        score = x.T @ (hazard * (1 - p) * (is_filled - p) / (p * (1 - p)))
        information = (x * (hazard**2 * (1 - p) / p)[:, None]).T @ x
        step = np.linalg.solve(information + 1e-9 * np.eye(2), score)
        b += np.clip(step, -1.0, 1.0)
    rate, decay = float(np.exp(b[0]) / life_s), float(-b[1] / scale)
    if not (np.isfinite(rate) and decay > 0):
        raise ValueError(f"fills fall with depth at k = {decay:g} per bp, expected above 0")
    return rate, decay


def tables(market: Market, taste: Taste) -> dict[str, Table]:
    """Every policy by name."""
    f = lambda x: jnp.asarray(x, jnp.float64)
    lot_aversion = taste.gamma0 * taste.size_usd / BP
    with jax.enable_x64(True):
        base = dataclasses.replace(
            defaults(glft.Params),
            rate=f(market.rate),
            decay=f(market.decay),
            sigma=f(market.sigma_bp),
            drift=f(0.0),
            aversion=f(lot_aversion),
            convexity=f(taste.convexity),
            convexity_lots=f(taste.most_lots),
            horizon=f(taste.horizon_s),
        )
        running = lot_aversion * market.sigma_bp**2 / 2
        takers = dataclasses.replace(
            defaults(cartea_jaimungal.Params),
            rate=f([market.rate] * 2),
            decay=f(market.decay),
            move=f([max(market.move_bp, 0.0)] * 2),
            running=f(running),
            terminal=f(running),
            horizon=f(taste.horizon_s),
        )
        short = dataclasses.replace(base, horizon=f(taste.holding_s))
        q = taste.most_lots
        half = float(glft.half_spread(base))
        found = {
            "glft": glft.depths(base, q),
            "avellaneda_stoikov": avellaneda_stoikov.depths(short, q),
            "cartea_jaimungal": cartea_jaimungal.depths(takers, q),
        }
        out = {k: Table(Depths(*map(np.asarray, x)), False) for k, x in found.items()}
    out["fixed_spread"] = Table(_flat(half, q), False)
    out["join_touch"] = Table(_flat(0.0, q), True)
    return out


def _flat(depth_bp: float, most_lots: int) -> Depths:
    """One depth at every inventory; the side that would pass the room is withdrawn."""
    bid = np.full(2 * most_lots + 1, depth_bp)
    ask = bid.copy()
    bid[-1] = ask[0] = np.inf
    return Depths(bid, ask)
