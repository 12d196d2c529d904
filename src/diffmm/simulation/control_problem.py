"""Two control problems whose gradient through fills is known exactly: anchors of every estimator.

`two_step` is the smallest in which a fill changes what the next one is worth. `AvellanedaStoikov`
is the market of Avellaneda & Stoikov (2008), section 3: each of N steps of dt fills a quote at
distance d with probability `A exp(-k d) dt`, the mid then moves by `sigma sqrt(dt)` up or down.
Prices in the market's currency, time in its unit (a day in the article), one unit a fill.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .soft_fills import log_odds, Play


@dataclasses.dataclass(frozen=True)
class TwoStep:
    """Two quotes one after the other, and a cost of what was filled that is not linear.

    `U = sum f_i (d - c) - phi (f_1 + f_2)^2` with `p = exp(-k d)`; theta is the distance d.
    """

    k: float = 1.5
    cost: float = 0.1
    aversion: float = 0.2

    def play(self, theta: Any, draws: Float[Array, "2"], rule: Any) -> tuple[Array, Array]:
        """One path."""
        odds = log_odds(-self.k * theta * jnp.ones_like(draws))
        fills = rule(odds, draws)
        held = jnp.sum(fills)
        return held * (theta - self.cost) - self.aversion * held**2, odds


@dataclasses.dataclass(frozen=True)
class AvellanedaStoikov:
    """The article's market and its maker; theta is added to both half spreads.

    **Attributes:**

    - `gamma`: risk aversion, `k`, `A`: decay and level of the intensity, `sigma`: volatility.
    - `horizon`, `steps`: T and N.
    - `skews`: quotes around the reservation price (eq. 29, 30), or around the mid with the time
      average of the spread (the article's "symmetric").
    """

    gamma: float = 0.1
    k: float = 1.5
    A: float = 140.0
    sigma: float = 2.0
    horizon: float = 1.0
    steps: int = 200
    skews: bool = True

    @property
    def dt(self) -> float:
        """Length of a step."""
        return self.horizon / self.steps

    def distances(
        self, theta: Any, q: Float[Array, "*s"], step: Float[Array, ""]
    ) -> Float[Array, "*s 2"]:
        """Of bid and ask from the mid, given inventory and the number of the step."""
        variance = self.sigma**2 * self.dt * (self.steps - step)
        average = self.sigma**2 * self.dt * (self.steps + 1) / 2
        lean = q * self.gamma * variance if self.skews else 0 * q
        half = self.gamma * (variance if self.skews else average) / 2
        half = theta + half + jnp.log1p(self.gamma / self.k) / self.gamma
        return jnp.stack([half + lean, half - lean], axis=-1)

    def log_p(self, distance: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Log probability of a fill within a step, at most 0."""
        return jnp.minimum(jnp.log(self.A * self.dt) - self.k * distance, 0.0)

    def play(self, moves: Float[Array, " steps"]) -> Play:
        """Profit and loss of one path with the given moves of the mid; none of them, its mean.

        Quotes depend on inventory and time alone, so the mid may be integrated out of a mean.
        """

        def path(theta: Any, draws: Float[Array, "steps 2"], rule: Any) -> tuple[Array, Array]:
            def step(carry: Any, given: Any) -> tuple[Any, Array]:
                q, gained = carry
                k, draw, move = given
                distance = self.distances(theta, q, k)
                odds = log_odds(self.log_p(distance))
                fill = rule(odds, draw)
                q = q + fill[0] - fill[1]
                return (q, gained + jnp.sum(fill * distance) + q * move), odds

            none = jnp.zeros((), draws.dtype)
            steps = jnp.arange(self.steps, dtype=draws.dtype)
            (_, gained), odds = jax.lax.scan(step, (none, none), (steps, draws, moves))
            return gained, odds

        return path

    def mean(self, theta: Float[Array, ""], reach: int = 40) -> Float[Array, ""]:
        """Exact mean of profit and loss by the law of inventory, forward in time.

        Args:
            theta: added to both half spreads; to be differentiated.
            reach: inventories beyond this are never seen.
        """
        q = jnp.arange(-reach, reach + 1).astype(theta.dtype)
        start = (q == 0).astype(theta.dtype)

        def step(law: Array, k: Array) -> tuple[Array, Array]:
            distance = self.distances(theta, q, k)
            p = jnp.exp(self.log_p(distance))
            bid, ask = p[:, 0].at[-1].set(0.0), p[:, 1].at[0].set(0.0)
            gained = jnp.sum(law * (bid * distance[:, 0] + ask * distance[:, 1]))
            up, down = law * bid * (1 - ask), law * ask * (1 - bid)
            return law - up - down + jnp.roll(up, 1) + jnp.roll(down, -1), gained

        return jnp.sum(jax.lax.scan(step, start, jnp.arange(self.steps, dtype=theta.dtype))[1])
