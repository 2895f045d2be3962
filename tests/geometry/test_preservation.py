"""What a map keeps, against scikit-learn, SciPy and brute force."""

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist, pdist
from sklearn.manifold import trustworthiness

from tokdyn import geometry

RNG = np.random.default_rng(0)
SOURCE, MAPPED = RNG.normal(size=(40, 7)).astype(np.float32), RNG.normal(size=(40, 2)).astype(np.float32)
MAPPED[:, 0] += SOURCE[:, 0]  # some neighbours are kept


def neighbours(distances, k):
    others = np.where(np.eye(len(distances), dtype=bool), np.inf, distances)
    return [set(row[:k].tolist()) for row in np.argsort(others, axis=1, kind="stable")]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 5, 19])
def test_against_scikit_learn_and_brute_force(metric, k):
    found = geometry.preservation(SOURCE, MAPPED, num_neighbours=k, metric=metric)
    distances, others = cdist(SOURCE, SOURCE, metric), cdist(MAPPED, MAPPED)
    shared = [len(a & b) / k for a, b in zip(neighbours(distances, k), neighbours(others, k), strict=True)]
    assert float(found.overlap) == pytest.approx(np.mean(shared), abs=1e-6)
    assert float(found.chance) == pytest.approx(k / 39)
    expected = trustworthiness(SOURCE, MAPPED, n_neighbors=k, metric=metric)
    assert float(found.trustworthiness) == pytest.approx(expected, abs=1e-5)
    assert float(found.continuity) == pytest.approx(continuity(distances, others, k), abs=1e-5)
    rho = stats.spearmanr(pdist(SOURCE, metric), pdist(MAPPED)).statistic
    assert float(found.rank_correlation) == pytest.approx(rho, abs=1e-5)


def continuity(distances, others, k):
    """The formula, one pair at a time."""
    count, total = len(distances), 0
    for i in range(count):
        rank = {j: place for place, j in enumerate([j for j in np.argsort(others[i], kind="stable") if j != i], 1)}
        near = [j for j in np.argsort(distances[i], kind="stable") if j != i][:k]
        total += sum(max(rank[j] - k, 0) for j in near)
    return 1 - 2 * total / (count * k * (2 * count - 3 * k - 1))


def test_a_map_that_keeps_everything_and_one_that_keeps_nothing():
    turned = SOURCE @ np.linalg.qr(RNG.normal(size=(7, 7)))[0].astype(np.float32)
    found = geometry.preservation(SOURCE, 3 * turned + 1)
    np.testing.assert_allclose([float(of) for of in found], [1, 5 / 39, 1, 1, 1], atol=1e-4)
    random = RNG.normal(size=(200, 60, 2)).astype(np.float32)
    source = RNG.normal(size=(60, 5)).astype(np.float32)
    overlaps = jax.jit(jax.vmap(lambda mapped: geometry.preservation(source, mapped).overlap))(random)
    # The mean over 200 random maps: chance, within four standard errors.
    spread = np.std(overlaps, ddof=1) / np.sqrt(200)
    assert abs(float(np.mean(overlaps)) - 5 / 59) < 4 * spread


def test_a_constant_map_has_no_correlation():
    found = geometry.preservation(SOURCE, np.zeros((40, 2), np.float32))
    assert float(found.rank_correlation) == 0
    assert float(found.overlap) <= 0.3


def test_ranks_of_equal_distances_share_their_mean():
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0)), -1).reshape(-1, 2).astype(np.float32)
    other = RNG.integers(0, 3, (16, 2)).astype(np.float32)
    found = geometry.preservation(grid, other, num_neighbours=3)
    assert float(found.rank_correlation) == pytest.approx(
        stats.spearmanr(pdist(grid), pdist(other)).statistic, abs=1e-5
    )


@pytest.mark.parametrize("scale", [1e30, 1e-30])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_units_do_not_matter(scale, metric):
    plain = geometry.preservation(SOURCE, MAPPED, metric=metric)
    scaled = geometry.preservation(SOURCE * np.float32(scale), MAPPED * np.float32(scale), metric=metric)
    np.testing.assert_allclose(scaled, plain, atol=2e-3)  # neighbours all but equally far may change places
    half = geometry.preservation(SOURCE.astype(np.float16), MAPPED.astype(np.float16), metric=metric)
    np.testing.assert_allclose(half, plain, atol=0.02)


def test_inside_jit_what_is_unknown_is_nan():
    run = jax.jit(jax.vmap(lambda source: geometry.preservation(source, MAPPED, metric="cosine")))
    found = run(np.stack([SOURCE, SOURCE * np.nan, SOURCE * (np.arange(40) > 0)[:, None].astype(np.float32)]))
    for values in found:
        assert np.isnan(values).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("source", "mapped", "options", "message"),
    [
        (SOURCE * np.nan, MAPPED, {}, "source: expected finite numbers, got infinite or NaN entries"),
        (SOURCE, MAPPED * np.inf, {}, "mapped: expected finite numbers, got infinite or NaN entries"),
        (SOURCE * 0, MAPPED, {"metric": "cosine"}, "source: expected rows with a direction for cosines"),
        (SOURCE, MAPPED[:-1], {}, "mapped: expected as many rows as source, 40, got 39"),
        (SOURCE[0], MAPPED, {}, r"source: expected a floating-point array \[N, D\]"),
        (SOURCE, MAPPED, {"num_neighbours": 20}, "num_neighbours: expected less than half of the 40 rows, got 20"),
        (SOURCE, MAPPED, {"num_neighbours": 0}, "num_neighbours: expected a static integer of at least 1"),
        (SOURCE, MAPPED, {"metric": "l3"}, "metric: expected one of 'euclidean', 'cosine'"),
    ],
)
def test_bad_input(source, mapped, options, message):
    with pytest.raises(ValueError, match=message):
        geometry.preservation(source, mapped, **options)
