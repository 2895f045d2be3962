"""The nearest token by products: the one that differences in float64 find, in blocks."""

import tracemalloc

import numpy as np
import pytest

from tokdyn import nearest
from tokdyn.nearest import nearest_tokens, squared_error

RNG = np.random.default_rng(0)


@pytest.fixture(params=["products", "as it comes"], autouse=True)
def _form(request, monkeypatch):
    """Few dimensions are compared by differences; the bound must hold for them too."""
    if request.param == "products":
        monkeypatch.setattr(nearest, "FEW_DIMENSIONS", 0)


def distances(features, tokens):
    gaps = features.astype(np.float64)[:, None] - tokens.astype(np.float64)
    return (gaps**2).sum(axis=2)


def case(dimension, dtype, *, offset=0.0, spread=1.0, num_tokens=7, num_features=400):
    """Tokens, and features of which half lie close to the middle between two tokens: rounding decides."""
    tokens = (offset + spread * RNG.normal(size=(num_tokens, dimension))).astype(dtype)
    anywhere = offset + spread * RNG.normal(size=(num_features // 2, dimension))
    one, other = (tokens[RNG.integers(num_tokens, size=num_features // 2)].astype(np.float64) for _ in range(2))
    nudge = 10.0 ** RNG.uniform(-9, -1, (num_features // 2, 1)) * RNG.choice([-1, 1], (num_features // 2, 1))
    between = (one + other) / 2 + nudge * (other - one)
    return np.concatenate([anywhere, between]).astype(dtype), tokens


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dimension", [1, 2, 40, 300])
@pytest.mark.parametrize(("offset", "spread"), [(0.0, 1.0), (1e4, 1.0), (-3e6, 10.0), (1e12, 1e10), (0.0, 1e-15)])
def test_is_the_nearest_by_differences_in_float64(dtype, dimension, offset, spread):
    features, tokens = case(dimension, dtype, offset=offset, spread=spread)
    expected = distances(features, tokens)
    chosen = np.take_along_axis(expected, nearest_tokens(features, tokens)[:, None], axis=1)[:, 0]
    # Two sums of D squares in float64, added in different orders, differ by at most 2 (D + 2) roundings.
    rounding = 2 * (dimension + 2) * np.finfo(np.float64).eps * expected.min(axis=1)
    assert (chosen <= expected.min(axis=1) + rounding).all()


def test_that_case_is_a_hard_one():
    """Products that are taken from the origin, in float32, name wrong tokens; so do those without a bound."""
    features, tokens = case(40, np.float32, offset=1e4)
    right = distances(features, tokens).argmin(axis=1)
    from_origin = ((tokens * tokens).sum(axis=1) - 2 * features @ tokens.T).argmin(axis=1)
    assert (from_origin != right).mean() > 0.3

    features, tokens = case(100, np.float32, num_tokens=2, num_features=4000)
    right, centre = distances(features, tokens).argmin(axis=1), tokens.mean(axis=0)
    centred = (((tokens - centre) ** 2).sum(axis=1) - 2 * (features - centre) @ (tokens - centre).T).argmin(axis=1)
    assert (centred != right).any()
    np.testing.assert_array_equal(nearest_tokens(features, tokens), right)


@pytest.mark.parametrize("far", [1.0, 1e3, 1e6])
def test_the_bound_holds_where_one_token_is_far_off(far):
    """The score of each token, in float32, is off by less than its bound."""
    features, tokens = case(64, np.float32)
    tokens[0] *= np.float32(far)
    possible = nearest._Possible(tokens.astype(np.float64), np.dtype(np.float32))
    nearest_in_float64 = distances(features, tokens).argmin(axis=1)
    assert possible(features)[np.arange(len(features)), nearest_in_float64].all()


def test_most_features_are_decided_by_products():
    tokens = RNG.normal(size=(32, 512)).astype(np.float32)
    features = tokens[RNG.integers(32, size=2000)] + RNG.normal(size=(2000, 512)).astype(np.float32)
    possible = nearest._Possible(tokens.astype(np.float64), np.dtype(np.float32))
    assert (possible(features).sum(axis=1) > 1).mean() < 0.01


def test_of_equal_tokens_the_first_is_named():
    tokens = np.repeat(RNG.normal(size=(3, 50)), 2, axis=0)
    features = RNG.normal(size=(100, 50))
    labels = nearest_tokens(features, tokens)
    assert set(labels) <= {0, 2, 4}
    assert nearest_tokens(features, tokens[:1]).tolist() == [0] * 100


def test_memory_is_that_of_a_block():
    """All differences at once would be 3,277 MB, all scores 26 MB."""
    features, tokens = RNG.normal(size=(200_000, 64)).astype(np.float32), RNG.normal(size=(32, 64)).astype(np.float32)
    nearest_tokens(features[:10], tokens)  # imports
    tracemalloc.start()
    labels = nearest_tokens(features, tokens)
    squared_error(features, tokens, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A block of 2^20 numbers, in float64 where differences are taken, a few times; and the labels.
    assert peak < labels.nbytes + 5 * 8 * nearest.MOST_NUMBERS


def test_the_sum_of_squared_distances():
    features, tokens = case(40, np.float32, offset=1e4)
    labels = nearest_tokens(features, tokens)
    assert squared_error(features, tokens, labels) == pytest.approx(distances(features, tokens).min(axis=1).sum())
