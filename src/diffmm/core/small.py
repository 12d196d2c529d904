"""Dense algebra for matrices of at most four rows, unrolled.

No LAPACK call and no `expm`: inside a scan a library call costs more than the whole step. Every
function is differentiable where its argument is positive definite.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def cholesky(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Lower Cholesky factor, `a = L L'`, diagonal positive.

    Reads the lower triangle only. A matrix that is not positive definite gives NaN, which the
    caller's Health flag reports. Source: Golub & Van Loan, 4.2.
    """
    n = a.shape[0]
    rows: list[list[Array]] = []
    for i in range(n):
        row: list[Array] = []
        for j in range(i + 1):
            rest = a[i, j]
            for k in range(j):
                rest = rest - row[k] * (rows[j][k] if j < i else row[k])
            row.append(jnp.sqrt(rest) if i == j else rest / rows[j][j])
        rows.append(row)
    zero = jnp.zeros_like(a[0, 0])
    return jnp.stack([jnp.stack(r + [zero] * (n - len(r))) for r in rows])


def solve_lower(factor: Float[Array, "n n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    """Forward substitution, `L x = b`. Source: Golub & Van Loan, 3.1."""
    x: list[Array] = []
    for i in range(b.shape[0]):
        rest = b[i]
        for k in range(i):
            rest = rest - factor[i, k] * x[k]
        x.append(rest / factor[i, i])
    return jnp.stack(x)


def solve_upper(factor: Float[Array, "n n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    """Back substitution with the transpose of a lower factor, `L' x = b`."""
    n = b.shape[0]
    x: dict[int, Array] = {}
    for i in reversed(range(n)):
        rest = b[i]
        for k in range(i + 1, n):
            rest = rest - factor[k, i] * x[k]
        x[i] = rest / factor[i, i]
    return jnp.stack([x[i] for i in range(n)])


def square_root(columns: Float[Array, "n m"]) -> Float[Array, "n n"]:
    """Lower `S` with `S S' = C C'` and positive diagonal, for `m >= n` columns.

    The square-root time update: the columns are the weighted deviations of the sigma points and a
    factor of the process noise. Formed from the Gram matrix, which for cubature weights (all
    non-negative) is positive definite whenever the noise factor is. Source: ours, tested against
    QR.
    """
    return cholesky(jnp.sum(columns[:, None, :] * columns[None, :, :], axis=2))


def transition(generator: Float[Array, "m m"], dt_s: Float[Array, ""]) -> Float[Array, "m m"]:
    """`exp(G dt)` of a rate matrix with rows summing to zero; rows of the result sum to one.

    Scaling and squaring of a fixed-order series of the *non-negative* matrix `G + r 1`, with `r`
    the largest exit rate (uniformisation): no cancellation, so float32 keeps the row sums. Exact to
    the working precision for `r dt <= 2**SQUARINGS / 4`. Source: Jensen (1953); tested against
    scipy.
    """
    n = generator.shape[0]
    eye = jnp.eye(n, dtype=generator.dtype)
    rate = jnp.max(-jnp.diagonal(generator))
    step = dt_s / 2**SQUARINGS
    positive = (generator + rate * eye) * step
    term, total = eye, eye
    for k in range(1, SERIES_ORDER + 1):
        term = (term @ positive) / k
        total = total + term
    result = total / jnp.sum(total, axis=1, keepdims=True)
    for _ in range(SQUARINGS):
        result = result @ result
        result = result / jnp.sum(result, axis=1, keepdims=True)
    return result


SERIES_ORDER = 8
SQUARINGS = 6
