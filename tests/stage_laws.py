"""Laws that every stage of events obeys, asserted for a stage given as its compiled run."""

import jax
import jax.numpy as jnp
import numpy as np

import bundles


def assert_same(a, b):
    """Bit for bit."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def assert_close(a, b, rtol=1e-8, atol=1e-10):
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=name)


def assert_padding_is_left_alone(run, batch):
    """Rows of garbage between the others, not valid, change neither state nor output."""
    garbage = jax.tree.map(lambda x: x[::-1], batch)
    garbage = bundles.replace(garbage, is_valid=jnp.zeros(len(batch.is_valid), bool))
    weave = lambda a, b: jnp.stack([a, b], 1).reshape(-1, *a.shape[1:])
    end, out = run(batch=jax.tree.map(weave, batch, garbage))
    plain_end, plain = run()
    assert_same(end, plain_end)
    assert_same(jax.tree.map(lambda x: x[::2], out), plain)


def assert_the_past_stands(run, batch, at):
    """Whatever comes from a row on, what was said before it is the same."""
    other = jax.tree.map(lambda x: jnp.concatenate([x[:at], x[at:][::-1]]), batch)
    first = lambda tree: jax.tree.map(lambda x: x[:at], tree)
    assert_same(first(run(batch=other)[1]), first(run()[1]))
