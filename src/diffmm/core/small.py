"""Dense algebra for matrices of at most four rows, and sums along short axes, unrolled.

No LAPACK call and no `expm`: inside a scan a library call costs more than the whole step. No
reductions either: each brings buffers of its own, and a live call pays for every buffer of its
program whether it is touched or not. Every function is differentiable where its argument is
positive definite.
"""

import functools as ft
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def parts(x: Float[Array, "..."], axis: int = 0) -> list[Float[Array, "..."]]:
    """The entries along a short axis.

    One operation, whose gradient is one concatenation; indexing one by one pads each entry's
    gradient to the whole and adds all of them.
    """
    each = jax.lax.split(x, (1,) * x.shape[axis], axis=axis)
    return [jax.lax.squeeze(one, (axis % x.ndim,)) for one in each]


def total(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Sum along a short axis, first to last."""
    return ft.reduce(operator.add, parts(x, axis))


def log_total(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """`log sum exp` along a short axis; finite wherever one term is."""
    top = ft.reduce(jnp.maximum, parts(jax.lax.stop_gradient(x), axis))
    safe = jnp.where(jnp.isfinite(top), top, 0.0)
    return safe + jnp.log(total(jnp.exp(x - jnp.expand_dims(safe, axis)), axis))


def running(x: Array, axis: int, *, reverse: bool = False) -> Array:
    """Sums from one end of an axis to each place, by doubling strides.

    Its gradient is the same from the other end, and said so: derived, it would be a pad and an
    addition for every stride.
    """
    return _running(x, axis, reverse)


@ft.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _running(x: Array, axis: int, reverse: bool) -> Array:
    n, stride = x.shape[axis], 1
    while stride < n:
        kept = jax.lax.slice_in_dim(
            x, stride if reverse else 0, n if reverse else n - stride, axis=axis
        )
        none = jnp.zeros_like(jax.lax.slice_in_dim(x, 0, stride, axis=axis))
        x = x + jnp.concatenate([kept, none] if reverse else [none, kept], axis=axis)
        stride *= 2
    return x


def _running_forward(x: Array, axis: int, reverse: bool) -> tuple[Array, None]:
    return _running(x, axis, reverse), None


def _running_back(axis: int, reverse: bool, _: None, back: Array) -> tuple[Array]:
    return (_running(back, axis, not reverse),)


_running.defvjp(_running_forward, _running_back)


def cholesky(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Lower Cholesky factor, `a = L L'`, diagonal positive.

    Reads the lower triangle only. A matrix that is not positive definite gives NaN, which the
    caller's Health flag reports. Source: Golub & Van Loan, 4.2.
    """
    n, entries = a.shape[0], [parts(row) for row in parts(a)]
    rows: list[list[Array]] = []
    for i in range(n):
        row: list[Array] = []
        for j in range(i + 1):
            rest = entries[i][j]
            for k in range(j):
                rest = rest - row[k] * (rows[j][k] if j < i else row[k])
            row.append(jnp.sqrt(rest) if i == j else rest / rows[j][j])
        rows.append(row)
    zero = jnp.zeros_like(entries[0][0])
    return jnp.stack([jnp.stack(r + [zero] * (n - len(r))) for r in rows])


def solve_lower(factor: Float[Array, "n n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    """Forward substitution, `L x = b`. Source: Golub & Van Loan, 3.1."""
    lower, x = [parts(row) for row in parts(factor)], []
    for i, rest in enumerate(parts(b)):
        for k in range(i):
            rest = rest - lower[i][k] * x[k]
        x.append(rest / lower[i][i])
    return jnp.stack(x)


def solve_upper(factor: Float[Array, "n n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    """Back substitution with the transpose of a lower factor, `L' x = b`."""
    lower, right = [parts(row) for row in parts(factor)], parts(b)
    n = len(right)
    x: dict[int, Array] = {}
    for i in reversed(range(n)):
        rest = right[i]
        for k in range(i + 1, n):
            rest = rest - lower[k][i] * x[k]
        x[i] = rest / lower[i][i]
    return jnp.stack([x[i] for i in range(n)])


def square_root(columns: Float[Array, "n m"]) -> Float[Array, "n n"]:
    """Lower `S` with `S S' = C C'` and positive diagonal, for `m >= n` columns.

    The square-root time update: the columns are the weighted deviations of the sigma points and a
    factor of the process noise. Formed from the Gram matrix, which for cubature weights (all
    non-negative) is positive definite whenever the noise factor is. Source: ours, tested against
    QR.
    """
    return cholesky(total(columns[:, None, :] * columns[None, :, :], 2))


def transition(generator: Float[Array, "m m"], dt_s: Float[Array, ""]) -> Float[Array, "m m"]:
    """`exp(G dt)` of a rate matrix with rows summing to zero; rows of the result sum to one.

    Scaling and squaring of a fixed-order series of the *non-negative* matrix `G + r 1`, with `r`
    the largest exit rate (uniformisation): no cancellation, so float32 keeps the row sums. Exact to
    the working precision for `r dt <= 2**SQUARINGS / 4`. Source: Jensen (1953); tested against
    scipy.
    """
    n = generator.shape[0]
    eye = jnp.eye(n, dtype=generator.dtype)
    rate = ft.reduce(jnp.maximum, [-generator[i, i] for i in range(n)])
    step = dt_s / 2**SQUARINGS
    positive = (generator + rate * eye) * step
    term, series = eye, eye
    for k in range(1, SERIES_ORDER + 1):
        term = (term @ positive) / k
        series = series + term
    result = series / total(series, 1)[:, None]
    for _ in range(SQUARINGS):
        result = result @ result
        result = result / total(result, 1)[:, None]
    return result


SERIES_ORDER = 8
SQUARINGS = 6
