"""A long ladder of rare levels, strongly coupled: what single precision must not lose.

Chances of a fill fall over six orders along the ladder and inventory costs as much as the edge; a
recursion that starts from one end multiplies its rounding at every level of such a ladder.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmm.allocation import programme, search


LEVELS = 32
SEEDS = 64


def ladders(dtype):
    """Many programmes in units of the room, the same numbers in every precision."""
    rng = np.random.default_rng(7)
    shape = (SEEDS, 2, LEVELS)
    depth = np.sort(rng.uniform(0.2, 12, shape), axis=2)
    fill = np.exp(
        -rng.uniform(0.5, 2, (SEEDS, 2, 1)) - rng.uniform(0.6, 1.2, shape[:2])[..., None] * depth
    )
    beyond = np.concatenate([fill[..., 1:], np.zeros_like(fill[..., :1])], axis=2)
    held = rng.uniform(-0.4, 0.4, SEEDS)
    start = np.stack([held, -held], axis=1)
    scale = 10 ** rng.uniform(-1, 1, (SEEDS, 1))
    cubic = scale[..., None] * np.stack(
        [start + 6 * start**3, 1 + 18 * start**2, 18 * start, np.full_like(start, 6.0)], axis=2
    )
    data = programme.Programme(
        fill=fill,
        edge=depth - rng.uniform(0, 2, shape),
        impact=rng.uniform(0.1, 2, (SEEDS, 1, 1)) * np.exp(-0.05 * depth),
        power=np.full(SEEDS, 0.6),
        message=np.full(shape, 1e-7),
        sweep=fill - beyond,
        cubic=cubic,
        gamma=0.5 * np.exp(-0.5 * depth),
        gamma_limit=10 ** rng.uniform(-2, 0, SEEDS),
        cap=rng.uniform(0.2, 1.5, (SEEDS, 2, 1)),
    )
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), data)


def solve(p):
    none = jnp.zeros_like(p.cap[:, 0])
    start = programme.Prices(jnp.zeros_like(p.edge), none, jnp.zeros_like(p.gamma_limit))
    return search.solve(p, start).y


values_of = jax.vmap(lambda p, y: programme.value(programme.levels(p), y))


def worth(sizes):
    """Value of the sizes in double precision."""
    data = ladders(jnp.float64)
    return np.asarray(values_of(data, jnp.asarray(sizes, jnp.float64)))


@pytest.fixture(scope="module")
def values():
    found = {}
    for dtype, x64 in ((jnp.float64, True), (jnp.float32, False)):
        with jax.enable_x64(x64):
            found[dtype] = np.asarray(jax.jit(jax.vmap(solve))(ladders(dtype)), float)
    with jax.enable_x64(True):
        return {dtype: worth(sizes) for dtype, sizes in found.items()}


def test_single_precision_keeps_the_value_of_a_long_coupled_ladder(values):
    best, single = values[jnp.float64], values[jnp.float32]
    assert (best > 0).all()
    assert np.sum(best - single) < 1e-4 * np.sum(best)
    assert (single > 0.999 * best).all()


def test_no_small_change_of_the_sizes_is_worth_more(values):
    """Optimal against 200 feasible directions each, in double precision."""
    with jax.enable_x64(True):
        data = ladders(jnp.float64)
        sizes = jax.jit(jax.vmap(solve))(data)
        rng = np.random.default_rng(8)
        worse = []
        for _ in range(200):
            other = jnp.asarray(rng.exponential(size=sizes.shape) * rng.integers(0, 2, sizes.shape))
            held = jnp.sum(other, axis=2, keepdims=True)
            other = other * jnp.minimum(data.cap / jnp.maximum(held, 1e-12), 1.0)
            used = jnp.sum(data.gamma * other, axis=(1, 2))
            other = other * jnp.minimum(data.gamma_limit / used, 1.0)[:, None, None]
            mixed = sizes + 1e-3 * (other - sizes)
            worse.append(np.asarray(values_of(data, mixed)))
    best = values[jnp.float64]
    assert (np.max(worse, axis=0) <= best + 1e-9 * np.abs(best)).all()
