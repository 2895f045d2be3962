"""Trained maps: losses by hand, planted categories found again, new features, and the published loss that collapses."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

from tokdyn import geometry
from tokdyn.geometry import forms, projection

SMALL = {"num_neighbours": 8, "num_steps": 200}
NETWORK = {"form": "network", "num_neighbours": 8, "num_steps": 200, "hidden": (32,)}
SIZES = (20, 20, 20)


@pytest.fixture(scope="module")
def planted():
    return geometry.planted_categories(jax.random.key(0), sizes=SIZES, dimensions=16, spread=0.5)


@pytest.fixture(scope="module")
def maps(planted):
    trained = {
        loss: geometry.train_map(planted.vectors, key=jax.random.key(1), loss=loss, **SMALL)
        for loss in projection.LOSSES
    }
    return {**trained, "network": geometry.train_map(planted.vectors, key=jax.random.key(1), **NETWORK)}


between = jax.jit(forms.between)
LOSS = jax.jit(projection._loss, static_argnums=6)


@pytest.mark.parametrize("loss", projection.LOSSES)
def test_losses_by_hand(loss):
    """Sums over edges and rivals in plain loops; rows 2 and 0 are among the rivals, and are none of themselves."""
    rng = np.random.default_rng(0)
    placed, tails, rivals = (rng.normal(size=(count, 2)) for count in (4, 6, 5))
    rows, others, heads = np.array([2, 0, 7, 5]), np.array([0, 2, 3, 9, 4]), np.array([0, 0, 1, 2, 3, 3])
    weights = rng.uniform(0.1, 1, 6)
    degrees = np.bincount(heads, weights, 4)
    a, b, negatives = 1.5, 0.9, 3.0
    pairs = projection._Pairs(rows, placed.astype(np.float32), degrees.astype(np.float32), heads, weights)
    found = LOSS(pairs, tails.astype(np.float32), others, rivals.astype(np.float32), negatives, (a, b), loss)
    expected = 0.0
    for head, tail, weight in zip(heads, tails, weights, strict=True):
        near = ((placed[head] - tail) ** 2).sum()
        far = [((placed[head] - of) ** 2).sum() for of, row in zip(rivals, others, strict=True) if row != rows[head]]
        share = negatives / len(others)
        if loss == "umap":
            q = [1 / (1 + a * square**b) for square in [near, *far]]
            value = -np.log(q[0]) - share * sum(np.log(1 - of) for of in q[1:])
        elif loss == "contrastive":
            k = [1 / (1 + square) for square in [near, *far]]
            value = -np.log(k[0] / (k[0] + share * sum(k[1:])))
        else:
            value = np.sqrt(near)
        # -log k / (k + s) is log(1 + s / k): of one edge alone.
        expected += weight * value / weights.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("loss", projection.LOSSES)
def test_points_at_one_place_have_finite_gradients(loss):
    numbers = np.arange(3)

    def value(placed):
        pairs = projection._Pairs(numbers, placed, np.ones(3, np.float32), numbers, np.ones(3, np.float32))
        return projection._loss(pairs, placed, numbers[:2], placed[:2], 5.0, (1.5, 0.9), loss)

    assert np.isfinite(jax.jit(jax.grad(value))(np.zeros((3, 2), np.float32))).all()


def test_the_curve_is_umaps():
    """As umap-learn has them for its defaults, min_dist 0.1 and spread 1."""
    assert projection.curve(0.1) == pytest.approx((1.577, 0.895), abs=1e-3)


def test_neighbours_stay_with_repulsion_and_collapse_without(planted, maps):
    kept = {name: geometry.preservation(planted.vectors, of(planted.vectors)) for name, of in maps.items()}
    for name in ("umap", "contrastive", "network"):
        assert float(kept[name].overlap) > 3 * float(kept[name].chance)
        assert float(kept[name].trustworthiness) > 0.85
    assert float(kept["attraction"].overlap) < float(kept["umap"].overlap)
    # Inside categories, between which the graph has no edges.
    own = {name: np.asarray(of(planted.vectors)).reshape(3, 20, 2) for name, of in maps.items()}
    spread = {name: float(of.std(axis=1).mean()) for name, of in own.items()}
    assert spread["attraction"] < 0.1 * min(spread["umap"], spread["contrastive"])
    for of in maps.values():
        assert of.losses[-1] < of.losses[0]


@pytest.mark.parametrize("name", ["umap", "contrastive", "network"])
def test_new_features_come_to_their_category(planted, maps, name):
    """Features that were not trained on: the nearest category's mean in the map is their own in most cases."""
    vectors, labels = np.asarray(planted.vectors), np.asarray(planted.labels)
    centres = np.stack([vectors[labels == k].mean(axis=0) for k in range(3)])
    fresh = np.repeat(centres, 20, axis=0) + np.random.default_rng(1).normal(size=(60, 16)) * 0.5 / 4
    own = np.asarray(maps[name](vectors))
    middles = np.stack([own[labels == k].mean(axis=0) for k in range(3)])
    mapped = np.asarray(maps[name](fresh.astype(np.float32)))
    nearest = np.argmin(((mapped[:, None] - middles) ** 2).sum(axis=-1), axis=1)
    assert (nearest == np.repeat(np.arange(3), 20)).mean() > 0.9


def test_fitted_features_are_at_their_positions(planted, maps):
    """Equal ones at one, also where they are given again among others."""
    vectors = np.asarray(planted.vectors)
    np.testing.assert_allclose(maps["contrastive"](vectors), maps["contrastive"].variables["params"], atol=1e-4)
    twice = np.concatenate([vectors[:40], vectors[:20]])
    of = geometry.train_map(twice, key=jax.random.key(1), **SMALL)
    np.testing.assert_array_equal(of.variables["params"][40:], of.variables["params"][:20])
    np.testing.assert_allclose(of(twice), of.variables["params"], atol=1e-4)


def test_parts_of_the_edges_train_the_same_kind_of_map(planted, monkeypatch):
    """As of very many rows, of which a step takes some edges."""
    monkeypatch.setitem(projection._WHOLE, "positions", 10)
    of = geometry.train_map(
        planted.vectors, key=jax.random.key(1), num_neighbours=8, num_steps=1000, batch_size=128, learning_rate=0.5
    )
    kept = geometry.preservation(planted.vectors, of(planted.vectors))
    assert float(kept.overlap) > 3 * float(kept.chance)
    assert float(kept.trustworthiness) > 0.85


def test_what_does_not_matter(planted, maps):
    vectors = np.asarray(planted.vectors)
    again = geometry.train_map(vectors, key=jax.random.key(1), **SMALL)
    np.testing.assert_array_equal(again(vectors), maps["contrastive"](vectors))
    found = geometry.nearest_neighbours(vectors, 8)
    given = geometry.train_map(vectors, key=jax.random.key(1), neighbours=found, **SMALL)
    np.testing.assert_array_equal(given(vectors), maps["contrastive"](vectors))
    # Moved and in another unit: the same map, but for rounding.
    moved = geometry.train_map(1000 * vectors + 3, key=jax.random.key(1), **SMALL)
    kept = geometry.preservation(np.asarray(maps["contrastive"](vectors)), np.asarray(moved(1000 * vectors + 3)))
    assert float(kept.rank_correlation) > 0.9
    directed = geometry.train_map(vectors, key=jax.random.key(1), metric="cosine", **SMALL)
    np.testing.assert_allclose(directed(7 * vectors), directed(vectors), atol=1e-4)


class TestBetween:
    def test_it_is_the_point_of_least_weighted_distance(self):
        """SciPy's minimum of the same sum is not lower."""
        rng = np.random.default_rng(0)
        distances, positions = rng.uniform(0.5, 2, (20, 4)), rng.normal(size=(20, 4, 2))
        found = np.asarray(between(distances.astype(np.float32), positions.astype(np.float32)), float)

        def cost(place, r, p):
            return (np.linalg.norm(p - place, axis=1) / r**2).sum()

        for place, r, p in zip(found, distances, positions, strict=True):
            starts = [*p, p.mean(axis=0)]
            least = min(minimize(cost, start, (r, p), method="Nelder-Mead").fun for start in starts)
            assert cost(place, r, p) < least * (1 + 1e-3)

    def test_limits(self):
        rows = np.float32([[0, 0], [1, 0], [100, 0], [0, 3]])
        at_one = (np.float32([1, 0, 1, 1]), rows)
        all_at_none = (np.zeros(4, np.float32), np.zeros((4, 2), np.float32))
        same = (np.float32([1, 2, 3, 4]), np.tile(np.float32([[5, -7]]), (4, 1)))
        # Three that were torn away from the fourth: with the majority, not between.
        torn = (np.ones(4, np.float32), np.float32([[0, 0], [0.1, 0], [0, 0.1], [50, 0]]))
        cases = [np.stack(each) for each in zip(at_one, all_at_none, same, torn, strict=True)]
        found = np.asarray(between(*(np.resize(each, (20, *each.shape[1:])) for each in cases)))
        np.testing.assert_allclose(found[:3], [[1, 0], [0, 0], [5, -7]], atol=1e-3)
        assert np.linalg.norm(found[3]) < 0.2


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
        (lambda rows: rows, {"form": "network", "hidden": (0,)}, "hidden: expected a static integer of at least 1"),
        (lambda rows: rows, {"form": "tree"}, "form: expected one of 'positions', 'network'"),
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
        (
            lambda rows: rows,
            {"neighbours": geometry.Neighbours(np.arange(120).reshape(60, 2) // 2, np.zeros((60, 2)))},
            "neighbours: expected others than the row itself, got rows among their own neighbours",
        ),
        (
            lambda rows: rows,
            {"neighbours": geometry.Neighbours((np.arange(60)[:, None] + [1, 2]) % 60, np.full((60, 2), np.nan))},
            "neighbours: expected finite distances of at least 0",
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
