"""Multiplicative weights over K rows: log weights, fixed share, anytime rate, delayed feedback.

    w <- (1 - a) softmax(r (log w - eta_t l)) + a / K,     r = eta_{t+1} / eta_t

With `a = 0` this is `softmax(-eta_t L)`. Rates: `eta = sqrt(8 ln K / (c T))` where the horizon T is
known, else `eta_t = sqrt(8 ln K / (c t))`; `c` counts the delay. Losses lie in [0, 1]; the bound is
on the *expected* loss of drawing one row a round from the weights. Sources: Freund & Schapire
(1997); Cesa-Bianchi & Lugosi (2006), 2.2, 2.3; Herbster & Warmuth (1998). The delay term is ours:
an update moves an expectation of losses in [0, 1] by a quarter of its rate at most (Popoviciu), and
by half of that again where the rate falls.
"""

import dataclasses
import functools as ft
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, PRNGKeyArray

from diffmm.core import param, SHARE, Stage


SPREAD = 8
"""Hoeffding: the cumulant of a variable in [0, 1] is at most its mean plus `eta^2 / 8`."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `rows`: K.
    - `delay`: rounds between playing a round and learning from it, beyond the next one.
    - `horizon`: rounds of the run, where known; 0 for a rate that is right at any time.
    """

    rows: int = 9
    delay: int = 1
    horizon: int = 0

    def __post_init__(self):
        if self.rows < 2 or self.delay < 0 or self.horizon < 0:
            raise ValueError(f"{self}: expected two rows or more, delay and horizon not negative")

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(rows=3)


class Params(eqx.Module):
    """The share of the weight that is spread evenly each round, `1 / rounds between switches`."""

    share: Float[Array, ""] = param(SHARE, 0.0, trainable=False)


class State(eqx.Module):
    """Log weights, and the losses not yet learned from (oldest first)."""

    log_weights: Float[Array, "rows"]
    waiting: Float[Array, "delay rows"]
    rounds: Int32[Array, ""]


class Play(eqx.Module):
    """One round.

    **Attributes:**

    - `log_weights`: with which the round was played.
    - `expected_loss`: `sum w l`.
    """

    log_weights: Float[Array, "rows"]
    expected_loss: Float[Array, ""]


def init(params: Params, *, config: Config) -> State:
    """Even weights, nothing waiting."""
    one = jnp.ones_like(params.share)
    return State(
        jnp.full((config.rows,), -math.log(config.rows), one.dtype),
        jnp.zeros((config.delay, config.rows), one.dtype),
        jnp.zeros((), jnp.int32),
    )


def update(
    params: Params, state: State, losses: Float[Array, "rows"], *, config: Config
) -> tuple[State, Play]:
    """Play a round, then learn from the one that was played `delay` rounds ago."""
    play = Play(state.log_weights, jnp.sum(jnp.exp(state.log_weights) * losses))
    queue = jnp.concatenate([state.waiting, losses[None]])
    learned = state.rounds - config.delay
    t = jnp.maximum(learned + 1, 1).astype(losses.dtype)
    rate, following = _rate(t, config), _rate(t + 1, config)
    log_w = jax.nn.log_softmax(following / rate * (state.log_weights - rate * queue[0]))
    spread = jnp.log(params.share) - math.log(config.rows)
    log_w = jax.nn.log_softmax(jnp.logaddexp(jnp.log1p(-params.share) + log_w, spread))
    log_w = jnp.where(learned >= 0, log_w, state.log_weights)
    return State(log_w, queue[1:], state.rounds + 1), play


def draw(key: PRNGKeyArray, play: Play) -> Int32[Array, ""]:
    """The row that is played: one draw from the weights."""
    return jax.random.categorical(key, play.log_weights)


def rates(rounds: int, config: Config) -> np.ndarray:
    """`eta_t` of the first `rounds` updates."""
    t = np.arange(1, rounds + 1, dtype=np.float64)
    base = config.horizon or t
    return np.sqrt(SPREAD * math.log(config.rows) / (_stretch(config) * base)) * np.ones_like(t)


def regret_bound(rounds: int, config: Config, share: float = 0.0) -> float:
    """What the expected loss can exceed that of the best fixed row by, after `rounds` rounds.

    `ln K / eta_T + ln(1 / (1 - a)) sum_{t > 1} 1 / eta_t + sum eta_t / 8`, and the delay's cost.
    """
    if rounds == 0:
        return 0.0
    eta = rates(rounds, config)
    stale = _step(config) * eta + share
    behind = np.concatenate([[0.0], np.cumsum(stale)])
    t = np.arange(rounds)
    lag = behind[t] - behind[np.maximum(t - config.delay, 0)]
    stay = -math.log1p(-share) * np.sum(1 / eta[1:])
    return float(math.log(config.rows) / eta[-1] + stay + np.sum(eta) / SPREAD + np.sum(lag))


def _step(config: Config) -> float:
    """What one update moves an expectation by, over its rate."""
    return 1 / 4 if config.horizon else 3 / 8


def _stretch(config: Config) -> float:
    """`c`: the delay multiplies the rounds' cost in the bound."""
    return 1 + SPREAD * _step(config) * config.delay


def _rate(t: Float[Array, ""], config: Config) -> Float[Array, ""]:
    base = jnp.full_like(t, config.horizon) if config.horizon else t
    return jnp.sqrt(SPREAD * math.log(config.rows) / (_stretch(config) * base))


def build(config: Config) -> Stage[Params, State, Float[Array, "rows"], Play]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
