"""The main programs lower for every platform, though no accelerator is at hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

import tokdyn as td

FEATURES = jax.ShapeDtypeStruct((40, 3), jnp.float32)
TOKENS = jax.ShapeDtypeStruct((8, 4, 3), jnp.float32)
DYNAMICS = td.catalog.published("inertia_repulsion")


def batch_of_runs(features, tokens):
    fit = lambda start: td.run(DYNAMICS, None, features, tokens=start, max_steps=30, tol=1e-3)  # noqa: E731
    return jax.vmap(fit)(tokens).tokens


def blocks_of_runs(features, tokens):
    fit = lambda start: td.run(DYNAMICS, None, features, tokens=start, max_steps=30, tol=1e-3)  # noqa: E731
    return td.vmap(fit, batch_size=4)(tokens).assignment


def implicit_gradient(features, tokens):
    def loss(temperature):
        dynamics = td.catalog.soft_kmeans(temperature=temperature)
        return td.run(
            dynamics, None, features, tokens=tokens[0], max_steps=30, tol=1e-3, adjoint="implicit"
        ).tokens.sum()

    return jax.grad(loss)(1.0)


def noisy_path(features, tokens):
    return td.trajectory(td.catalog.langevin(), jax.random.key(0), features, tokens=tokens[0], num_steps=5)[1]


def scores(features, tokens):
    result = td.run(DYNAMICS, None, features, tokens=tokens[0], max_steps=30, tol=1e-3)
    predicted, labels = result.assignment.argmax(-1), jnp.arange(40) % 4
    return td.metrics.adjusted_rand_index(labels, predicted, num_labels=4, num_predicted=4)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("program", [batch_of_runs, blocks_of_runs, implicit_gradient, noisy_path, scores])
def test_lowers(program, platform):
    exported = export.export(jax.jit(program), platforms=[platform])(FEATURES, TOKENS)
    assert exported.platforms == (platform,)
    assert "stablehlo" in exported.mlir_module()
