"""Types of takers fitted to fills by takers who are known.

Shares are counts of the fills; typical features are means, then those of greatest likelihood. A
type that was not met has the share of half a fill and looks like anybody. The shares are of those
who fill us, not of those who come; the biases are fitted beside that. They maximise the likelihood
of V after the fill,

    log [(1 - pi) u + pi Phi(s (V - a) / s_n)] - log Z - sum b^2 / (2 sd^2)

of `belief.glosten_milgrom`, m and P from before the fill; the normal prior keeps those finite about
which nothing is known. Source: ours; tested in `tests/learning/test_flow_type.py`.
"""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import ndtr
from jaxtyping import Array, Float

from diffmm import belief
from diffmm.belief import flow_type, glosten_milgrom
from diffmm.belief.evidence import NODES, WEIGHTS
from diffmm.engine import run
from diffmm.market import SIDE_SIGN

from .typed_fills import Fills


@dataclasses.dataclass(frozen=True)
class Config:
    """How the biases are fitted; nothing here reaches a quote.

    **Attributes:**

    - `bias_sd`, `typical_sd`: of the normal priors on a bias and on a typical feature.
    - `steps`, `learning_rate`: of the gradient (Adam).
    """

    bias_sd: float = 2.0
    typical_sd: float = 1.0
    steps: int = 400
    learning_rate: float = 0.05


def fitted(
    params: belief.Params, declared: flow_type.Params, found: Fills, config: Config
) -> tuple[flow_type.Params, flow_type.Params]:
    """Types, and beside them one bias for all takers alike, from the same fills.

    Args:
        params: of the belief with which the fills were gathered.
        declared: the types then, without effect.
        found: fills.
        config: the priors.
    """
    types = likeliest(moments(declared, found), declared, found, config)
    said = posteriors(types, *standardised(types, declared, found))
    bias = biases(params, types, said, found, config)
    one = biases(params, types, jnp.zeros((len(found.type), 1)), found, config)
    alike = dataclasses.replace(
        declared, informed_bias=jnp.broadcast_to(one, declared.informed_bias.shape)
    )
    return dataclasses.replace(types, informed_bias=bias), alike


def moments(declared: flow_type.Params, found: Fills) -> flow_type.Params:
    """Shares and typical features of the types, of fills gathered with `declared`.

    Args:
        declared: neither centred nor scaled: the features are in raw units.
        found: fills.
    """
    n = len(flow_type.TYPES)
    member = found.type[:, None] == np.arange(n)
    known = found.told["is_known"].astype(np.float64)
    z = found.told["z"].astype(np.float64) * known
    total = np.maximum(known.sum(0), 1.0)
    centre = z.sum(0) / total
    count = member.T.astype(np.float64) @ known
    mean = (member.T @ z) / np.maximum(count, 1.0)
    # A type that was met once or never looks like anybody.
    mean = np.where(count > 1, mean, centre)
    within = (known * (z - mean[found.type]) ** 2).sum(0) / total
    varies = within > np.finfo(np.float32).eps
    spread = np.where(varies, np.sqrt(np.where(varies, within, 1.0)), 1.0)
    typical = np.where(varies, (mean - centre) / spread, 0.0)
    f = lambda x: jnp.asarray(x, declared.memory_s.dtype)
    return dataclasses.replace(
        declared,
        log_share=f(np.log(member.sum(0) + 0.5) - np.log(len(member) + n / 2)),
        typical=f(typical),
        centre=f(centre),
        spread=f(spread),
    )


def likeliest(
    types: flow_type.Params, declared: flow_type.Params, found: Fills, config: Config
) -> flow_type.Params:
    """Typical features of greatest likelihood of the true types, from moments on.

    Moments take the features for independent given the type; what several of them say alike counts
    several times. The prior is normal about 0; a type that was not met stays as it is.

    Args:
        types: moments.
        declared: with which the fills were gathered.
        found: fills.
        config: the prior.
    """
    z, known = standardised(types, declared, found)
    met = np.isin(np.arange(len(flow_type.TYPES)), found.type).astype(z.dtype)
    row = jnp.arange(len(found.type))

    def loss(moved: Array) -> tuple[Array, None]:
        chosen = dataclasses.replace(types, typical=types.typical + met[:, None] * moved)
        said = posteriors(chosen, z, known)[row, found.type]
        prior = jnp.sum(chosen.typical**2) / (2 * config.typical_sd**2)
        return prior - jnp.sum(said), None

    moved = _minimum(run.value_and_gradient(loss), jnp.zeros_like(types.typical), config)
    return dataclasses.replace(types, typical=types.typical + met[:, None] * moved)


def standardised(
    types: flow_type.Params, declared: flow_type.Params, found: Fills
) -> tuple[Array, Array]:
    """Features of fills that were gathered with `declared`, as `types` standardises them."""
    row = lambda x: jnp.asarray(x)[None, :]
    raw = found.told["z"] * row(declared.spread) + row(declared.centre)
    known = jnp.asarray(found.told["is_known"])
    z = (raw - row(types.centre)) / row(types.spread)
    return jnp.where(known, z, 0.0), known


def posteriors(types: flow_type.Params, z: Array, known: Array) -> Array:
    """`[fills, types]`, log posterior of every fill."""
    return jax.vmap(ft.partial(flow_type.log_posterior, types))(z, known)


def biases(
    params: belief.Params, types: flow_type.Params, log_types: Array, found: Fills, config: Config
) -> Float[Array, " types"]:
    """`b_type` of greatest likelihood of V, beside a normal prior about 0.

    Args:
        params: of the belief with which the fills were gathered.
        types: with shares and typical features.
        log_types: `[fills, types]`, log posteriors; one column of zero to shift all types alike.
        found: fills.
        config: the prior.
    """
    at = {k: jnp.asarray(x) for k, x in found.told.items()}
    sign = jnp.asarray(SIDE_SIGN)[found.side]
    tilt = params.informed_size * jnp.log1p(at["size"])
    sd = jnp.sqrt(at["informed_var"])
    knows = ndtr(sign * (found.truth_bp - at["price_bp"]) / at["noise_bp"])

    def loss(bias: Array) -> tuple[Array, None]:
        chosen = dataclasses.replace(types, informed_bias=bias)
        logits = [at["informed"] + x * sd + tilt for x in NODES]
        shares = [jax.vmap(ft.partial(flow_type.informed, chosen))(log_types, x) for x in logits]
        pi = sum(w * x for w, x in zip(WEIGHTS, shares, strict=True))
        total = glosten_milgrom.posterior(
            at["v"], at["v_var"], at["price_bp"], sign, pi, at["reach"], at["noise_bp"]
        ).likelihood
        gained = jnp.log((1 - pi) * at["reach"] + pi * knows) - jnp.log(total)
        return jnp.sum(bias**2) / (2 * config.bias_sd**2) - jnp.sum(gained), None

    return _minimum(run.value_and_gradient(loss), jnp.zeros(log_types.shape[1]), config)


def _minimum(value_and_gradient: Callable[[Any], Any], start: Any, config: Config) -> Any:
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    at, state = start, optimiser.init(start)
    # The optimiser counts its steps in integers.
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(config.steps):
            updates, state = optimiser.update(value_and_gradient(at)[1], state)
            at = optax.apply_updates(at, updates)
    return at
