"""The topological model: its losses against transcriptions, its distances, and what a pull without a push does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn import geometry
from tokdyn.geometry import topology
from tokdyn.train.fit import fit

WORDS, WIDTH, SIDE = 12, 16, 8


@functools.cache
def vectors():
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(3, WIDTH))
    return (np.repeat(centres, 4, axis=0) + 0.2 * draw.normal(size=(WORDS, WIDTH))).astype(np.float32)


def loss_of(pull="attraction", form="differences"):
    return geometry.topological_loss(vectors(), num_neighbours=3, pull=pull, form=form)


def test_neighbours_are_those_of_largest_cosine():
    found = np.asarray(loss_of().neighbours)
    unit = vectors() / np.linalg.norm(vectors(), axis=1, keepdims=True)
    for word in range(WORDS):
        order = sorted((other for other in range(WORDS) if other != word), key=lambda o: -unit[word] @ unit[o])
        assert set(found[word]) == set(order[:3])
        assert {number // 4 for number in found[word]} == {word // 4}


def test_pulls_by_their_definition():
    """Both in NumPy, word by word."""
    places = np.random.default_rng(1).uniform(-1, 1, size=(WORDS, 2)).astype(np.float32)
    away = np.linalg.norm(places[:, None] - places, axis=2).astype(float)
    near = np.asarray(loss_of().neighbours)
    temperature = 0.7
    attraction = np.mean([-np.log(np.exp(-away[word, near[word]] / temperature) + 1e-8) for word in range(WORDS)])
    kernel = 1 / (1 + 100 * away**2)
    contrastive = np.mean([
        -np.log(kernel[word, near[word]] / (kernel[word].sum() - kernel[word, word])) for word in range(WORDS)
    ])  # fmt: skip
    call = jax.jit(lambda places: [
        loss_of(*kind).topology(places, temperature)
        for kind in (("attraction", "differences"), ("attraction", "products"), ("contrastive", "differences"))
    ])  # fmt: skip
    np.testing.assert_allclose(np.asarray(call(places)), [attraction, attraction, contrastive], rtol=1e-4)


def test_products_are_noise_where_points_nearly_coincide():
    places = (0.7 + 1e-6 * np.random.default_rng(2).normal(size=(40, 2))).astype(np.float32)
    true = ((places[:, None].astype(float) - places) ** 2).sum(axis=2)
    call = jax.jit(topology.distances_squared, static_argnums=1)
    np.testing.assert_allclose(np.asarray(call(places, "differences")), true, rtol=1e-3, atol=1e-18)
    products = np.asarray(call(places, "products"))
    away = ~np.eye(40, dtype=bool)
    assert np.corrcoef(products[away], true[away])[0, 1] < 0.5


@functools.partial(jax.jit, static_argnames=("pull", "num_steps"))
def trained(key, *, pull, num_steps=150):
    model = geometry.topological(words=WORDS, width=WIDTH, side=SIDE)
    made = fit(
        model, loss_of(pull), jnp.asarray(vectors()), key=key, num_steps=num_steps, hyper={"learning_rate": 3e-3}
    )
    (places, patterns, logits), _ = model.apply(made.variables, jnp.asarray(vectors()))
    start = model.apply(model.init(key), jnp.asarray(vectors()))[0][0]
    again = model.read(made.variables, patterns)
    return start, places, patterns, logits, again


@pytest.mark.parametrize("pull", ["attraction", "contrastive"])
def test_a_pull_alone_brings_all_words_to_one_place(pull):
    start, places, patterns, logits, again = (np.asarray(of) for of in trained(jax.random.key(0), pull=pull))
    np.testing.assert_allclose(again, logits, atol=1e-4)
    assert patterns.shape == (WORDS, SIDE, SIDE, 3)
    assert 0 <= patterns.min() <= patterns.max() <= 1
    if pull == "attraction":
        assert places.std(axis=0).mean() < 0.2 * start.std(axis=0).mean()
    else:
        assert places.std(axis=0).mean() > 10 * start.std(axis=0).mean()
        centres = places.reshape(3, 4, 2).mean(axis=1)
        inside = np.linalg.norm(places.reshape(3, 4, 2) - centres[:, None], axis=2).max()
        assert min(np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > inside


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        (np.ones((3, 4), np.float32), {"num_neighbours": 3}, "vectors: expected more words than the 3 neighbours"),
        (np.ones((6, 4), np.float32), {}, "vectors: expected different rows, got duplicates of one"),
        (np.eye(6, 4, dtype=np.float32), {}, "vectors: expected rows with a direction, got a zero vector"),
        (np.full((6, 4), np.nan, np.float32), {}, "vectors: expected finite numbers"),
        (np.eye(6, dtype=np.float32), {"pull": "push"}, "pull: expected one of 'attraction', 'contrastive'"),
        (np.eye(6, dtype=np.float32), {"form": "sums"}, "form: expected one of 'differences', 'products'"),
    ],
)
def test_bad_losses(rows, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        geometry.topological_loss(rows, **options)


@pytest.mark.parametrize("options", [{"side": 12}, {"side": 0}, {"words": 1}, {"width": 0}, {"dimensions": 0}])
def test_bad_models(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected"):
        geometry.topological(**{"words": 4, "width": 4, "side": 8, **options})
