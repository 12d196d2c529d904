import jax.numpy as jnp
import numpy as np

from diffmm.core import Packing


TREE = {
    "a": np.float32([[1.5, -2.0]]),
    "n": np.int32(2**24),
    "on": np.array([True, False]),
    "bits": np.uint32(8),
}


def test_a_packed_tree_comes_back_with_every_shape_dtype_and_value():
    packing = Packing.of(TREE)
    vector = packing.pack_host(TREE, np.float32)
    assert vector.shape == (packing.width,)
    back = packing.unpack(vector)
    for name, x in TREE.items():
        assert back[name].dtype == x.dtype
        np.testing.assert_array_equal(back[name], x)


def test_packing_inside_a_trace_equals_packing_on_the_host():
    packing = Packing.of(TREE)
    np.testing.assert_array_equal(
        packing.pack({k: jnp.asarray(v) for k, v in TREE.items()}, jnp.float32),
        packing.pack_host(TREE, np.float32),
    )


def test_a_tree_without_leaves_is_an_empty_vector():
    assert Packing.of(()).pack_host((), np.float32).shape == (0,)
