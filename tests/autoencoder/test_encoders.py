"""The contract of every encoder in the catalog."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from constant_keys import constant_key

from tokdyn import autoencoder as ae
from tokdyn.autoencoder import encoders

WORDS = 12
KEY = constant_key(0)
every = pytest.mark.parametrize("name", encoders.CATALOG)
FIXED = ("fixed_random", "glyphs")
learned = pytest.mark.parametrize("name", [name for name in encoders.CATALOG if name not in FIXED])

# Most of the time here is compilation, of programs that run once.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
init = quick(lambda encoder, key: encoder.init(key))
applied = quick(lambda encoder, variables, ids: encoder.apply(variables, ids)[0])
pull = quick(
    jax.grad(
        lambda params, encoder, state, ids, weights: jnp.sum(
            weights * encoder.apply({"params": params, "state": state}, ids, train=True)[0]
        )
    )
)


def apply(encoder, variables, ids):
    return np.asarray(applied(encoder, variables, ids))


@functools.cache
def made(name):
    encoder = encoders.CATALOG[name](WORDS)
    return encoder, init(encoder, KEY)


def is_float(leaf):
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


@every
def test_patterns_have_the_promised_shape(name):
    encoder, variables = made(name)
    assert encoder.vocabulary_size == WORDS
    assert set(variables) == {"params", "state"}
    pattern = apply(encoder, variables, np.arange(WORDS))
    assert pattern.shape == (WORDS, encoder.cells, encoder.channels)
    assert pattern.dtype == jnp.float32
    assert np.isfinite(pattern).all()


# The two that are fixed have an ``apply`` of their own, all others share one.
@pytest.mark.parametrize("name", ["sequence", "characters", *FIXED])
def test_a_batch_has_any_shape_and_each_word_its_own_pattern(name):
    encoder, variables = made(name)
    ids = np.array([[3, 0, 3], [7, 11, 1]])
    alone = apply(encoder, variables, np.arange(WORDS))
    np.testing.assert_allclose(apply(encoder, variables, ids), alone[ids], atol=1e-5)


@every
def test_distinct_words_have_distinct_patterns(name):
    encoder, variables = made(name)
    pattern = apply(encoder, variables, np.arange(WORDS)).reshape(WORDS, -1)
    apart = np.abs(pattern[:, None] - pattern[None]).max(-1) + np.eye(WORDS)
    assert float(apart.min()) > 0.05


@learned
def test_patterns_start_at_unit_scale_and_depend_on_the_word(name):
    encoder, variables = made(name)
    pattern = apply(encoder, variables, np.arange(WORDS))
    square = float(np.mean(pattern**2))
    assert 0.5 < square**0.5 < 2.0
    # With the published initial scales this share is below 0.1.
    assert float(pattern.var(0).mean()) > 0.25 * square


@every
def test_training_reaches_every_parameter(name):
    encoder, variables = made(name)
    weights = np.random.default_rng(1).normal(size=(WORDS, encoder.cells, encoder.channels)).astype(np.float32)
    gradient = pull(variables["params"], encoder, variables["state"], np.arange(WORDS), weights)
    leaves = jax.tree_util.tree_leaves_with_path(gradient)
    assert bool(leaves) == (name not in FIXED)
    for path, leaf in leaves:
        assert np.isfinite(leaf).all(), path
        assert np.any(np.asarray(leaf) != 0), path


@every
def test_other_numbers_compile_nothing(name):
    encoder, _ = made(name)
    first = apply(encoder, init(encoder, KEY), np.arange(WORDS))
    compiled = init._cache_size(), applied._cache_size()
    changed = jax.tree.map(lambda leaf: 0.9 * leaf if is_float(leaf) else leaf, encoder)
    second = apply(changed, init(changed, KEY), np.arange(WORDS))
    assert (init._cache_size(), applied._cache_size()) == compiled
    assert not np.allclose(first, second), "the numbers matter"


@every
def test_members_of_an_ensemble_are_those_of_a_loop(name):
    encoder, _ = made(name)
    keys = jax.random.split(jax.random.key(5), 2)
    together = quick(jax.vmap(encoder.init))(keys)
    for number, key in enumerate(keys):
        own = jax.tree.map(lambda leaf, at=number: np.asarray(leaf)[at], together)
        chex.assert_trees_all_close(own, init(encoder, key), rtol=1e-5, atol=1e-6)


@every
def test_double_precision(name):
    encoder, variables = made(name)
    single = apply(encoder, variables, np.arange(WORDS))
    with jax.enable_x64(True):
        drawn = jax.eval_shape(encoder.init, KEY)
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(drawn))
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
        double = apply(encoder, wide, np.arange(WORDS))
        assert double.dtype == jnp.float64
        # Sums of at most some hundred products of unit scale, in single precision.
        np.testing.assert_allclose(single, double, atol=300 * float(jnp.finfo(jnp.float32).eps))


@every
def test_ids_outside_the_vocabulary_are_refused(name):
    encoder, variables = made(name)
    for ids, got in ([0, WORDS], WORDS), ([-1], -1):
        with pytest.raises(ValueError, match=f"^ids: expected whole numbers from 0 to {WORDS - 1}, got {got}$"):
            encoder.apply(variables, np.array(ids))
    with pytest.raises(ValueError, match=r"^ids: .* got shape \(1,\) and dtype float32$"):
        encoder.apply(variables, np.float32([0.0]))


@every
def test_it_is_the_first_part_of_an_autoencoder(name):
    encoder, _ = made(name)
    model = ae.autoencoder(encoder, ae.bottlenecks.identity(), ae.decoders.linear(vocabulary_size=WORDS))
    variables = jax.eval_shape(model.init, KEY)
    output, state = jax.eval_shape(model.apply, variables, np.arange(5))
    assert output.logits.shape == (5, WORDS)
    assert jax.tree.structure(state) == jax.tree.structure(variables["state"])


@every
def test_its_repr_is_short_enough_to_read(name):
    assert repr(made(name)[0]).startswith(type(made(name)[0]).__name__)


@pytest.mark.parametrize(
    "name", [n for n in encoders.CATALOG if n not in ("multiscale", "fourier", "gaussian_mixture")]
)
def test_sizes_are_checked(name):
    factory = getattr(encoders, name)
    identity, images = np.eye(3, dtype=np.float32), np.ones((2, 4, 4), np.float32)
    data = {
        "graph": {"adjacency": identity},
        "characters": {"spellings": encoders.spell(["a"], 2)},
        "grounded": {"vectors": identity},
        "glyphs": {"images": images},
    }
    arguments = {"cells": 4, "channels": 2, **data.get(name, {"vocabulary_size": 3})}
    if name == "glyphs":
        del arguments["cells"]
    factory(**arguments)
    with pytest.raises(ValueError, match="^channels: expected"):
        factory(**arguments | {"channels": 0})
    scale = {"fixed_random": "strength", "glyphs": "strength", "grounded": "output_gain"}.get(name, "embedding_std")
    with pytest.raises(ValueError, match=f"^{scale}: expected a number of at least 0, got -1"):
        factory(**arguments, **{scale: -1.0})
