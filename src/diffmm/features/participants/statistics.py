"""What is counted of each class, and how it is forgotten: `a <- a0 + lambda (a - a0)`.

The prior is part of every count, so that without events each class returns to it.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import param, POSITIVE, REAL


KINDS = 3
ADD, CANCEL, REPLACE = range(KINDS)


class Params(eqx.Module):
    """Priors, in counts of events, and memories.

    **Attributes:**

    - `size_offset`: prior log sizes of the classes about the book's typical one.
    - `size_sd`, `size_count`: prior spread of log size in a class, and how many events it is worth.
    - `size_sd_least`: spread below which sizes are not told apart.
    - `class_count`, `category_count`: Dirichlet priors of a class, and of each category in it.
    - `time_sd`, `time_count`, `latency_s`, `interval_s`: prior of the log times.
    - `resolution_s`: of the venue's stamps; nothing is told apart by less.
    - `memory_s`: after which an event counts `1 / e`.
    - `period_s`: candidate periods of a cycle.
    - `rayleigh_most`: statistic beyond which a period is beyond doubt.
    - `longer`: preference for longer periods, a power of the period.
    - `phase_count`: events that a cycle must outweigh.
    - `phase_most`: most that a mean resultant length counts as.
    """

    size_offset: Float[Array, "most_classes"] = param(
        REAL, (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -3.5, 3.5)
    )
    size_sd: Float[Array, ""] = param(POSITIVE, 0.3)
    size_count: Float[Array, ""] = param(POSITIVE, 0.2)
    size_sd_least: Float[Array, ""] = param(POSITIVE, 0.02)
    class_count: Float[Array, ""] = param(POSITIVE, 1.0)
    category_count: Float[Array, ""] = param(POSITIVE, 1.0)
    time_sd: Float[Array, ""] = param(POSITIVE, 1.5)
    time_count: Float[Array, ""] = param(POSITIVE, 5.0)
    latency_s: Float[Array, ""] = param(POSITIVE, 0.3, unit="s")
    interval_s: Float[Array, ""] = param(POSITIVE, 2.0, unit="s")
    resolution_s: Float[Array, ""] = param(POSITIVE, 0.001, unit="s", trainable=False)
    memory_s: Float[Array, ""] = param(POSITIVE, 600.0, unit="s")
    period_s: Float[Array, "periods"] = param(
        POSITIVE, (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0), unit="s", trainable=False
    )
    rayleigh_most: Float[Array, ""] = param(POSITIVE, 25.0, trainable=False)
    longer: Float[Array, ""] = param(POSITIVE, 3.0, trainable=False)
    phase_count: Float[Array, ""] = param(POSITIVE, 10.0)
    phase_most: Float[Array, ""] = param(POSITIVE, 0.9, trainable=False)


class Moments(eqx.Module):
    """Weight, mean and variance of a group."""

    n: Float[Array, " classes"]
    mean: Float[Array, " classes"]
    var: Float[Array, " classes"]


class Classes(eqx.Module):
    """What has been learnt of each class, the prior included.

    **Attributes:**

    - `size`, `latency`, `interval`: of log USD, of log s since a touch move, since its last event.
    - `depth`, `kind`, `symmetry`: Dirichlet counts.
    - `cosine`, `sine`, `phases`: sums over events of their phase, by period, and how many.
    - `certainty`: sums of `r^2` and `r` over events: how surely its events are its own.
    """

    size: Moments
    latency: Moments
    interval: Moments
    depth: Float[Array, "classes bins"]
    kind: Float[Array, "classes kinds"]
    symmetry: Float[Array, "classes 2"]
    cosine: Float[Array, "classes periods"]
    sine: Float[Array, "classes periods"]
    phases: Float[Array, "classes periods"]
    certainty: Float[Array, "classes 2"]


class Marks(eqx.Module):
    """What is seen of events, flat over sides and rows; payload is finite where weight is 0.

    **Attributes:**

    - `weight`: 1 for an event, less what of it was a trade, 0 for none.
    - `log_size`: logarithm of its USD, as of an order of its own.
    - `log_order`, `has_order`: of what each class's order there would become, if it has one.
    - `depth`, `kind`, `symmetry`: shares of the categories, each summing to 1.
    - `is_add`: 1 for an added size.
    - `log_latency`, `has_latency`: of the whole row.
    - `log_interval`: since each class's last event.
    - `cosine`, `sine`: of the row's time modulo each period.
    """

    weight: Float[Array, " events"]
    log_size: Float[Array, " events"]
    log_order: Float[Array, "events classes"]
    has_order: Bool[Array, "events classes"]
    depth: Float[Array, "events bins"]
    kind: Float[Array, "events kinds"]
    symmetry: Float[Array, "events 2"]
    is_add: Float[Array, " events"]
    log_latency: Float[Array, ""]
    has_latency: Float[Array, ""]
    log_interval: Float[Array, " classes"]
    cosine: Float[Array, " periods"]
    sine: Float[Array, " periods"]


def prior(params: Params, log_scale: Float[Array, ""], classes: int, bins: int) -> Classes:
    """Nothing seen; `log_scale` is the logarithm of a typical level's USD."""
    one = jnp.ones((classes,), params.size_sd.dtype)
    times = lambda at: Moments(params.time_count * one, jnp.log(at) * one, params.time_sd**2 * one)
    counts = lambda n: params.category_count * jnp.ones((classes, n), one.dtype)
    silent = jnp.zeros((classes, params.period_s.shape[0]), one.dtype)
    size = Moments(
        params.size_count * one,
        log_scale + params.size_offset[:classes],
        params.size_sd**2 * one,
    )
    return Classes(
        size,
        times(params.latency_s),
        times(params.interval_s),
        counts(bins),
        counts(KINDS),
        counts(2),
        silent,
        silent,
        silent,
        jnp.stack([one / classes, one], axis=1),
    )


def forget(classes: Classes, to: Classes, keep: Float[Array, ""]) -> Classes:
    """`a <- a0 + lambda (a - a0)` for everything that is counted."""
    fade = lambda a, b: b + keep * (a - b)
    mixed = lambda a, b: merge(
        Moments(keep * a.n, a.mean, a.var), Moments((1 - keep) * b.n, b.mean, b.var)
    )
    return Classes(
        mixed(classes.size, to.size),
        mixed(classes.latency, to.latency),
        mixed(classes.interval, to.interval),
        fade(classes.depth, to.depth),
        fade(classes.kind, to.kind),
        fade(classes.symmetry, to.symmetry),
        fade(classes.cosine, to.cosine),
        fade(classes.sine, to.sine),
        fade(classes.phases, to.phases),
        fade(classes.certainty, to.certainty),
    )


def merge(a: Moments, b: Moments) -> Moments:
    """Two groups as one; a group of weight 0 changes nothing."""
    n = a.n + b.n
    safe = jnp.where(n > 0, n, 1)
    share = b.n / safe
    away = b.mean - a.mean
    mean = a.mean + share * away
    var = (1 - share) * a.var + share * b.var + share * (1 - share) * away**2
    return Moments(n, mean, var)
