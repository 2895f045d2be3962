"""td.vmap means what jax.vmap means."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key
from hypothesis import given, settings
from hypothesis import strategies as st

import tokdyn as td


@functools.partial(compiled, static_argnums=2)
def shifted(table, x, batch_size):
    return td.vmap(lambda t, x: {"sum": t["a"] + x, "twice": 2 * t["b"]}, (0, None), batch_size=batch_size)(table, x)


@settings(max_examples=25)
@given(st.sampled_from([1, 2, 8, 9, 23]), st.sampled_from([1, 2, 4, 9]))
def test_any_length_and_block_give_the_same(length, batch_size):
    numbers = np.arange(length, dtype=np.float32)
    table = {"a": numbers[:, None] * np.ones(3, np.float32), "b": numbers.astype(np.int32)}
    mapped = shifted(table, 10.0, batch_size)
    np.testing.assert_array_equal(mapped["sum"], table["a"] + 10)
    np.testing.assert_array_equal(mapped["twice"], 2 * table["b"])


def test_keys_prefixes_and_pytrees_can_be_mapped():
    """One entry of in_axes may stand for a whole dynamics, mapped or not."""
    cells = jax.tree.map(lambda leaf: np.float32(leaf * np.array([0.5, 1.0, 2.0])), td.catalog.soft_kmeans())
    keys = jax.random.split(constant_key(0), 3)
    features = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)

    def fit(dynamics, key, features):
        return td.run(dynamics, key, features, num_tokens=2, max_steps=20, tol=1e-3).tokens

    expected = jax.vmap(fit, (0, 0, None))(cells, keys, features)
    # Two programs differ by rounding, which is relative to the features, 1, however near to 0 a coordinate lies.
    found = td.vmap(fit, (0, 0, None), batch_size=2)(cells, keys, features)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_under_jit_grad_and_jax_vmap():
    def loss(scale, x):
        return td.vmap(lambda value: jnp.sin(scale * value), batch_size=2)(x).sum()

    x = np.arange(5, dtype=np.float32)
    np.testing.assert_allclose(compiled(jax.grad(loss))(2.0, x), (x * np.cos(2 * x)).sum(), rtol=1e-6)
    many = compiled(jax.vmap(loss, (0, None)))(np.float32([1.0, 2.0]), x)
    np.testing.assert_allclose(many[1], compiled(loss)(2.0, x), rtol=1e-6)


def test_a_run_does_not_depend_on_how_many_there_are():
    """Blocks of a given size are one program, so a run's bits do not change when others are added."""
    features = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    keys = jax.random.split(constant_key(1), 40)
    fit = compiled(
        td.vmap(
            lambda key: td.run(td.catalog.soft_kmeans(), key, features, num_tokens=3, max_steps=50, tol=1e-3),
            batch_size=16,
        )
    )
    many, some = fit(keys), fit(keys[:20])
    for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(some), strict=True):
        np.testing.assert_array_equal(a[:20], b)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: td.vmap(jnp.add)(np.ones(3), np.ones(4)), r"share one leading axis, got leading axes \[3, 4\]"),
        (lambda: td.vmap(jnp.add, None)(1.0, 2.0), "share one leading axis, got no mapped argument"),
        (lambda: td.vmap(jnp.sin)(np.ones(0)), "at least one element along the mapped axis, got 0"),
        (lambda: td.vmap(jnp.sin)(1.0), "mapped leaves with a leading axis .* got a scalar"),
        (lambda: td.vmap(jnp.sin, 1)(np.ones((2, 2))), "in_axes: expected entries 0 or None, got 1"),
        (
            lambda: td.vmap(jnp.add, (0,))(np.ones(2), np.ones(2)),
            "in_axes: expected one entry for each of the 2 arguments",
        ),
        (lambda: td.vmap(jnp.sin, batch_size=0), "batch_size: expected a static integer of at least 1, got 0"),
    ],
)
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_none_among_the_arguments():
    keys = jax.random.split(constant_key(0), 5)
    draw = lambda nothing, key: jax.random.normal(key)  # noqa: E731
    np.testing.assert_array_equal(td.vmap(draw, batch_size=2)(None, keys), jax.vmap(draw)(None, keys))
    shift = lambda tree, key: tree["b"] + jax.random.normal(key)  # noqa: E731
    mapped = td.vmap(shift, (None, 0), batch_size=2)({"a": None, "b": 1.0}, keys)
    np.testing.assert_allclose(mapped, jax.vmap(shift, (None, 0))({"a": None, "b": 1.0}, keys), rtol=1e-5)


def on_four_devices(script):
    """What a script prints in a process with four devices made of the processor."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4".strip()
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_gradients_through_fixed_points_inside_shard_map_and_through_it():
    script = """
import jax, jax.numpy as jnp, numpy as np, tokdyn as td
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("run",))
groups = 4.0 * jnp.repeat(jnp.arange(2.0), 10)[:, None]
features = groups + 0.3 * jax.random.normal(jax.random.key(0), (4, 20, 2))
temperatures = jnp.linspace(0.5, 2.0, 4)
spec = jax.sharding.PartitionSpec("run")

def loss(temperature, features):
    dynamics, key = td.compose(attract=td.attraction(temperature=temperature)), jax.random.key(3)
    options = dict(num_tokens=2, max_steps=300, tol=1e-5, adjoint="implicit")
    return jnp.sum(td.run(dynamics, key, features, **options).tokens ** 2)

expected = jax.jit(jax.vmap(jax.grad(loss)))(temperatures, features)
assert jnp.isfinite(expected).all() and (expected != 0).all()
inside = jax.shard_map(td.vmap(jax.grad(loss)), mesh=mesh, in_specs=spec, out_specs=spec)
through = lambda *inputs: jax.shard_map(td.vmap(loss), mesh=mesh, in_specs=spec, out_specs=spec)(*inputs).sum()
for found in (jax.jit(inside)(temperatures, features), jax.jit(jax.grad(through))(temperatures, features)):
    np.testing.assert_allclose(found, expected, rtol=1e-4)
"""
    on_four_devices(script)


def test_runs_inside_shard_map_stop_on_each_device_by_itself():
    """On four forced host devices, each with its own early stop: the same numbers as a loop, and no collective."""
    script = """
import jax, jax.numpy as jnp, numpy as np, tokdyn as td
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("run",))
features = jax.random.normal(jax.random.key(0), (40, 2))
keys = jax.random.split(jax.random.key(1), 4 * 40)
spec = jax.sharding.PartitionSpec("run")
for adjoint in ("none", "unroll"):
    options = dict(num_tokens=3, max_steps=60, tol=1e-3, adjoint=adjoint)
    fit = lambda key: td.run(td.catalog.published("inertia"), key, features, **options)
    sharded = jax.jit(jax.shard_map(td.vmap(fit), mesh=mesh, in_specs=spec, out_specs=spec))
    result, expected = sharded(keys), jax.jit(jax.vmap(fit))(keys)
    assert (result.num_steps == expected.num_steps).all()
    np.testing.assert_allclose(result.tokens, expected.tokens, atol=1e-5)
    text = sharded.lower(keys).compile().as_text()
    assert "all-reduce" not in text and "all-gather" not in text
print(len(jax.devices()))
"""
    assert on_four_devices(script) == "4\n"
