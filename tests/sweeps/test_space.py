"""Spaces: what is crossed with what, and the one sentence for what cannot be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import qmc

import tokdyn as td

LENGTHS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@given(LENGTHS)
def test_a_grid_is_the_outer_product_with_the_last_axis_fastest(lengths):
    axes = {f"p{i}": np.arange(n) + 10.0 * i for i, n in enumerate(lengths)}
    space = td.grid(axes)
    columns = space.columns()
    expected = np.meshgrid(*axes.values(), indexing="ij")
    assert space.num_cells == np.prod(lengths)
    for path, values in zip(axes, expected, strict=True):
        np.testing.assert_array_equal(columns[path], values.ravel())


def test_a_product_crosses_and_a_zip_moves_together():
    space = td.zipped("regime", {"a": [1, 2], "b": [3, 4]}) * td.grid({"c": [0.0, 1.0, 2.0]})
    columns = space.columns()
    assert space.shape == (2, 3)
    np.testing.assert_array_equal(columns["a"], [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(columns["b"], [3, 3, 3, 4, 4, 4])
    np.testing.assert_array_equal(columns["c"], [0, 1, 2, 0, 1, 2])


def test_samples_have_their_distribution_and_sobol_covers_the_box_evenly():
    space = td.sampled(1024, {"u": td.uniform(-1, 3), "l": td.log_uniform(0.1, 10), "c": td.choice(2, 5)}, seed=3)
    columns = space.columns()
    assert stats.kstest(columns["u"], stats.uniform(-1, 4).cdf).statistic < 0.01  # random points: about 0.03
    assert stats.kstest(np.log(columns["l"]), stats.uniform(np.log(0.1), np.log(100)).cdf).statistic < 0.01
    assert sorted(np.unique(columns["c"], return_counts=True)[1]) == [512, 512]
    unit = np.stack([(columns["u"] + 1) / 4, np.log(columns["l"] * 10) / np.log(100)], axis=1)
    assert qmc.discrepancy(unit) < 0.1 * qmc.discrepancy(np.random.default_rng(0).random((1024, 2)))


def test_sampling_is_reproducible_and_of_any_length():
    draw = lambda n, **options: td.sampled(n, {"u": td.uniform(0, 1)}, **options).columns()["u"]  # noqa: E731
    np.testing.assert_array_equal(draw(5), draw(5))
    np.testing.assert_array_equal(draw(5), draw(8)[:5])
    assert (draw(5) != draw(5, seed=1)).any()
    assert len(draw(1)) == 1
    assert (draw(6, method="random") != draw(6)).all()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: td.grid({}), "values: expected at least one path with its values, got none"),
        (lambda: td.grid({"a.b": []}), r"a\.b: expected a sequence of at least one number, got shape \(0,\)"),
        (lambda: td.grid({"a.b": [1.0, np.nan]}), r"a\.b: expected numbers, got NaN"),
        (lambda: td.grid({"a.b": ["x"]}), r"a\.b: expected a sequence of numbers, got \['x'\]"),
        (lambda: td.grid({"a.b": 3.0}), r"a\.b: expected a sequence of at least one number, got shape \(\)"),
        (lambda: td.zipped("z", {"a": [1, 2], "b": [1]}), "b: expected 2 values, as 'a' has, got 1"),
        (lambda: td.zipped("a", {"a": [1]}), "name: expected a name that is none of the paths, got 'a'"),
        (lambda: td.grid({"a": [1]}) * td.zipped("z", {"a": [1]}), "expected each axis and each path once, got 'a'"),
        (lambda: td.sampled(0, {"a": td.uniform(0, 1)}), "num_samples: expected a static integer of at least 1"),
        (lambda: td.sampled(4, {"a": [0, 1]}), "a: expected a distribution, such as"),
        (lambda: td.sampled(4, {"a": td.uniform(0, 1)}, method="halton"), "method: expected one of 'sobol', 'random'"),
        (lambda: td.uniform(1, 0), "low, high: expected two finite numbers, the first below the second"),
        (lambda: td.log_uniform(0, 1), "low: expected a number above 0, got 0"),
        (lambda: td.variants(), "options: expected at least one keyword"),
        (lambda: td.variants(kernel=[]), "kernel: expected at least one value, got none"),
        (lambda: td.variants(rule=[(1, 2)]), "rule: expected labels that are numbers or text"),
    ],
)
def test_bad_spaces_get_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
