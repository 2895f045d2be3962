"""``select_temperature``: no units, no frame of reference, the right number where there is one, and none elsewhere."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokdyn as td
from tokdyn.theory import order


def clusters(seed, count=4, each=40, noise=0.5, dimensions=5):
    """Far apart: centres on different axes, so that every distance between them is 10."""
    rng = np.random.default_rng(seed)
    centres = 10 / np.sqrt(2) * np.eye(dimensions)[np.arange(count) % dimensions]
    rows = centres[:, None] + noise * rng.normal(size=(count, each, dimensions))
    return rows.reshape(-1, dimensions), np.repeat(np.arange(count), each)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_clusters_far_apart_are_counted_and_labelled(count):
    rows, labels = clusters(count, count, each=160 // count)
    found = td.select_temperature(rows[:160] if count != 3 else np.concatenate([rows, rows[:1]]))
    assert found.num_clusters == count
    assert found.tokens.shape == (count, 5)
    pairs = set(zip(labels.tolist(), found.labels[: len(labels)].tolist(), strict=True))
    assert len(pairs) == count
    # Between the critical temperature of a cluster, at most 2 sigma^2 (1 + sqrt(D / n))^2, and that of all.
    assert 2 * 0.25 < found.temperature < float(td.theory.critical_temperature(rows))
    assert found.known
    assert f"{count} clusters" in str(found)


@pytest.mark.parametrize("scale", [1e-3, 1e3, 1e-12, 1e12])
def test_the_unit_does_not_matter(scale):
    rows, _ = clusters(0)
    one, other = td.select_temperature(rows), td.select_temperature(rows * scale)
    assert (one.num_clusters, one.width) == (other.num_clusters, other.width)
    np.testing.assert_array_equal(one.distinct, other.distinct)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(other.temperature, one.temperature * scale**2, rtol=1e-6)
    np.testing.assert_allclose(other.tokens, one.tokens * scale, rtol=1e-3, atol=1e-3 * scale)


@settings(max_examples=8)
@given(st.integers(0, 2**31))
def test_the_place_and_the_direction_of_the_axes_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    rows, _ = clusters(1)
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    one, other = td.select_temperature(rows), td.select_temperature(rows @ turn + rng.normal(size=5) * 1e4)
    assert other.num_clusters == one.num_clusters
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(other.temperature, one.temperature, rtol=1e-6)


@pytest.mark.parametrize("name", ["one cluster", "uniform", "constant", "line"])
def test_no_clusters_are_unknown(name):
    rng = np.random.default_rng(3)
    rows = {
        "one cluster": rng.normal(size=(160, 5)), "uniform": rng.uniform(size=(160, 5)), "constant": np.ones((160, 5)),
        "line": np.linspace(0, 1, 160)[:, None] * np.ones(5),
    }[name]  # fmt: skip
    found = td.select_temperature(rows)
    assert not found.known
    assert found.num_clusters == 0
    assert np.isnan(found.temperature)
    assert (found.labels == -1).all()
    assert found.labels.shape == (160,)
    assert found.tokens.shape == (0, 5)
    assert "unknown" in str(found)


def test_more_clusters_than_tokens_are_unknown_or_fewer_but_never_more():
    rows, _ = clusters(2, count=5, each=32)
    assert td.select_temperature(rows, num_tokens=4).num_clusters < 4


def test_many_rows_are_labelled_though_a_sample_is_read():
    rows, labels = clusters(4, count=4, each=1_500)
    found = td.select_temperature(rows)
    assert found.num_clusters == 4
    assert len(set(zip(labels.tolist(), found.labels.tolist(), strict=True))) == 4


def plainly(counts, most):
    """The widest run of one number in a list, by a loop."""
    best, first = (0, 0, 0), 0
    for i in range(1, len(counts) + 1):
        if i == len(counts) or counts[i] != counts[first]:
            if 1 < counts[first] < most and i - first > best[0]:
                best = (i - first, counts[first], i - 1 - (i - first) // 2)
            first = i
    return best


@settings(max_examples=60)
@given(st.lists(st.integers(1, 6), min_size=32, max_size=32), st.booleans())
def test_the_widest_plateau_by_a_loop(counts, is_sorted):
    counts = sorted(counts, reverse=True) if is_sorted else counts
    length, count, middle = plainly(counts, 6)
    found = order.widest_plateau(np.array(counts, np.int32), num_tokens=6)
    assert int(found.number) == count
    if length:
        assert int(found.middle) == middle
        assert counts[int(found.middle)] == count
    assert float(found.width) == pytest.approx(1000 ** (length / 31), rel=1e-5)
    assert bool(found.is_wide) == (length >= 5)


def test_masked_rows_have_no_influence():
    rows, _ = clusters(5)
    given = np.concatenate([rows, np.full((40, 5), np.nan)]).astype("float32")
    mask = np.arange(200) < 160
    scaled = order.in_own_units(given, mask)
    assert not np.asarray(scaled)[160:].any()
    assert float(td.theory.critical_temperature(scaled, mask=mask)) == pytest.approx(1, rel=1e-5)
    found = order.heated(scaled, mask, jax.random.key(0), num_tokens=16)
    assert int(order.widest_plateau(found.distinct, num_tokens=16).number) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": np.ones(5)}, r"features: expected a floating-point array \[N, D\]"),
        ({"features": np.ones((20, 2), int)}, r"features: expected a floating-point array \[N, D\]"),
        ({"features": [["a"]]}, "features: expected"),
        ({"features": np.full((20, 2), np.nan)}, "features: expected finite numbers, got 40 that are not"),
        ({"features": np.ones((15, 2))}, "features: expected at least num_tokens = 16 rows"),
        ({"features": np.ones((20, 0))}, "features: expected"),
        ({"num_tokens": 2}, "num_tokens: expected a static integer of at least 3"),
        ({"num_tokens": 4.0}, "num_tokens: expected a static integer"),
        ({"key": 3}, "key: expected one JAX key"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(arguments, message):
    rows, _ = clusters(0)
    with pytest.raises(ValueError, match=message):
        td.select_temperature(**{"features": rows, **arguments})
