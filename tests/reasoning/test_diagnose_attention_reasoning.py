"""Known attention: uniform, sharp, planted at one head, query, item and patch; mass beside entropy; Jensen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import key

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.diagnose import attention_narrowing, relevant_attention

image_attention = jax.jit(diagnose.image_attention)
attention_entropy = jax.jit(diagnose.attention_entropy, static_argnames="order")
NARROW = {"num_resamples": 200}


def random_attention(shape=(6, 2, 3, 5, 9), seed=0):
    weights = np.exp(2 * np.random.default_rng(seed).normal(size=shape))
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


IMAGE = np.arange(9) < 4
LATENT, ANSWER = np.arange(5) < 2, np.arange(5) >= 3


def test_known_distributions():
    rows = np.zeros((6, 2, 3, 5, 9), np.float32)
    rows[..., 0, :4] = 0.02  # uniform, almost no mass
    rows[..., 0, 4:] = 0.92 / 5
    rows[..., 1, 2] = 1.0  # sharp
    rows[..., 2, 4:] = 0.2  # blind
    found = image_attention(rows, IMAGE)
    np.testing.assert_allclose(found.entropy[0, 0, 0, :3], [np.log(4), 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.normalised_entropy[0, 0, 0, :3], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.mass[0, 0, 0, :3], [0.08, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(found.undefined[0, 0, 0, :3], [False, False, True])


def test_permuting_keys_and_changing_other_keys_is_a_no_op():
    attention = random_attention()
    plain = image_attention(attention, IMAGE)
    order = np.array([8, 2, 0, 5, 1, 7, 3, 6, 4])
    moved = image_attention(attention[..., order], IMAGE[order])
    np.testing.assert_allclose(moved.entropy, plain.entropy, atol=1e-5)
    words = np.where(IMAGE, attention, np.float32(0.1) * attention)
    np.testing.assert_allclose(image_attention(words, IMAGE).entropy, plain.entropy, atol=1e-5)


def test_order_of_averaging_and_jensen():
    attention = random_attention()
    first, second = (
        attention_entropy(attention, IMAGE, order=each) for each in ("entropy_then_mean", "mean_then_entropy")
    )
    assert first.shape == (6, 5)
    assert (second >= first - 1e-6).all()
    np.testing.assert_allclose(first, image_attention(attention, IMAGE).entropy.mean((1, 2)), atol=1e-6)
    one = attention[:, :1, :1]
    same = [attention_entropy(one, IMAGE, order=each) for each in ("entropy_then_mean", "mean_then_entropy")]
    np.testing.assert_allclose(*same, atol=1e-6)
    # A head that does not see the image takes no part.
    blind = np.broadcast_to(np.float32(np.arange(9) == 8), one.shape)
    np.testing.assert_allclose(attention_entropy(np.concatenate([one, blind], 2), IMAGE), same[0], atol=1e-6)


def sharpened(layer, head, queries):
    attention = random_attention()
    mass = attention[:, layer, head][:, queries][..., :4].sum(-1)
    for place, query in enumerate(queries):
        attention[:, layer, head, query, :4] = 0
        attention[:, layer, head, query, 1] = mass[:, place]
    return attention


def test_narrowing_is_found_at_its_head_with_the_mass_unchanged():
    found = attention_narrowing(key(), sharpened(1, 2, [0, 1]), IMAGE, LATENT, ANSWER, **NARROW)
    plain = attention_narrowing(key(), random_attention(), IMAGE, LATENT, ANSWER, **NARROW)
    assert np.unravel_index(found.by_head.argmin(), (2, 3)) == (1, 2)
    np.testing.assert_allclose(np.delete(found.by_head.ravel(), 5), np.delete(plain.by_head.ravel(), 5), atol=1e-6)
    np.testing.assert_allclose(found.by_head.mean(), found.difference.estimate, atol=1e-6)
    np.testing.assert_allclose(found.latent_mass, plain.latent_mass, atol=1e-6)
    normalised = found.normalised_difference.estimate * np.log(4)
    np.testing.assert_allclose(normalised, found.difference.estimate, rtol=1e-5)
    # Exchanging the groups turns the sign; sharpening what is in neither group does nothing.
    turned = attention_narrowing(key(), sharpened(1, 2, [0, 1]), IMAGE, ANSWER, LATENT, **NARROW)
    np.testing.assert_allclose(turned.difference.estimate, -found.difference.estimate, atol=1e-9)
    neither = attention_narrowing(key(), sharpened(1, 2, [2]), IMAGE, LATENT, ANSWER, **NARROW)
    np.testing.assert_allclose(neither.difference.estimate, plain.difference.estimate, atol=1e-9)


def test_masks_by_item_and_items_left_out():
    latent = jnp.broadcast_to(LATENT, (6, 5)).at[2].set(False)  # never triggered
    image = jnp.broadcast_to(IMAGE, (6, 9))
    found = attention_narrowing(key(), random_attention(), image, latent, ANSWER, **NARROW)
    np.testing.assert_array_equal(np.flatnonzero(~found.included), [2])
    assert found.difference.n == 5
    kept = np.array([0, 1, 3, 4, 5])
    expected = attention_narrowing(key(), random_attention()[kept], IMAGE, LATENT, ANSWER, **NARROW)
    np.testing.assert_allclose(found.difference.estimate, expected.difference.estimate, atol=1e-7)
    np.testing.assert_allclose(found.by_head, expected.by_head, atol=1e-6)


def test_relevant_share_against_area():
    relevant = jnp.zeros((6, 9), bool).at[:, 1].set(True).at[:, 6].set(True)  # key 6 is no image
    uniform = np.full((6, 2, 3, 5, 9), 1 / 9, np.float32)
    found = relevant_attention(key(), uniform, IMAGE, LATENT, relevant, **NARROW)
    np.testing.assert_allclose([found.share.estimate, found.area, found.enrichment], [0.25, 0.25, 1], rtol=1e-6)
    np.testing.assert_allclose(found.mass, 4 / 9, rtol=1e-6)
    sharp = relevant_attention(key(), sharpened(1, 2, [0, 1]), IMAGE, LATENT, relevant, **NARROW)
    assert np.unravel_index(sharp.by_head.argmax(), (2, 3)) == (1, 2)
    np.testing.assert_allclose(sharp.by_head[1, 2], 1, rtol=1e-6)
    np.testing.assert_allclose(sharp.by_head.mean(), sharp.share.estimate, rtol=1e-6)
    elsewhere = relevant_attention(key(), sharpened(1, 2, [0, 1]), IMAGE, LATENT, jnp.roll(relevant, 1, 1), **NARROW)
    np.testing.assert_allclose(elsewhere.by_head[1, 2], 0, atol=1e-7)


def test_relevant_items_left_out():
    relevant = jnp.zeros((6, 9), bool).at[1:, 1].set(True)
    found = relevant_attention(key(), random_attention(), IMAGE, LATENT, relevant, **NARROW)
    np.testing.assert_array_equal(found.included, np.arange(6) > 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: image_attention(random_attention()[0], IMAGE),
        lambda: image_attention(random_attention(), IMAGE[:3]),
        lambda: image_attention(random_attention(), jnp.ones(9)),
        lambda: attention_entropy(random_attention(), IMAGE, order="mean"),
        lambda: attention_narrowing(key(), random_attention(), IMAGE, jnp.zeros(5, bool), ANSWER),
        lambda: relevant_attention(key(), random_attention(), IMAGE, LATENT, jnp.zeros((6, 9), bool)),
        lambda: relevant_attention(key(), random_attention(), IMAGE, LATENT, IMAGE),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
