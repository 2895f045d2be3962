# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Visual tokens: why codes collapse, and what repairs them
#
# A published notebook mapped words to coloured grids and back, spent 200 GPU-hours, and found that every word came back
# as "the". Here the collapse takes a few seconds, and so does finding out why. The tutorial takes about two minutes on
# two cores; with the environment variable `TOKDYN_FAST=1` it uses fewer seeds and a smaller text.

# %%
# %matplotlib inline
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

import tokdyn as td
from tokdyn import autoencoder as ae

FAST = os.environ.get("TOKDYN_FAST") == "1"
SEEDS = 2 if FAST else 10

# %% [markdown]
# ## A text, and what its metric can say
#
# Our words, the notebook's counts: 189 different words, most of them seen once, and a validation text of which half the
# words are unknown. No model can pass the ceiling.

# %%
text = td.data.words.published_shape("small" if FAST else "large")
print(f"{text.vocabulary_size} words; ceiling {text.ceiling:.2%}; always the commonest {text.constant_accuracy:.2%}")

# %% [markdown]
# ## A model is three parts
#
# Encoder, bottleneck, decoder: a pytree, whose numbers can be swept without recompiling.

# %%
SIZE = text.vocabulary_size


def model_with(start, bottleneck=ae.bottlenecks.straight_through):
    scales = ae.encoders.INITIALISATIONS[start]
    return ae.autoencoder(
        ae.encoders.table(vocabulary_size=SIZE, cells=49, channels=3, **scales),
        bottleneck(),
        ae.decoders.dense(vocabulary_size=SIZE, gain=1.0 if start == "published" else 2.0**0.5),
    )


everything, types = jnp.arange(SIZE), jnp.asarray(text.types)
frequencies = jnp.asarray(text.frequencies)


def draw(key, step):
    return jax.random.choice(key, SIZE, (128,), p=frequencies)


def judged(model, variables, key):
    right = model.apply(variables, everything)[0].logits.argmax(-1) == everything
    return {"types": right[types].mean()}


def train(key, start, double_softmax):
    loss = ae.losses.objective(words=ae.losses.cross_entropy(double_softmax=double_softmax))
    return td.train.fit(model_with(start), loss, draw, key=key, num_steps=200, record_every=20, evaluate=judged)


# %% [markdown]
# An ensemble is `td.vmap(fit)`: here over seeds and over the strength of the fault, in one compiled
# program for each start.

# %%
keys = jax.random.split(jax.random.key(0), SEEDS)
strengths = jnp.array([0.0, 1.0])
runs = {
    start: jax.jit(td.vmap(lambda strength, start=start: td.vmap(lambda key: train(key, start, strength))(keys)))(
        strengths
    )
    for start in ("published", "unit")
}
curves = {
    f"{start} start, {loss}": fits.history["types"][i]  # [seeds, points]
    for start, fits in runs.items()
    for i, loss in enumerate(("logits", "double softmax"))
}
display(td.plot.loss_curves(np.arange(1, 11) * 20, curves, label="share of words right"))

# %% [markdown]
# Lines are means, bands reach from the lowest seed to the highest.

# %% [markdown]
# ## Naming the cause
#
# `diagnose` looks at the weights, the loss and the text, and says what is wrong, with the evidence.

# %%
collapsed = jax.tree.map(lambda leaf: leaf[1, 0], runs["published"])
loss = ae.losses.objective(words=ae.losses.cross_entropy(double_softmax=1.0))
found = ae.diagnose.diagnose(
    model_with("published"), collapsed.variables, text, key=jax.random.key(1), loss=loss, history=collapsed.history
)
print(found)
assert found.cause == "double_softmax"

# %% [markdown]
# The repaired model has no fault left; what remains is the metric's own ceiling, set by words that training never had.

# %%
healthy = jax.tree.map(lambda leaf: leaf[0, 0], runs["unit"])
print(ae.diagnose.diagnose(model_with("unit"), healthy.variables, text, key=jax.random.key(1),
                           loss=ae.losses.objective(), history=healthy.history).cause)  # fmt: skip

# %% [markdown]
# ## Quantizers on your own encoder
#
# Every quantizer works alone: inputs `[..., cells, channels]`, codes of that shape, usage counted per codebook.

# %%
vectors = jax.random.normal(jax.random.key(2), (512, 4, 8))
for name, quantizer in {
    "VQ": ae.quantizers.vector_quantizer(num_codes=64, start="kmeans"),
    "FSQ": ae.quantizers.finite_scalar_quantizer(levels=(4, 4, 4)),
    "LFQ": ae.quantizers.lookup_free_quantizer(bits=6),
}.items():
    variables = quantizer.init(jax.random.key(3), 8)
    code, state = quantizer.apply(variables, vectors, key=jax.random.key(4), train=True)
    code, _ = quantizer.apply({**variables, "state": state}, vectors)
    counts = ae.quantizers.usage(code.indices, 64)
    print(f"{name}: perplexity {float(ae.quantizers.perplexity(counts)[0]):.1f} of 64")

# %% [markdown]
# ## Glyphs: patterns that are neither arbitrary nor semantic
#
# A drawn word is a pattern made of its letters, so a word that was never seen still has one.

# %%
from tokdyn.data.glyphs import render

drawn = render(["token", "pattern", "unseen"], height=12, font="DejaVuSansMono")
figure, panels = plt.subplots(1, 3, figsize=(6, 1), layout="constrained")
for panel, image in zip(panels, drawn, strict=True):
    panel.imshow(image, cmap="gray_r")
    panel.axis("off")
plt.show()

# %% [markdown]
# `tokdyn study autoencoder` does all of this for 55 conditions and 12 seeds, `tokdyn study quantizers` and
# `tokdyn study scaling` go on from there; `td.autoencoder.save_run` and `tokdyn diagnose FILE` do the same for your own
# training.
