import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from diffmm.core import (
    constrain,
    declarations,
    interval,
    param,
    POSITIVE,
    REAL,
    trainable,
    unconstrain,
    UNIT,
    violations,
)


class Inner(eqx.Module):
    half_life_s: Float[Array, ""] = param(POSITIVE, unit="s")
    tilt: Float[Array, "2"] = param(REAL)


class Outer(eqx.Module):
    inner: Inner
    share: Float[Array, ""] = param(UNIT)
    frozen_bp: Float[Array, ""] = param(interval(1.0, 5.0), unit="bp", trainable=False)


def make(half_life=0.5):
    return Outer(
        Inner(jnp.float32(half_life), jnp.array([-1.0, 2.0], jnp.float32)),
        jnp.float32(0.2),
        jnp.float32(2.0),
    )


def test_physical_values_survive_the_round_trip_through_the_unconstrained_line():
    params = make()
    back = constrain(unconstrain(params))
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(back), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_every_leaf_is_declared_with_its_path_and_unit_in_leaf_order():
    found = [(path, d["unit"]) for path, d in declarations(make())]
    assert found == [
        ("inner.half_life_s", "s"),
        ("inner.tilt", "1"),
        ("share", "1"),
        ("frozen_bp", "bp"),
    ]


def test_a_frozen_leaf_carries_no_gradient_and_the_others_do():
    total = lambda raw: sum(jnp.sum(x) for x in jax.tree.leaves(constrain(raw)))
    grads = jax.grad(total)(unconstrain(make()))
    assert float(grads.frozen_bp) == 0.0
    assert float(grads.inner.half_life_s) > 0
    assert trainable(make()).frozen_bp is False


def test_a_leaf_outside_its_domain_is_named_with_what_was_expected():
    found = violations(make(half_life=-1.0))
    assert len(found) == 1
    assert "inner.half_life_s" in found[0]
    assert "positive" in found[0]
    assert violations(make()) == []


def test_an_undeclared_field_is_refused_with_the_mend():
    class Bad(eqx.Module):
        x: Float[Array, ""]

    with pytest.raises(TypeError, match=r"param\(DOMAIN"):
        list(declarations(Bad(jnp.float32(1.0))))


def test_an_empty_interval_is_refused():
    with pytest.raises(ValueError, match="low < high"):
        interval(2.0, 1.0)
