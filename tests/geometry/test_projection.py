"""Trained maps: losses by hand, planted categories found again, new features, and the published loss that collapses."""

import jax
import numpy as np
import pytest

from tokdyn import geometry
from tokdyn.geometry import projection

SMALL = {"num_neighbours": 8, "hidden": (32,), "num_steps": 300, "batch_size": 256}
SIZES = (20, 20, 20)


@pytest.fixture(scope="module")
def planted():
    return geometry.planted_categories(jax.random.key(0), sizes=SIZES, dimensions=16, spread=0.5)


@pytest.fixture(scope="module")
def maps(planted):
    return {
        loss: geometry.train_map(planted.vectors, key=jax.random.key(1), loss=loss, **SMALL)
        for loss in projection.LOSSES
    }


@pytest.mark.parametrize("loss", projection.LOSSES)
def test_losses_by_hand(loss):
    squares = np.random.default_rng(0).uniform(0.01, 4, (6, 4)).astype(np.float32)
    a, b = 1.5, 0.9
    found = np.asarray(jax.jit(projection._loss, static_argnums=2)(squares, np.float32([a, b]), loss))
    d = np.sqrt(squares.astype(float))
    if loss == "umap":
        q = 1 / (1 + a * d ** (2 * b))
        expected = -np.log(q[:, 0]) - np.log(1 - q[:, 1:]).sum(axis=1)
    elif loss == "contrastive":
        k = 1 / (1 + d**2)
        expected = -np.log(k[:, 0] / k.sum(axis=1))
    else:
        expected = d[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_points_at_one_place_have_finite_gradients():
    for loss in projection.LOSSES:
        gradient = jax.jit(jax.grad(lambda s, loss=loss: projection._loss(s, np.float32([1.5, 0.9]), loss).sum()))
        assert np.isfinite(gradient(np.zeros((2, 3), np.float32))).all()


def test_the_curve_is_umaps():
    """As umap-learn has them for its defaults, min_dist 0.1 and spread 1."""
    assert projection.curve(0.1) == pytest.approx((1.577, 0.895), abs=1e-3)


def test_neighbours_stay_with_repulsion_and_collapse_without(planted, maps):
    kept = {loss: geometry.preservation(planted.vectors, of(planted.vectors)) for loss, of in maps.items()}
    for loss in ("umap", "contrastive"):
        assert float(kept[loss].overlap) > 3 * float(kept[loss].chance)
        assert float(kept[loss].trustworthiness) > 0.85
    assert float(kept["attraction"].overlap) < float(kept["umap"].overlap)
    spread = {loss: float(np.std(of(planted.vectors), axis=0).mean()) for loss, of in maps.items()}
    assert spread["attraction"] < 0.1 * min(spread["umap"], spread["contrastive"])
    for of in maps.values():
        assert of.losses[-1] < of.losses[0]


def test_new_features_come_to_their_category(planted, maps):
    """Features that were not trained on: the nearest category's mean in the map is their own in most cases."""
    vectors, labels = np.asarray(planted.vectors), np.asarray(planted.labels)
    centres = np.stack([vectors[labels == k].mean(axis=0) for k in range(3)])
    fresh = np.repeat(centres, 50, axis=0) + np.random.default_rng(1).normal(size=(150, 16)) * 0.5 / 4
    for loss in ("umap", "contrastive"):
        own = np.asarray(maps[loss](vectors))
        middles = np.stack([own[labels == k].mean(axis=0) for k in range(3)])
        mapped = np.asarray(maps[loss](fresh.astype(np.float32)))
        nearest = np.argmin(((mapped[:, None] - middles) ** 2).sum(axis=-1), axis=1)
        assert (nearest == np.repeat(np.arange(3), 50)).mean() > 0.9


def test_what_does_not_matter(planted, maps):
    vectors = np.asarray(planted.vectors)
    again = geometry.train_map(vectors, key=jax.random.key(1), **SMALL)
    np.testing.assert_array_equal(again(vectors), maps["umap"](vectors))
    found = geometry.nearest_neighbours(vectors, 8)
    given = geometry.train_map(vectors, key=jax.random.key(1), neighbours=found, **SMALL)
    np.testing.assert_array_equal(given(vectors), maps["umap"](vectors))
    # Moved and in another unit: the same map, but for rounding.
    moved = geometry.train_map(1000 * vectors + 3, key=jax.random.key(1), **SMALL)
    kept = geometry.preservation(np.asarray(maps["umap"](vectors)), np.asarray(moved(1000 * vectors + 3)))
    assert float(kept.rank_correlation) > 0.9
    directed = geometry.train_map(vectors, key=jax.random.key(1), metric="cosine", **SMALL)
    np.testing.assert_allclose(directed(7 * vectors), directed(vectors), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda rows: rows[:8], {}, "features: expected more than num_neighbours = 8 distinct rows, got 8"),
        (lambda rows: np.zeros_like(rows), {}, "features: expected more than num_neighbours = 8 distinct rows, got 1"),
        (lambda rows: np.where(rows > 0, np.nan, rows), {}, "features: expected finite numbers"),
        (lambda rows: rows[0], {}, r"features: expected a floating-point array \[N, D\]"),
        (lambda rows: rows * (np.arange(60) > 0)[:, None], {"metric": "cosine"}, "features: expected rows with a dir"),
        (lambda rows: rows, {"loss": "tsne"}, "loss: expected one of 'umap'"),
        (lambda rows: rows, {"metric": "l3"}, "metric: expected one of"),
        (lambda rows: rows, {"num_steps": 25}, "num_steps: expected a multiple of 10, got 25"),
        (lambda rows: rows, {"dimensions": 0}, "dimensions: expected a static integer of at least 1"),
        (lambda rows: rows, {"hidden": (0,)}, "hidden: expected a static integer of at least 1"),
        (lambda rows: rows, {"learning_rate": 0.0}, "learning_rate: expected a number above 0"),
        (lambda rows: rows, {"min_distance": 1.0}, "min_distance: expected a number"),
        (
            lambda rows: rows,
            {"neighbours": geometry.Neighbours(np.zeros((5, 2), int), np.zeros((5, 2)))},
            r"neighbours: expected indices and distances \[60, k\]",
        ),
        (
            lambda rows: rows,
            {"neighbours": geometry.Neighbours(np.full((60, 2), 60), np.zeros((60, 2)))},
            "neighbours: expected indices from 0 to 59, got 60 to 60",
        ),
    ],
)
def test_bad_input(planted, change, options, message):
    rows = change(np.asarray(planted.vectors))
    with pytest.raises(ValueError, match=message):
        geometry.train_map(rows, key=jax.random.key(0), **{**SMALL, **options})


def test_bad_features_for_a_trained_map(maps):
    with pytest.raises(ValueError, match="features: expected 16 columns, as in training, got 3"):
        maps["umap"](np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"features: expected a floating-point array \[M, D\]"):
        maps["umap"](np.zeros(16, np.float32))
