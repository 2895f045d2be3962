"""The sign-flip test: against scipy, its level, its clusters, its ties, its independence of machine settings."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from constant_keys import constant_key

from tokdyn import keys
from tokdyn.stats import bits, permutation, sign_flip_test, sign_test

KEY = constant_key(7)


def test_exact_agrees_with_scipy():
    values = np.random.default_rng(0).normal(0.5, 1, (3, 10))
    ours = sign_flip_test(values)
    theirs = scipy.stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
        axis=-1,
    )
    assert ours.exact.all()
    np.testing.assert_allclose(ours.p_value, theirs.pvalue, rtol=1e-12)
    np.testing.assert_allclose(ours.mean, values.mean(-1))


def test_equal_sizes_are_the_sign_test():
    values = np.random.default_rng(1).choice([-0.1, 0.0, 0.1], size=(20, 12))
    np.testing.assert_allclose(sign_flip_test(values).p_value, sign_test(values).p_value, rtol=1e-12)


def test_random_flips_approach_the_exact_p_value():
    values = np.random.default_rng(2).normal(0.4, 1, (50, 12))
    num = 20_000
    exact = sign_flip_test(values, method="exact")
    drawn = sign_flip_test(values, key=KEY, method="random", num_permutations=num)
    assert not drawn.exact.any()
    deviation = np.sqrt(exact.p_value * (1 - exact.p_value) / num)
    assert (np.abs(drawn.p_value - exact.p_value) <= 5 * deviation + 1 / num).all()


def test_level_under_the_null_is_exact():
    # With 10 continuous clusters p is uniform on multiples of 2/1024: P(p <= 0.05) = 25/512. Clusters share a draw.
    rng = np.random.default_rng(3)
    shared = np.repeat(rng.normal(size=(3000, 10)), 4, axis=-1)
    values = shared + 0.3 * rng.normal(size=(3000, 40))
    rejections = (sign_flip_test(values, np.repeat(np.arange(10), 4)).p_value <= 0.05).mean()
    rate = 25 / 512
    assert abs(rejections - rate) < 5 * np.sqrt(rate * (1 - rate) / 3000)
    # Flipping pair by pair takes 40 alike pairs for 40 independent ones and rejects far too often.
    naive = (sign_flip_test(values, key=KEY, num_permutations=500).p_value <= 0.05).mean()
    assert naive > 0.2


def test_level_of_random_flips():
    # P(p <= 0.1) = 0.1 for every draw of the flips averaged over data; 20 keys so that flips vary too.
    values = np.random.default_rng(4).normal(size=(20, 200, 25))
    rates = [
        (sign_flip_test(block, key=jax.random.key(seed), num_permutations=499).p_value <= 0.1).mean()
        for seed, block in enumerate(values)
    ]
    # 4000 tests, and 20 independent draws of a critical value whose level has variance 0.1 * 0.9 / 499.
    assert abs(np.mean(rates) - 0.1) < 5 * np.sqrt(0.09 / 4000 + 0.09 / 499 / 20)


def test_clusters_of_one_are_pairs_and_labels_are_only_labels():
    values = np.random.default_rng(5).normal(0.3, 1, (4, 9))
    plain = sign_flip_test(values).p_value
    np.testing.assert_allclose(sign_flip_test(values, np.arange(9)[::-1]).p_value, plain, rtol=1e-12)
    np.testing.assert_allclose(sign_flip_test(values, list("abcdefghi")).p_value, plain, rtol=1e-12)


def test_ties_are_exact_and_limit_what_can_be_shown():
    values = np.zeros((3, 30))
    values[1, :3] = 0.1, 0.2, 0.3
    values[2] = 0.1
    test = sign_flip_test(values, key=KEY)
    assert test.degenerate.tolist() == [True, False, False]
    assert test.exact.tolist() == [True, True, False]
    assert test.p_value[:2].tolist() == [1.0, 0.25]
    assert test.smallest_p_value.tolist() == [1.0, 0.25, 1 / 10_001]
    assert test.p_value[2] == 1 / 10_001  # a constant without variance is testable here


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_does_not_break_ties(dtype):
    # 0.1 + 0.2 against 0.3: the flips (+,+,-) and (-,-,+) are exactly zero in mathematics.
    values = np.array([0.1, 0.2, -0.3], dtype=dtype)
    assert sign_flip_test(values).p_value == 1.0
    values = np.array([0.1, 0.2, 0.3, 0.6], dtype=dtype)
    assert sign_flip_test(values).p_value == 0.125
    assert sign_flip_test(np.array([0.1, 0.2, -0.3], dtype=dtype), [0, 0, 0]).degenerate


def test_each_p_value_is_its_own_whatever_the_family_and_the_block(monkeypatch):
    values = np.random.default_rng(6).normal(0.2, 1, (5, 40))
    together = sign_flip_test(values, key=KEY, num_permutations=3000).p_value
    alone = [float(sign_flip_test(row, key=KEY, num_permutations=3000).p_value) for row in values]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    monkeypatch.setattr(bits, "_ELEMENTS_PER_BLOCK", 64 * 7)
    blocked = sign_flip_test(values, key=KEY, num_permutations=3000).p_value
    np.testing.assert_array_equal(together, blocked)
    monkeypatch.setattr(permutation, "_ELEMENTS_PER_BLOCK", 100)
    np.testing.assert_array_equal(sign_flip_test(values[:, :9]).p_value.shape, (5,))


def test_the_global_precision_is_neither_used_nor_changed():
    values = np.random.default_rng(7).normal(0.2, 1, (2, 40))
    before = jax.config.jax_enable_x64
    narrow = sign_flip_test(values, key=KEY, num_permutations=500).p_value
    with jax.enable_x64(not before):
        wide = sign_flip_test(values, key=KEY, num_permutations=500).p_value
    assert jax.config.jax_enable_x64 == before
    np.testing.assert_array_equal(narrow, wide)


def test_other_values_and_more_permutations_compile_nothing(monkeypatch):
    compiled = jax.jit(chex.assert_max_traces(bits._bits, n=1), static_argnames=("block", "width"))
    monkeypatch.setattr(bits, "_program", lambda effort: compiled)
    rng = np.random.default_rng(8)
    for seed, num in enumerate([100, 200, 5000]):
        sign_flip_test(rng.normal(size=(3, 31 + seed)), key=jax.random.key(seed), num_permutations=num)


def test_how_well_it_was_compiled_does_not_show():
    few, many = (next(bits.blocks_of_bits(KEY, 31, num, size=31)) for num in (1000, 10**6))
    assert bits._program("little") is not bits._program("usual")
    np.testing.assert_array_equal(few, many)


def test_bits_that_are_kept_are_those_of_their_key(monkeypatch):
    """Asked for again nothing is drawn; another key, number or width is; nobody can change what others get."""
    bits._kept.cache_clear()
    first = list(bits.blocks_of_bits(KEY, 31, 700, size=31))
    fresh = list(bits._blocks(KEY, 700, 512, 64, "little"))
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(fresh)[:, :31])
    other = np.concatenate(list(bits.blocks_of_bits(jax.random.key(12), 31, 700, size=31)))
    assert (other != np.concatenate(first)).mean() > 0.99
    with pytest.raises(ValueError, match="read-only"):
        first[0][0, 0] = 1

    def again(*arguments):
        raise AssertionError("drawn again")

    monkeypatch.setattr(bits, "_program", again)
    np.testing.assert_array_equal(np.concatenate(list(bits.blocks_of_bits(KEY, 20, 700, size=20))),
                                  np.concatenate(first)[:, :20])  # fmt: skip
    with pytest.raises(AssertionError, match="drawn again"):
        list(bits.blocks_of_bits(jax.random.key(13), 31, 700, size=31))


def test_permutation_i_is_drawn_by_its_own_key_as_a_coin_of_jax():
    """The p-value by a loop over permutations, one ``bernoulli`` each."""
    values, num = np.random.default_rng(11).normal(0.3, 1.0, 25), 300
    own = keys.for_purpose(KEY, "sign_flip_test")
    heads = jax.vmap(lambda i: jax.random.bernoulli(jax.random.fold_in(own, i), np.float32(0.5), (25,)))(np.arange(num))
    extreme = np.abs(np.where(heads, 1.0, -1.0) @ values) >= np.abs(values.sum()) * (1 - 1e-12)
    found = sign_flip_test(values, key=KEY, num_permutations=num, method="random")
    assert found.p_value == (1 + extreme.sum()) / (1 + num)


def test_bad_input_is_a_sentence():
    values = np.random.default_rng(9).normal(size=(2, 25))
    with pytest.raises(ValueError, match="key: expected a key"):
        sign_flip_test(values)
    with pytest.raises(ValueError, match="clusters: expected"):
        sign_flip_test(values, np.arange(24))
    with pytest.raises(ValueError, match="clusters: expected"):
        sign_flip_test(values, np.linspace(0, 1, 25))
    with pytest.raises(ValueError, match="more than 20 clusters"):
        sign_flip_test(values, method="exact")
    with pytest.raises(ValueError, match="num_permutations"):
        sign_flip_test(values, key=KEY, num_permutations=0)
    with pytest.raises(ValueError, match="differences"):
        sign_flip_test(jnp.array([1.0, jnp.nan]))
