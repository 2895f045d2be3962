"""Numbers of a dynamics as weights: they stay in their ranges, and gradients through ``run`` lead where they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from constant_keys import constant_key
from hypothesis import given
from hypothesis import strategies as st

import tokdyn as td
from tokdyn.ranges import Range
from tokdyn.train.numbers import from_line, to_line

KEY = constant_key(0)
RANGES = [Range(), Range(at_least=0.0), Range(above=-3.0), Range(below=2.0), Range(above=1.0, below=1.5)]


@given(u=st.floats(-20, 20), limits=st.sampled_from(RANGES))
def test_every_number_of_the_line_leads_into_the_range_and_back(u, limits):
    with jax.enable_x64(True):
        value = from_line(jnp.float64(u), limits)
        assert bool(limits.holds(value))
        assert float(to_line(value, limits)) == pytest.approx(u, abs=1e-6)


@pytest.mark.parametrize("limits", RANGES)
def test_values_near_an_edge_come_back(limits):
    lowest, highest = max(limits.above, limits.at_least, -10.0), min(limits.below, 10.0)
    with jax.enable_x64(True):
        for share in (1e-9, 1e-3, 0.5, 1 - 1e-9):
            value = lowest + share * (highest - lowest)
            assert float(from_line(to_line(value, limits), limits)) == pytest.approx(value, rel=1e-9)


def test_a_number_at_the_edge_of_its_range_is_not_trained_unasked():
    """The published inertia has a repulsion of strength 0, and floors."""
    model = td.train.numbers(td.catalog.published("inertia"))
    assert "repel.strength" not in model.paths
    assert "attract.temperature" in model.paths
    with pytest.raises(ValueError, match=r"repel\.strength: expected a start inside its range"):
        td.train.numbers(td.catalog.published("inertia"), ["repel.strength"])


def scenes(count, seed):
    """Features of three clusters, and their true centres."""
    return jax.vmap(lambda key: td.data.blobs(key, num_clusters=3, noise=0.4, points_per_cluster=15, num_dimensions=2))(
        jax.random.split(jax.random.key(seed), count)
    )


def error(dynamics, batch, key):
    """How far tokens that begin at the true centres drift from them: least for a temperature near nothing."""

    def one(features, labels):
        owned = jax.nn.one_hot(labels, 3)
        centres = owned.T @ features / owned.sum(axis=0)[:, None]
        found = td.run(dynamics, None, features, tokens=centres, max_steps=8, tol=0.0, adjoint="unroll")
        return jnp.mean(jnp.sum((found.tokens - centres) ** 2, axis=-1))

    return jnp.mean(jax.vmap(one)(batch["features"], batch["labels"]))


def test_a_temperature_is_learned_and_stays_positive():
    """An ensemble over starts, in one program; a rate that would carry a bare number below zero at once."""
    found = scenes(8, seed=1)
    data = {"features": found.features, "labels": found.labels}

    def train(start):
        dynamics = td.catalog.soft_kmeans(temperature=start)
        fit = td.train.fit(
            dynamics,
            error,
            data,
            key=KEY,
            num_steps=40,
            hyper={"learning_rate": 0.5},
            batch_size=4,
            record_every=10,
            paths=["attract.temperature"],
            evaluate=lambda dynamics, key: {"held": dynamics["attract"].temperature},
        )
        return fit, td.train.trained(dynamics, fit.variables)

    starts = jnp.array([2.0, 6.0])
    fit, trained = jax.jit(jax.vmap(train))(starts)
    temperatures = np.asarray(trained["attract"].temperature)
    assert (temperatures > 0).all()
    assert (temperatures < starts / 4).all()
    assert (np.asarray(fit.history["held"]) > 0).all()
    assert (np.asarray(fit.history["loss"])[:, -1] < np.asarray(fit.history["loss"])[:, 0] / 3).all()


def test_its_gradient_is_that_of_finite_differences():
    found = scenes(2, seed=2)
    with jax.enable_x64(True):
        data = {"features": found.features.astype(np.float64), "labels": found.labels}
        model = td.train.numbers(td.catalog.repelled(temperature=0.8), ["attract.temperature", "repel.strength"])
        start = model.init(KEY)["params"]

        def total(params):
            return error(model.apply({"params": params})[0], data, KEY)

        slopes = jax.grad(total)(start)
        for path in model.paths:
            ahead, behind = ({**start, path: start[path] + step} for step in (1e-6, -1e-6))
            numeric = float(total(ahead) - total(behind)) / 2e-6
            assert float(slopes[path]) == pytest.approx(numeric, rel=1e-5)


def test_a_schedule_counts_steps_of_the_run_not_of_the_training():
    """Its ends are weights; its length is none."""
    dynamics = td.catalog.annealed(start=4.0, end=1.0, num_steps=5)
    paths = ["attract.temperature.start", "attract.temperature.end"]
    seen = []

    def objective(dynamics, batch, key):
        seen.append(isinstance(dynamics["attract"].temperature, td.Schedule))
        return (dynamics["attract"].temperature.end - 0.5) ** 2

    fit = td.train.fit(
        dynamics, objective, {"x": jnp.zeros(1)}, key=KEY, num_steps=200, hyper={"learning_rate": 0.05}, paths=paths
    )
    trained = td.train.trained(dynamics, fit.variables)
    assert all(seen)
    assert float(trained["attract"].temperature.end) == pytest.approx(0.5, abs=0.02)
    assert float(trained["attract"].temperature.start) == pytest.approx(4.0)


def test_any_pytree_of_numbers():
    fit = td.train.fit(
        {"a": 1.0, "b": np.ones(3)},
        lambda tree, batch, key: (jnp.sum(tree["b"]) - tree["a"]) ** 2 + tree["a"] ** 2,
        {"x": jnp.zeros(1)},
        key=KEY,
        num_steps=400,
        hyper={"learning_rate": 0.05},
    )
    trained = td.train.trained({"a": 1.0, "b": np.ones(3)}, fit.variables)
    assert float(trained["a"]) == pytest.approx(0.0, abs=0.02)
    assert float(jnp.sum(trained["b"])) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["attract.temp"], "path: expected one of"),
        (["attract"], "attract: expected the path of one number"),
        ("attract.temperature", "paths: expected a list of paths"),
        ([], "paths: expected at least one number to train"),
    ],
)
def test_bad_input_gets_a_sentence(paths, sentence):
    with pytest.raises(ValueError, match=sentence):
        td.train.numbers(td.catalog.soft_kmeans(), paths)
