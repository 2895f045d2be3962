"""Laws of the harder scenes: covariances, proportions, tails and distances, from their formulas alone."""

import sys

import jax
import numpy as np
import pytest
from scipy import stats

import tokdyn as td

SIZES = np.array([12_000, 6_000, 1_500, 500, 0])
ROWS = 24_000


@jax.jit
def scene(key, sizes, numbers):
    """One program for every test; numbers: noise, spread, stretch, tail, group size and spread, background, D."""
    names = ("noise", "spread", "stretch", "tail_index", "group_size", "group_spread", "num_background")
    given = dict(zip(names, numbers, strict=False))
    return td.data.mixture(
        key, sizes=sizes, num_features=ROWS, num_dimensions=numbers[7], max_dimensions=8, **given
    )  # fmt: skip


def drawn(seed=0, sizes=SIZES, *, noise=1.0, spread=5.0, stretch=1.0, tail=np.inf, group=1, inside=0.0, background=0,
          dimensions=6):  # fmt: skip
    numbers = np.array([noise, spread, stretch, tail, group, inside, background, dimensions], "float32")
    return jax.tree.map(np.asarray, scene(jax.random.key(seed), sizes, tuple(numbers)))


def own(found, label):
    """Features of a cluster, around its centre."""
    return found.features[found.mask & (found.labels == label)] - found.centres[label]


class TestProportions:
    def test_sizes_are_exact_and_the_rest_is_masked(self):
        found = drawn(background=1_000)
        assert np.bincount(found.labels[found.mask] + 1, minlength=6).tolist() == [1_000, *SIZES.tolist()]
        assert found.mask.sum() == SIZES.sum() + 1_000
        assert not found.features[~found.mask].any()

    def test_background_is_uniform_in_the_box(self):
        found = drawn(background=4_000, spread=3.0)
        noise = found.features[found.labels == -1][:, :6]
        assert len(noise) == 4_000
        # 6 tests of a right law fall below 1e-4 in 6 of 10,000 draws.
        assert min(stats.kstest(column, stats.uniform(-3, 6).cdf).pvalue for column in noise.T) > 1e-4

    def test_dimensions_beyond_are_zero(self):
        found = drawn(dimensions=3, background=100)
        assert not found.features[:, 3:].any()
        assert (found.features[found.mask][:, :3] != 0).all()


class TestCovariance:
    @pytest.mark.parametrize("stretch", [1.0, 5.0])
    def test_one_direction_is_stretched(self, stretch):
        """Eigenvalues of a sample covariance have a relative standard error of about sqrt(2 / n)."""
        found = drawn(noise=0.6, stretch=stretch)
        for label in (0, 1):
            count = SIZES[label]
            values = np.linalg.eigvalsh(np.cov(own(found, label)[:, :6].T))[::-1] / 0.36
            assert values[0] == pytest.approx(stretch**2, rel=5 * np.sqrt(2 / count) + (stretch == 1) * 0.05)
            np.testing.assert_allclose(values[1:], 1, atol=0.1)

    def test_clusters_have_directions_of_their_own(self):
        found = drawn(stretch=5.0)
        first, second = (np.linalg.eigh(np.cov(own(found, label)[:, :6].T))[1][:, -1] for label in (0, 1))
        assert abs(first @ second) < 0.95

    def test_a_width_for_each_cluster(self):
        widths = np.array([0.5, 2.0, 1.0])
        found = td.data.mixture(jax.random.key(3), sizes=np.array([4_000] * 3), noise=widths, spread=0.0)
        measured = [np.asarray(found.features)[np.asarray(found.labels) == label].std() for label in range(3)]
        np.testing.assert_allclose(measured, widths, rtol=5 / np.sqrt(2 * 4_000 * 6))


class TestTails:
    @pytest.mark.parametrize("tail", [1.5, 3.0])
    def test_distances_exceed_r_as_a_power_of_r(self, tail):
        """Hill's estimate of the tail index has a standard error of alpha / sqrt(k)."""
        distances = np.sort(np.linalg.norm(own(drawn(tail=tail), 0), axis=1))[::-1]
        largest = 300
        hill = 1 / np.mean(np.log(distances[:largest] / distances[largest]))
        assert hill == pytest.approx(tail, rel=4 / np.sqrt(largest))

    def test_the_whole_law_of_a_slash(self):
        """P(r > R) = E[min(1, (|z| / R)^alpha)] for the radius |z| of a Gaussian in six dimensions."""
        distances = np.linalg.norm(own(drawn(tail=2.0), 0), axis=1)
        radii = stats.chi(6).ppf((np.arange(4_000) + 0.5) / 4_000)
        beyond = np.array([np.minimum(1, (radii / limit) ** 2).mean() for limit in (2.0, 4.0, 8.0, 16.0)])
        measured = np.array([(distances > limit).mean() for limit in (2.0, 4.0, 8.0, 16.0)])
        errors = np.sqrt(beyond * (1 - beyond) / len(distances))
        assert (np.abs(measured - beyond) < 4.5 * errors).all()

    def test_no_tail_is_a_gaussian(self):
        distances = np.linalg.norm(own(drawn(noise=0.7), 0), axis=1) / 0.7
        assert stats.kstest(distances, stats.chi(6).cdf).pvalue > 1e-4


class TestDistances:
    def test_centres_within_and_between_groups(self):
        """Coordinates uniform in (-w, w) differ by a mean square of 2 w^2 / 3; groups add to it."""
        sizes = np.full(5, 10)
        inside, between = [], []
        for seed in range(200):
            centres = drawn(seed, sizes, group=2, inside=1.0).centres[:, :6]
            inside.append(np.sum((centres[0] - centres[1]) ** 2))
            between.append(np.sum((centres[0] - centres[2]) ** 2))
        for found, expected in ((inside, 6 * 2 / 3), (between, 6 * 2 * (25 + 1) / 3)):
            assert np.mean(found) == pytest.approx(expected, abs=4.5 * np.std(found) / np.sqrt(len(found)))

    def test_spread_scales_the_same_centres(self):
        near, far = drawn(spread=1.0).centres, drawn(spread=4.0).centres
        np.testing.assert_allclose(4 * near, far, rtol=1e-6)

    def test_without_difficulties_it_is_a_mixture_as_blobs_has_them(self):
        """The same law as ``blobs``: distances of features from their centres, and centres in the box."""
        theirs = td.data.blobs(jax.random.key(1), num_clusters=4, noise=0.6, points_per_cluster=1_000)
        away = np.asarray(theirs.features) - np.asarray(theirs.centres)[np.asarray(theirs.labels)]
        ours = drawn(noise=0.6, sizes=np.full(5, 1_000))
        mine = (ours.features - ours.centres[ours.labels])[ours.mask]
        compared = stats.ks_2samp(np.linalg.norm(away, axis=1), np.linalg.norm(mine, axis=1))
        assert compared.pvalue > 1e-4


class TestCurves:
    def test_moons_lie_on_their_half_circles(self):
        found = td.data.moons(jax.random.key(0), num_features=4_000, noise=0.0)
        x, labels = np.asarray(found.features), np.asarray(found.labels)
        for label, (centre, sign) in enumerate((((0.0, 0.0), 1), ((1.0, 0.5), -1))):
            away = (x[labels == label] - centre) * sign
            np.testing.assert_allclose(np.linalg.norm(away, axis=1), 1, atol=1e-5)
            angles = np.arctan2(away[:, 1], away[:, 0])
            assert stats.kstest(np.where(angles < 0, angles + np.pi, angles) / np.pi, "uniform").pvalue > 1e-4
            error = x[labels == label].std(axis=0) / np.sqrt(2_000)
            assert (np.abs(x[labels == label].mean(axis=0) - np.asarray(found.centres)[label]) < 4.5 * error).all()

    def test_rings_have_two_radii_and_one_mean(self):
        found = td.data.rings(jax.random.key(0), num_features=4_000, noise=0.05, inner=0.5)
        radii, labels = np.linalg.norm(found.features, axis=1), np.asarray(found.labels)
        for label, radius in enumerate((1.0, 0.5)):
            # A normal displacement across a circle lengthens the mean radius by sigma^2 / 2 r.
            expected = radius + 0.05**2 / (2 * radius)
            assert radii[labels == label].mean() == pytest.approx(expected, abs=4.5 * 0.05 / np.sqrt(2_000))
            assert radii[labels == label].std() == pytest.approx(0.05, rel=0.1)
        assert np.abs(np.asarray(found.features).mean(axis=0)).max() < 4.5 * np.sqrt(0.32 / 4_000)

    def test_further_columns_are_zero(self):
        found = td.data.rings(jax.random.key(0), num_features=4_000, noise=0.05, num_dimensions=4)
        assert not np.asarray(found.features)[:, 2:].any()


def test_numbers_do_not_compile_again():
    drawn()
    before = scene._cache_size()
    drawn(noise=2.0, stretch=3.0, tail=1.0, group=2, inside=1.0, background=7, dimensions=2)
    assert scene._cache_size() == before


def test_real_data_are_scikit_learns_own():
    datasets = pytest.importorskip("sklearn.datasets", reason="no scikit-learn here to compare with")
    for name, load in (("wine", td.data.wine), ("iris", td.data.iris), ("breast_cancer", td.data.cancer)):
        features, labels = load()
        theirs = getattr(datasets, f"load_{name}")()
        np.testing.assert_allclose(features, theirs.data, rtol=1e-6)
        np.testing.assert_array_equal(labels, theirs.target)
    images, labels = td.data.digits()
    np.testing.assert_array_equal(images * 16, datasets.load_digits().images)
    np.testing.assert_array_equal(labels, datasets.load_digits().target)


def test_without_scikit_learn_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ValueError, match=r"^wine: expected scikit-learn.*pip install 'tokdyn\[data\]'.*, got"):
        td.data.wine()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": np.array([1.5])}, "sizes: expected whole numbers"),
        ({"sizes": np.array([[3]])}, "sizes: expected whole numbers"),
        ({"sizes": np.array([3, -1])}, "sizes: expected whole numbers of at least 0"),
        ({"sizes": np.array([0, 0])}, "sizes: expected whole numbers of at least 0, one of them above"),
        ({"noise": -1.0}, "noise: expected a number of at least 0"),
        ({"noise": np.ones(3)}, "noise: expected one number, or 2 of them"),
        ({"spread": -1.0}, "spread: expected"),
        ({"stretch": np.nan}, "stretch: expected"),
        ({"tail_index": 0.0}, "tail_index: expected a number above 0"),
        ({"tail_index": np.ones(2)}, "tail_index: expected one number"),
        ({"group_size": 0}, "group_size: expected"),
        ({"num_background": -1}, "num_background: expected"),
        ({"num_features": 5}, "num_features: expected at least 8, which sizes, num_background add up to"),
        ({"num_dimensions": 0}, "num_dimensions: expected"),
        ({"num_dimensions": 9, "max_dimensions": 8}, "num_dimensions: expected from 1 to max_dimensions, 8"),
    ],
)
def test_bad_mixtures_are_refused_in_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        td.data.mixture(jax.random.key(0), **{"sizes": np.array([5, 3]), "noise": 1.0, **arguments})


@pytest.mark.parametrize("make", [td.data.moons, td.data.rings])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_features": 7}, "num_features: expected an even number"),
        ({"num_features": 0}, "num_features: expected"),
        ({"num_dimensions": 1}, "num_dimensions: expected"),
        ({"noise": -0.1}, "noise: expected"),
    ],
)
def test_bad_curves_are_refused_in_a_sentence(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(jax.random.key(0), **arguments)


def test_traced_sizes_need_a_static_shape():
    with pytest.raises(ValueError, match="num_features: expected a static integer, because sizes"):
        jax.jit(lambda sizes: td.data.mixture(jax.random.key(0), sizes=sizes, noise=1.0))(np.array([3, 4]))
