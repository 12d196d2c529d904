"""Gradients through fills: whether we were filled is a coin, and its odds depend on our quotes.

A fill happens where the log odds of its probability p exceed those of a uniform draw. With the
fills held fixed, the expected utility of a path has the gradient of

    E[ U(path; fills) + sum_k w_k p_k(path; fills) ],   w_k = E[U | f_k = 1] - E[U | f_k = 0]

with `w_k`, the value of a fill, not differentiated, and `p_k` differentiated whole, through every
belief that earlier fills have moved. The estimators differ in `w_k` alone. `relaxed` lets the path
say it: the fill is `sigmoid((log odds - draw) / T)` wherever it appears (Maddison, Mnih & Teh
2017), of little variance and a bias that is small with T. `two_branch` plays the path again with
one fill turned over and the same draws after it (Heidergott & Vazquez-Abad 2008): no bias, and a
path a flip. Tested against exact values in `tests/simulation/test_control_problem.py`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffmm.core import param, POSITIVE


Rule = Callable[[Float[Array, "*n"], Float[Array, "*n"]], Float[Array, "*n"]]
"""`(log odds of p, log odds of the draw) -> fill in [0, 1]`."""
Play = Callable[[Any, Float[Array, "*n"], Rule], tuple[Float[Array, ""], Float[Array, "*n"]]]
"""`(theta, noise, rule) -> (utility, log odds)`: one path; the rule turns odds into fills.

`noise` holds the log odds of every draw of the path, in order of time when flattened, and the log
odds that come back have its shape. A fill may depend on what was drawn before it only.
"""


class Params(eqx.Module):
    """How far a fill is relaxed.

    **Attributes:**

    - `temperature`: T, in log odds. Below .1 the variance explodes, at 1 the bias does.
    """

    temperature: Float[Array, ""] = param(POSITIVE, 0.1, trainable=False)


def noise(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Float[Array, "*n"]:
    """Log odds of uniform draws, `log u - log(1 - u)`: the standard logistic law."""
    return jax.random.logistic(key, shape, dtype)


def log_odds(log_p: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """`log p - log(1 - p)` from `log p <= 0`; a certain fill has large odds and no gradient."""
    most = -jnp.finfo(log_p.dtype).eps
    inner = jnp.where(log_p < most, log_p, most)
    return inner - jnp.log(-jnp.expm1(inner))


def hard(log_odds: Float[Array, "*n"], draw: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """One where the draw is below p, else zero; no gradient."""
    return jax.lax.stop_gradient((log_odds > draw).astype(log_odds.dtype))


def relaxed(temperature: Float[Array, ""]) -> Rule:
    """The fill as a share, `sigmoid((log odds - draw) / T)`; `hard` as T goes to 0."""
    return lambda log_odds, draw: jax.nn.sigmoid((log_odds - draw) / temperature)


def two_branch(
    play: Play, theta: Any, draws: Float[Array, "*n"], key: PRNGKeyArray, flips: int
) -> Float[Array, ""]:
    """The utility of one path with an unbiased gradient; differentiate it and take the mean.

    Args:
        play: the path.
        theta: what to differentiate in.
        draws: log odds of the draws.
        key: selects the fills that are turned over.
        flips: how many, with replacement. A fill is selected in proportion to `p (1 - p)`, by
            which a change of its log odds moves p, and weighted by the inverse.
    """
    fixed = jax.lax.stop_gradient(theta)
    base, odds = play(fixed, draws, hard)
    odds, flat = jnp.ravel(odds), jnp.ravel(draws)
    filled = odds > flat
    log_weight = jax.nn.log_sigmoid(odds) + jax.nn.log_sigmoid(-odds)
    log_select = log_weight - jax.nn.logsumexp(log_weight)
    chosen = jax.random.categorical(key, log_select, shape=(flips,))

    def value(k: Array) -> Array:
        turned = flat.at[k].set(jnp.where(filled[k], jnp.inf, -jnp.inf))
        other, _ = play(fixed, turned.reshape(draws.shape), hard)
        return jnp.where(filled[k], base - other, other - base)

    worth = jax.lax.map(value, chosen) / (flips * jnp.exp(log_select[chosen]))
    return _with_value_of_fills(
        *play(theta, draws, hard), jnp.zeros_like(flat).at[chosen].add(worth)
    )


def enumerated(play: Play, theta: Any, shape: tuple[int, ...], dtype: Any) -> Float[Array, ""]:
    """The exact expected utility, and by the formula above its exact gradient; `2^n` paths.

    Args:
        play: the path, of few draws.
        theta: what to differentiate in.
        shape: of the draws.
        dtype: of the draws.
    """
    n = 1
    for size in shape:
        n *= size
    outcome = (jnp.arange(2**n)[:, None] >> jnp.arange(n)[None, ::-1]) & 1
    draws = jnp.where(outcome == 1, -jnp.inf, jnp.inf).astype(dtype).reshape(2**n, *shape)
    utility, odds = jax.vmap(lambda one: play(theta, one, hard))(draws)
    p = jax.nn.sigmoid(odds.reshape(2**n, n))
    fixed = jax.lax.stop_gradient(p)
    chance = jnp.prod(jnp.where(outcome == 1, fixed, 1 - fixed), axis=1)
    # Conditional values from the last draw back: outcomes that share a beginning share them.
    ahead, worth = jax.lax.stop_gradient(utility), []
    for k in reversed(range(n)):
        miss, fill = jnp.moveaxis(ahead.reshape(2**k, 2), 1, 0)
        worth.append(jnp.repeat(fill - miss, 2 ** (n - k)))
        chance_here = fixed.reshape(2**k, -1, n)[:, 0, k]
        ahead = chance_here * fill + (1 - chance_here) * miss
    by_outcome = jax.vmap(_with_value_of_fills)(utility, odds, jnp.stack(worth[::-1], axis=1))
    return jnp.sum(chance * by_outcome)


def _with_value_of_fills(
    utility: Float[Array, ""], log_odds: Float[Array, "*n"], worth: Float[Array, " n"]
) -> Float[Array, ""]:
    """`U + sum w p` whose value is U's alone."""
    told = jnp.sum(jax.lax.stop_gradient(worth) * jax.nn.sigmoid(jnp.ravel(log_odds)))
    return utility + told - jax.lax.stop_gradient(told)
