"""Classes of events on the book: an online mixture in log space, with exponential forgetting.

    log r_k = log pi_k + log N(log size; m_k, v_k) + sum_f log DM(f; a_kf)
              + log vM(phase; k) + log N(log latency) + log N(log interval) - log total

`DM` is the Dirichlet-multinomial over depth profile, kind (add, cancel, replace) and side symmetry;
`vM` a von Mises law of the time modulo candidate periods, weighed by the Rayleigh statistic
`z = n R^2` of each. A change at a price where a class
has an order already may be a change of that order: then the order's new size is what is looked at.
Counts and priors forget together, `a <- a0 + lambda (a - a0)`, so with no
events the responsibilities return to the prior. Labels carry no meaning: a permutation of the
classes' prior sizes permutes everything that is said of them. Source: part 4 of the reference;
Minka (2000) for the Polya law; Mardia & Jupp (2000), 5.3 and 10.3; Cappe & Moulines (2009).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmm.core import small

from . import cycles
from .statistics import Classes, Marks, merge, Moments, Params


def log_share(params: Params, classes: Classes) -> Float[Array, " classes"]:
    """Log prior probability that an event is of each class: the Dirichlet mean."""
    n = classes.size.n - params.size_count + params.class_count
    return jnp.log(n) - jnp.log(small.total(n, 0))


class Log(NamedTuple):
    """Log likelihoods, or log priors, of both readings of an event, `[events, classes]`."""

    order: Float[Array, "events classes"]
    resized: Float[Array, "events classes"]


def log_likelihood(params: Params, classes: Classes, seen: Marks) -> Log:
    """Of each event under each class: as an order, or as an order's change of size.

    Densities are of the log of the change, up to what is the same for all classes and readings; the
    second carries the Jacobian `change / new size`.
    """
    floor = params.size_sd_least**2
    order = jax.vmap(lambda x: _log_normal(x, classes.size, floor))(seen.log_size)
    resized = jax.vmap(lambda x: _log_normal(x, classes.size, floor))(seen.log_order)
    resized = resized + seen.log_size[:, None] - seen.log_order
    latency = _log_normal(seen.log_latency, classes.latency, floor) * seen.has_latency
    # A class that was silent for longer than usual may come back at any time.
    waited = jnp.minimum(seen.log_interval, classes.interval.mean)
    times = (latency + _log_normal(waited, classes.interval, floor))[None, :]
    common = cycles.log_phase(params, classes, seen)[None, :]
    for share, counts in (
        (seen.depth, classes.depth),
        (seen.kind, classes.kind),
        (seen.symmetry, classes.symmetry),
    ):
        logs = jnp.log(counts) - jnp.log(jnp.sum(counts, axis=1))[:, None]
        common = common + jnp.sum(share[:, None, :] * logs[None, :, :], axis=2)
    return Log(order + common + times * seen.is_add[:, None], resized + common + times)


class Shares(NamedTuple):
    """Responsibilities by reading, `[events, classes]`; all of an event sum to 1."""

    order: Float[Array, "events classes"]
    resized: Float[Array, "events classes"]

    @property
    def both(self) -> Float[Array, "events classes"]:
        """Whose the event is."""
        return self.order + self.resized

    def quotes(self, seen: Marks) -> Float[Array, "events classes"]:
        """Of it, what is a quote: an order that is added, or one that is resized."""
        return (self.order * seen.is_add[:, None] + self.resized) * seen.weight[:, None]


def responsibilities(log_prior: Log, log_like: Log) -> Shares:
    """Posterior of each event's class and reading; soft, in log space."""
    joint = [p + x for p, x in zip(log_prior, log_like, strict=True)]
    total = small.log_total(jnp.concatenate(joint, axis=1), 1)[:, None]
    return Shares(*(jnp.exp(x - total) for x in joint))


def learn(params: Params, classes: Classes, seen: Marks, shares: Shares) -> Classes:
    """One step of online EM: sufficient statistics of the events, weighed by whose they are."""
    r = shares.both * seen.weight[:, None]
    total = jnp.sum(r, axis=0)
    size = _absorb(
        classes.size, shares.order * seen.weight[:, None], seen.log_size[:, None] + 0 * r
    )
    size = _absorb(size, shares.resized * seen.weight[:, None], seen.log_order)
    counted = lambda counts, share: counts + jnp.sum(r[:, :, None] * share[:, None, :], axis=0)
    # One row has one time, however many levels it changed.
    once = jnp.minimum(jnp.sum(shares.quotes(seen), axis=0), 1)
    # Of a burst within one cycle, the first quote counts: the rest repeat its phase.
    anew = once[:, None] * -jnp.expm1(
        -jnp.exp(seen.log_interval)[:, None] / params.period_s[None, :]
    )
    at = lambda n, x: Moments(n, jnp.broadcast_to(x, n.shape), 0 * n)
    return Classes(
        size,
        merge(classes.latency, at(once * seen.has_latency, seen.log_latency)),
        merge(classes.interval, at(once, seen.log_interval)),
        counted(classes.depth, seen.depth),
        counted(classes.kind, seen.kind),
        counted(classes.symmetry, seen.symmetry),
        classes.cosine + anew * seen.cosine[None, :],
        classes.sine + anew * seen.sine[None, :],
        classes.phases + anew,
        classes.certainty + jnp.stack([jnp.sum(r * shares.both, axis=0), total], axis=1),
    )


def _absorb(
    of: Moments, r: Float[Array, "events classes"], x: Float[Array, "events classes"]
) -> Moments:
    """A group with more events in it; nothing is divided by their own weight, which may be tiny."""
    n = of.n + jnp.sum(r, axis=0)
    away = x - of.mean[None, :]
    shift = jnp.sum(r * away, axis=0) / n
    spread = of.n * of.var + jnp.sum(r * away**2, axis=0)
    # Rounding must not make a variance negative.
    return Moments(n, of.mean + shift, jnp.maximum(spread / n - shift**2, 0))


def certainty(classes: Classes) -> Float[Array, " classes"]:
    """Mean responsibility for its own events, `sum r^2 / sum r`, in (0, 1]."""
    return classes.certainty[:, 0] / classes.certainty[:, 1]


def log_dirichlet_multinomial(
    counts: Float[Array, " categories"], prior_counts: Float[Array, " categories"]
) -> Float[Array, ""]:
    """Log marginal likelihood of an ordered sample of categories.

    `log m(n | a) = lgamma(A) - lgamma(A + N) + sum_k lgamma(a_k + n_k) - lgamma(a_k)`.
    Source: Minka (2000), eq. 1; oracle `fingerprint_dirichlet_multinomial`.
    """
    log_gamma = jax.scipy.special.gammaln
    total = jnp.sum(prior_counts)
    each = log_gamma(prior_counts + counts) - log_gamma(prior_counts)
    return log_gamma(total) - log_gamma(total + jnp.sum(counts)) + jnp.sum(each)


def _log_normal(
    x: Float[Array, "..."], of: Moments, floor: Float[Array, ""]
) -> Float[Array, "..."]:
    """Predictive normal log density with the spread of a class's mean in it."""
    var = (of.var + floor) * (1 + 1 / of.n)
    return -((x - of.mean) ** 2) / (2 * var) - jnp.log(var) / 2
