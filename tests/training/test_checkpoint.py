import hashlib
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from diffmm.core import param, POSITIVE
from diffmm.training import CheckpointError, extend, restore, save


class P(eqx.Module):
    half_life_s: Float[Array, ""] = param(POSITIVE, unit="s")
    weights: Float[Array, "3"] = param()


def make(half_life=2.0, n=3):
    return P(jnp.float32(half_life), jnp.arange(n, dtype=jnp.float32))


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "a", make(), {"tape": "none"})
    return tmp_path / "a"


def test_what_was_saved_comes_back_in_physical_units_with_its_provenance(folder):
    params, provenance = restore(folder, make(half_life=9.0))
    assert provenance == {"tape": "none"}
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(make()), strict=True):
        np.testing.assert_array_equal(a, b)


class Later(eqx.Module):
    """P after one more leaf was declared, in the middle."""

    half_life_s: Float[Array, ""] = param(POSITIVE, unit="s")
    gain: Float[Array, ""] = param()
    weights: Float[Array, "3"] = param()


class Without(eqx.Module):
    half_life_s: Float[Array, ""] = param(POSITIVE, unit="s")
    gain: Float[Array, ""] = param()


def test_a_checkpoint_from_before_a_leaf_keeps_its_bits_and_says_which_leaf_is_as_declared(
    folder, tmp_path
):
    declared = Later(jnp.float32(9.0), jnp.float32(0.25), jnp.zeros(3, jnp.float32))
    params, provenance = extend(folder, declared)
    np.testing.assert_array_equal(params.weights, make().weights)
    assert (float(params.half_life_s), float(params.gain)) == (2.0, 0.25)
    manifest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    said = {"leaves": ["gain"], "manifest_sha256": manifest}
    assert provenance == {"tape": "none", "extended": [said]}
    save(tmp_path / "b", params, provenance)
    assert restore(tmp_path / "b", declared)[1] == provenance


def test_extending_refuses_a_leaf_that_is_gone_or_damaged_and_one_that_lacks_nothing(folder):
    with pytest.raises(CheckpointError, match=r"only in the checkpoint .*weights"):
        extend(folder, Without(jnp.float32(1.0), jnp.float32(0.0)))
    with pytest.raises(CheckpointError, match="has every leaf"):
        extend(folder, make())
    file = next(f for f in (folder / "params" / "d").iterdir() if f.is_file())
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    later = Later(jnp.float32(9.0), jnp.float32(0.25), jnp.zeros(3, jnp.float32))
    with pytest.raises(CheckpointError, match=file.name):
        extend(folder, later)


def test_one_flipped_bit_in_any_file_is_refused_and_the_file_named(folder):
    files = [f for f in (folder / "params").rglob("*") if f.is_file() and f.stat().st_size]
    assert files
    for file in files:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        original = file.read_bytes()
        file.write_bytes(data)
        with pytest.raises(CheckpointError, match=file.name):
            restore(folder, make())
        file.write_bytes(original)
    restore(folder, make())


def test_another_shape_is_refused_with_what_was_found_and_expected(folder):
    with pytest.raises(CheckpointError, match=r"found float32\[3\], expected float32\[4\]"):
        restore(folder, make(n=4))


def test_a_value_outside_its_domain_is_never_saved(tmp_path):
    with pytest.raises(CheckpointError, match="half_life_s"):
        save(tmp_path / "b", make(half_life=-1.0), {})


def test_an_existing_folder_and_a_missing_manifest_are_refused(folder):
    with pytest.raises(CheckpointError, match="exists already"):
        save(folder, make(), {})
    (folder / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(CheckpointError, match="no readable manifest"):
        restore(folder, make())
