"""Gradients through runs: unrolled, checkpointed, implicit, refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from constant_keys import constant_key

import tokdyn as td

KEY = constant_key(0)


@pytest.fixture
def scene():
    generator = np.random.default_rng(2)
    features = np.concatenate([generator.normal(c, 0.5, (20, 3)) for c in (-0.8, 0.8)])
    return features, features[[0, 25]]


def loss_of(dynamics, features, tokens, **options):
    weights = jnp.cos(jnp.arange(tokens.size, dtype=features.dtype)).reshape(tokens.shape)
    return jnp.sum(weights * td.run(dynamics, None, features, tokens=tokens, **options).tokens)


@pytest.mark.parametrize(
    "dynamics",
    [
        td.catalog.soft_kmeans(temperature=1.5),
        td.compose(attract=td.attraction(temperature=1.5, rate=0.7), inertia=td.inertia(momentum=0.3)),
        td.catalog.repelled(temperature=1.5),
        td.catalog.published("inertia_repulsion"),
    ],
    ids=["soft_kmeans", "inertia", "repelled", "published"],
)
def test_implicit_equals_unrolled_at_convergence(scene, dynamics):
    """300 steps are far past convergence: both are the gradient of the fixed point. Inertia has memory, and agrees."""
    features, tokens = scene
    with jax.enable_x64(True):
        gradients = {}
        for adjoint, stop in (("unroll", "displacement"), ("implicit", "residual")):
            gradients[adjoint] = jax.jit(
                jax.grad(loss_of, argnums=(0, 1)), static_argnames=("max_steps", "stop", "adjoint")
            )(
                dynamics,
                jnp.asarray(features),
                jnp.asarray(tokens),
                max_steps=600,
                tol=1e-13,
                stop=stop,
                adjoint=adjoint,
            )
        unrolled, implicit = (jax.tree.leaves(gradients[adjoint]) for adjoint in ("unroll", "implicit"))
    for expected, got in zip(unrolled, implicit, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)
    assert max(float(jnp.abs(g).max()) for g in implicit) > 1e-3  # not a comparison of zeros


def test_implicit_equals_finite_differences(scene):
    features, tokens = scene
    with jax.enable_x64(True):
        features, tokens = jnp.asarray(features), jnp.asarray(tokens)

        def loss(temperature):
            dynamics = td.catalog.soft_kmeans(temperature=temperature)
            return loss_of(dynamics, features, tokens, max_steps=500, tol=1e-13, adjoint="implicit")

        both = jax.jit(jax.value_and_grad(loss))
        numeric = (both(1.5 + 1e-5)[0] - both(1.5 - 1e-5)[0]) / 2e-5
        np.testing.assert_allclose(both(1.5)[1], numeric, rtol=1e-7)


def test_implicit_ignores_masked_tokens(scene):
    features, tokens = scene
    with jax.enable_x64(True):
        padded = np.concatenate([tokens, np.full((1, 3), 7.0)])
        mask = np.array([True, True, False])

        def loss(temperature, tokens, token_mask):
            dynamics = td.catalog.soft_kmeans(temperature=temperature)
            result = td.run(
                dynamics,
                None,
                jnp.asarray(features),
                tokens=tokens,
                token_mask=token_mask,
                max_steps=500,
                tol=1e-13,
                adjoint="implicit",
            )
            return jnp.sum(result.tokens**2)

        slope = jax.jit(jax.grad(loss))
        np.testing.assert_allclose(slope(1.5, padded, mask), slope(1.5, tokens, None), rtol=1e-9)


def test_implicit_is_nan_unless_converged_and_zero_for_the_start(scene):
    features, tokens = map(np.float32, scene)
    dynamics = td.catalog.soft_kmeans(temperature=1.5)
    gradients = jax.jit(jax.grad(loss_of, argnums=(0, 2)), static_argnames=("max_steps", "adjoint"))
    gradient, _ = gradients(dynamics, features, tokens, max_steps=2, tol=1e-9, adjoint="implicit")
    assert np.isnan(float(gradient["attract"].temperature))
    _, start = gradients(dynamics, features, tokens, max_steps=300, tol=1e-4, adjoint="implicit")
    np.testing.assert_array_equal(start, 0.0)


def test_reverse_mode_through_the_default_is_refused_in_our_words(scene):
    features, tokens = map(jnp.asarray, scene)
    for wrap in (lambda f: f, jax.jit):
        with pytest.raises(ValueError, match="adjoint: expected 'unroll', 'checkpoint' or 'implicit' to differentiate"):
            wrap(
                jax.grad(
                    lambda t: loss_of(td.catalog.soft_kmeans(temperature=t), features, tokens, max_steps=9, tol=0.0)
                )
            )(1.0)


def test_forward_mode_through_the_default_equals_reverse_mode(scene):
    with jax.enable_x64(True):
        features, tokens = map(jnp.asarray, scene)

        def loss(temperature, adjoint):
            dynamics = td.catalog.soft_kmeans(temperature=temperature)
            return loss_of(dynamics, features, tokens, max_steps=9, tol=0.0, adjoint=adjoint)

        @jax.jit
        def slopes(temperature):
            _, forward = jax.jvp(lambda t: loss(t, "none"), (temperature,), (1.0,))
            batched = jax.vmap(jax.jacfwd(lambda t: loss(t, "none")))(jnp.array([1.0, 4 / 3]) * temperature)
            return forward, jax.grad(loss)(temperature, "unroll"), batched

        forward, reverse, batched = slopes(1.5)
        np.testing.assert_allclose(forward, reverse, rtol=1e-10)
        np.testing.assert_allclose(batched[0], forward, rtol=1e-10)


def test_gradients_under_vmap_equal_gradients_one_by_one(scene):
    """Adaptive stepping under vmap has been seen to give wrong reverse passes elsewhere (galpy 1344)."""
    with jax.enable_x64(True):
        features, tokens = map(jnp.asarray, scene)

        def gradient(temperature, adjoint):
            return jax.grad(
                lambda t: loss_of(
                    td.catalog.soft_kmeans(temperature=t), features, tokens, max_steps=400, tol=1e-12, adjoint=adjoint
                )
            )(temperature)

        temperatures = jnp.array([0.5, 1.5, 2.5])
        for adjoint in ("unroll", "checkpoint", "implicit"):
            one = jax.jit(lambda t, adjoint=adjoint: gradient(t, adjoint))
            batched = jax.jit(jax.vmap(one))(temperatures)
            single = [one(t) for t in temperatures]
            np.testing.assert_allclose(batched, single, rtol=1e-8)


def test_checkpointing_saves_memory(scene):
    """What the compiled programs ask for: the unrolled one keeps every step's [K, N] weights, the other does not."""
    features = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    tokens = features[:4]

    def temporaries(adjoint):
        def loss(temperature):
            dynamics = td.catalog.soft_kmeans(temperature=temperature)
            return loss_of(dynamics, features, tokens, max_steps=100, tol=0.0, adjoint=adjoint)

        return jax.jit(jax.grad(loss)).lower(1.0).compile().memory_analysis().temp_size_in_bytes

    assert temporaries("checkpoint") < temporaries("unroll") / 10


def test_implicit_is_nan_for_an_invalid_run_and_zero_where_nothing_is_asked(scene):
    features, _ = map(np.float32, scene)
    mask = np.arange(40) < 1

    def loss(temperature, weight):
        dynamics = td.catalog.soft_kmeans(temperature=temperature)
        options = {"num_tokens": 2, "max_steps": 200, "tol": 1e-3, "adjoint": "implicit"}
        return weight * td.run(dynamics, KEY, features, mask=mask, **options).tokens.sum()

    slope = jax.jit(jax.grad(loss))
    assert np.isnan(slope(1.5, 1.0))
    assert float(slope(1.5, 0.0)) == 0.0


def test_second_derivatives_through_the_fixed_point(scene):
    with jax.enable_x64(True):
        features, tokens = map(jnp.asarray, scene)

        def loss(temperature, adjoint):
            dynamics = td.catalog.soft_kmeans(temperature=temperature)
            return loss_of(dynamics, features, tokens, max_steps=400, tol=1e-13, adjoint=adjoint)

        second = jax.jit(jax.grad(jax.grad(loss)), static_argnums=1)
        np.testing.assert_allclose(second(1.5, "implicit"), second(1.5, "unroll"), rtol=1e-5)


@pytest.mark.parametrize(("name", "path"), [("repulsion", "repel.strength"), ("inertia", "inertia.momentum")])
def test_a_force_of_strength_zero_has_a_gradient(scene, name, path):
    """Training may start from an absent force: the derivative at 0 is the one-sided difference."""
    with jax.enable_x64(True):
        features, tokens = scene
        tokens = tokens[:1] + 0.3 * np.arange(3.0)[:, None]

        def loss(value):
            dynamics = td.with_values(td.catalog.published("baseline"), {path: value})
            return loss_of(dynamics, features, tokens, max_steps=3, tol=0.0, adjoint="unroll")

        both = jax.jit(jax.value_and_grad(loss))
        numeric = (both(1e-7)[0] - both(0.0)[0]) / 1e-7
        np.testing.assert_allclose(both(0.0)[1], numeric, rtol=1e-4)
        assert abs(float(numeric)) > 1e-6


def test_forward_mode_and_hessians_through_the_fixed_point(scene):
    """Forward over reverse, and against differences of the gradient."""
    with jax.enable_x64(True):
        features, tokens = map(jnp.asarray, scene)

        def loss(numbers):
            dynamics = td.compose(
                attract=td.attraction(temperature=numbers[0], rate=numbers[1]),
                repel=td.repulsion(strength=0.01, eps=0.3),
            )
            return loss_of(dynamics, features, tokens, max_steps=600, tol=1e-13, adjoint="implicit")

        at = jnp.array([1.5, 0.6])
        slopes = jax.jit(jax.grad(loss))
        np.testing.assert_allclose(jax.jit(jax.jacfwd(loss))(at), slopes(at), rtol=1e-8)
        second = jax.jit(jax.hessian(loss))(at)
        numeric = [(slopes(at + step) - slopes(at - step)) / 2e-5 for step in 1e-5 * jnp.eye(2)]
        np.testing.assert_allclose(second, jnp.stack(numeric), rtol=1e-4, atol=1e-6)


def test_a_batch_with_a_run_that_did_not_converge_spoils_only_that_run(scene):
    """Also where the loss leaves it out."""
    features, tokens = map(np.float32, scene)

    def total(temperatures, weights):
        def one(temperature, weight):
            dynamics = td.catalog.soft_kmeans(temperature=temperature)
            return weight * loss_of(dynamics, features, tokens, max_steps=30, tol=1e-4, adjoint="implicit")

        return jnp.sum(jax.vmap(one)(temperatures, weights))

    slopes = jax.jit(jax.grad(total))
    temperatures = jnp.array([0.5, 4.0])  # the second is near the critical temperature, and slow
    both, first = slopes(temperatures, jnp.ones(2)), slopes(temperatures, jnp.array([1.0, 0.0]))
    assert np.isfinite(both[0])
    assert np.isnan(both[1])
    assert first[0] == both[0]
    assert first[1] == 0.0


def test_gradients_of_a_token_that_hardly_any_feature_reaches():
    """Its mass is about 1e-25, whose square is no number of float32 any more; the target's slope is an ordinary one."""
    features = np.array([[0.0, 0.0], [0.3, 0.1], [0.1, -0.4], [-0.2, 0.2]], np.float32)
    tokens = np.array([[0.0, 0.1], [7.6, 0.0]], np.float32)

    def slopes(dtype):
        return jax.jit(jax.grad(loss_of, argnums=(0, 1, 2)), static_argnames=("max_steps", "tol", "adjoint"))(
            td.catalog.soft_kmeans(temperature=1.0),
            features.astype(dtype),
            tokens.astype(dtype),
            max_steps=1,
            tol=0.0,
            adjoint="unroll",
        )

    with jax.enable_x64(True):
        expected = jax.tree.leaves(slopes(np.float64))
    weights = np.exp(-np.sum((features[:, None] - tokens.astype(float)) ** 2, axis=2))
    assert 1e-26 < (weights[:, 1] / weights.sum(axis=1)).sum() < 1e-22
    for got, wanted in zip(jax.tree.leaves(slopes(np.float32)), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=1e-4 * float(np.abs(wanted).max(initial=1e-3)))
