"""Planted cosines at planted indices, invariances of centring and whitening, retrieval with ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn.reasoning.diagnose import cosines, cross_task, retrieval, similarity, similarity_table, transformed

compiled = jax.jit(similarity, static_argnames="space")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def planted(shares, num_items=6):
    """Latents whose cosine between items at index k is shares[k] exactly: one common direction, one for each item."""
    num_slots = len(shares)
    size = num_slots * (1 + num_items)
    latents = np.zeros((num_items, num_slots, size))
    for slot, share in enumerate(shares):
        latents[:, slot, slot] = np.sqrt(share)
        for item in range(num_items):
            latents[item, slot, num_slots + slot * num_items + item] = np.sqrt(1 - share)
    return jnp.asarray(latents * np.linspace(0.5, 3, num_items)[:, None, None], jnp.float32)  # lengths do not matter


def test_planted_cosines_are_found_at_their_index():
    found = compiled(planted([0.0, 0.9, 0.3]))
    np.testing.assert_allclose(found.between_items, [0.0, 0.9, 0.3], atol=1e-6)
    np.testing.assert_allclose(found.within_items, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(found.between_matrix[1], 0.9 + 0.1 * np.eye(6), atol=1e-6)
    assert not found.undefined.any()


def test_slots_alike_within_an_item_are_found_at_their_indices():
    latents = np.asarray(planted([0.0, 0.0, 0.0])).copy()
    latents[:, 2] = 0.8 * latents[:, 0] / np.linalg.norm(latents[:, 0], axis=-1, keepdims=True) + 0.6 * latents[
        :, 2
    ] / np.linalg.norm(latents[:, 2], axis=-1, keepdims=True)
    found = compiled(jnp.asarray(latents))
    expected = np.eye(3)
    expected[0, 2] = expected[2, 0] = 0.8
    np.testing.assert_allclose(found.within_items, expected, atol=1e-6)


def test_permuting_items_is_a_no_op_and_permuting_slots_permutes():
    latents = normal(0, 6, 3, 21)
    plain = jax.tree.map(np.asarray, compiled(latents))
    items, slots = np.array([3, 1, 0, 5, 4, 2]), np.array([2, 0, 1])
    np.testing.assert_allclose(compiled(latents[items]).between_items, plain.between_items, atol=1e-6)
    np.testing.assert_allclose(compiled(latents[:, slots]).between_items, plain.between_items[slots], atol=1e-6)
    expected = plain.within_items[slots][:, slots]
    np.testing.assert_allclose(compiled(latents[:, slots]).within_items, expected, atol=1e-6)
    same = latents[:, [0, 0, 2]]  # exchanging identical slots changes nothing
    np.testing.assert_array_equal(compiled(same[:, [1, 0, 2]]).within_items, compiled(same).within_items)


def test_a_common_mean_fools_raw_cosines_and_no_other():
    latents = normal(1, 40, 2, 8)
    shifted = latents + 50.0
    assert (compiled(shifted).between_items > 0.99).all()
    for space in ("centred", "whitened"):
        plain, moved = compiled(latents, space=space), compiled(shifted, space=space)
        np.testing.assert_allclose(moved.between_items, plain.between_items, atol=1e-3)
        assert (jnp.abs(moved.between_items) < 0.1).all()


def test_whitening_undoes_any_linear_map():
    with jax.enable_x64(True):
        vectors = jax.random.normal(jax.random.key(2), (60, 5), jnp.float64)
        mixed = vectors @ jax.random.normal(jax.random.key(3), (5, 5), jnp.float64) + 7.0
        whiten = jax.jit(transformed, static_argnames="space")
        white = [whiten(each, space="whitened", shrinkage=0.0) for each in (vectors, mixed)]
        np.testing.assert_allclose(white[0].T @ white[0] / 60, np.eye(5), atol=1e-10)
        # Symmetric whitening is unique up to a rotation, which cosines do not see.
        np.testing.assert_allclose(cosines(white[0], white[0]), cosines(white[1], white[1]), atol=1e-8)
        ball = whiten(mixed, space="whitened", shrinkage=1.0)
        np.testing.assert_allclose(cosines(ball, ball), cosines(*[transformed(mixed, space="centred")] * 2), atol=1e-10)


def test_constant_latents_are_marked_not_nan():
    latents = np.full((40, 2, 8), 0.1, np.float32)
    assert (compiled(latents).between_items > 0.999).all()
    for space in ("centred", "whitened"):
        found = compiled(latents, space=space)
        np.testing.assert_array_equal(found.undefined, 1.0)
        np.testing.assert_array_equal(found.between_items, 0.0)
    zero = compiled(latents * np.array([[1.0], [0.0]], np.float32))
    np.testing.assert_array_equal(zero.undefined, [0.0, 1.0])


def test_cross_task_finds_the_slot_that_only_knows_the_task():
    first, second = np.array(planted([0.9, 0.4])), np.array(planted([0.9, 0.4]))
    shift = np.zeros_like(second)
    shift[:, 0, 1], shift[:, 0, 0] = 1, -1  # index 0: the common direction of the second task is another one
    scale = np.linspace(0.5, 3, 6)[:, None]
    second[:, 0] += shift[:, 0] * np.sqrt(0.9) * scale
    found = jax.jit(cross_task)(jnp.asarray(first), jnp.asarray(second))
    # Items with the same number share their own direction: the mean of 6 x 6 has 6 of them.
    np.testing.assert_allclose(found.between, [0.1 / 6, 0.4 + 0.6 / 6], atol=1e-6)
    np.testing.assert_allclose(found.within_first, [0.9, 0.4], atol=1e-6)
    np.testing.assert_allclose(found.gap, [0.9 - 0.1 / 6, -0.6 / 6], atol=1e-6)


def test_retrieval_of_a_planted_share():
    rng = np.random.default_rng(4)
    targets = rng.normal(size=(40, 12)).astype(np.float32)
    latents = targets.copy()
    latents[:10] = targets[rng.permutation(10) - 10]  # the first ten look like someone else
    found = retrieval(latents, targets)
    assert found.accuracy == 0.75
    assert found.low < 0.75 < found.high
    assert (found.own_rank[10:] == 1).all()
    assert (found.own_rank[:10] > 1).all()
    assert found.own_cosine > found.other_cosine


def test_retrieval_without_information_is_at_chance_exactly():
    targets = np.random.default_rng(5).normal(size=(30, 4)).astype(np.float32)
    constant = retrieval(np.ones((30, 4), np.float32), targets, space="raw")
    assert constant.accuracy == pytest.approx(1 / 30)  # one latent, one winner
    zeros = retrieval(np.zeros((30, 4), np.float32), targets, space="raw")
    assert zeros.accuracy == pytest.approx(1 / 30)  # all tied
    assert (zeros.own_rank == 15.5).all()


def test_table_puts_references_beside():
    words = normal(6, 6, 21)
    table = similarity_table(planted([0.0, 0.9, 0.3]), {"words": words}).set_index(["set", "slot", "space"])
    assert table.loc[("latents", 1, "raw"), "cosine"] == pytest.approx(0.9, abs=1e-6)
    assert abs(table.loc[("words", -1, "raw"), "cosine"]) < 0.3
    assert table.loc[("words", -1, "whitened"), "shrinkage"] == 0.1
    assert len(table) == 12


@pytest.mark.parametrize(
    "call",
    [
        lambda: similarity(jnp.ones((4, 3))),
        lambda: similarity(jnp.ones((1, 3, 2))),
        lambda: similarity(jnp.ones((4, 3, 2)), space="white"),
        lambda: similarity(jnp.ones((4, 3, 2)), jnp.ones((4, 3)), space="centred"),
        lambda: cross_task(jnp.ones((4, 3, 2)), jnp.ones((4, 2, 2))),
        lambda: retrieval(jnp.ones((4, 3)), jnp.ones((3, 3))),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
