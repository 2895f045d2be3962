"""One text for NumPy and jax: arrays of NumPy stay NumPy's, and say what one compiled program says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.diagnose.probing import correct_at_sites

DRAWN = np.random.default_rng(0)
LATENTS, OTHER = DRAWN.normal(size=(2, 12, 3, 8)).astype(np.float32)
LATENTS[1] = LATENTS[0]  # two items alike: something to merge
LOGITS, CHANGED = DRAWN.normal(size=(2, 12, 5)).astype(np.float32)
LOGITS[0, 0] = CHANGED[0, 0] = -np.inf  # a choice that cannot be
ANSWERS = DRAWN.integers(1, 5, 12)
WEIGHTS = DRAWN.uniform(size=(6, 2, 2, 4, 7)).astype(np.float32) * (np.arange(7) != 2)
IMAGE = np.arange(7) < 4

CASES = {
    "transformed": lambda a: diagnose.transformed(a(LATENTS), a(OTHER), space="whitened"),
    "similarity": lambda a: diagnose.similarity(a(LATENTS), space="centred"),
    "cross_task": lambda a: diagnose.cross_task(a(LATENTS), a(OTHER[:7]), space="whitened"),
    "degeneration": lambda a: diagnose.degeneration(a(LATENTS), a(OTHER)),
    "movement": lambda a: diagnose.movement(a(np.swapaxes(LATENTS, 0, 1))),
    "latent_change": lambda a: diagnose.latent_change(a(LATENTS), a(OTHER)),
    "answer_change": lambda a: diagnose.answer_change(a(LOGITS), a(CHANGED), a(ANSWERS)),
    "confidence": lambda a: diagnose.confidence(a(LOGITS), num_likeliest=3),
    "visual_dependence": lambda a: diagnose.visual_dependence(a(LOGITS[1:]), a(CHANGED[1:]), mask=a(LOGITS[1:] > 0)),
    "image_attention": lambda a: diagnose.image_attention(a(WEIGHTS), a(IMAGE)),
    "attention_entropy": lambda a: diagnose.attention_entropy(a(WEIGHTS), a(IMAGE), order="mean_then_entropy"),
}


@pytest.mark.parametrize("name", CASES)
def test_numpy_says_what_a_program_says(name):
    on_host = jax.tree.leaves(CASES[name](lambda array: array))
    compiled = jax.tree.leaves(jax.jit(lambda: CASES[name](jnp.asarray))())
    assert not any(isinstance(leaf, jax.Array) for leaf in on_host)
    for ours, theirs in zip(on_host, compiled, strict=True):
        # Sums of some tens of float32 numbers of order 1, and a covariance's inverse root.
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


def test_probes_of_numpy_and_of_jax_are_right_on_the_same_items():
    labels = np.stack([np.arange(60) % 3, np.arange(60) % 2])
    sites = DRAWN.normal(size=(2, 60, 5)).astype(np.float32)
    sites[0, :, 0] += 2 * labels[0]
    wide = DRAWN.normal(size=(1, 60, 80)).astype(np.float32)  # more features than items
    folds = np.arange(60) // 12
    for features in (sites, wide):
        given = {"sizes": (3, 2), "num_folds": 5, "penalties": (0.01, 1.0, 100.0)}
        ours = correct_at_sites(features, labels, folds, **given)
        np.testing.assert_array_equal(ours, correct_at_sites(jnp.asarray(features), labels, folds, **given))
        # A task that others stand beside is judged as it is alone, whatever their number of labels.
        alone = correct_at_sites(features, labels[1:], folds, **{**given, "sizes": (2,)})
        np.testing.assert_array_equal(ours[:, 1:], alone)
    assert correct_at_sites(sites, labels, folds, **given)[0, 0].mean() > 0.6
