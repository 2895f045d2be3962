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
# # Meaning in codes: maps, noise, composition, context
#
# Does it matter that codes of words mean something? A published notebook found that meaning makes training 200 times
# faster, that patterns compose 40 % worse than embeddings, and that topology cannot be kept. Here each of these is a
# few lines, beside what chance gives. The tutorial takes about two minutes on two cores; with the environment variable
# `TOKDYN_FAST=1` it uses fewer words and seeds.

# %%
# %matplotlib inline
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import tokdyn as td
from tokdyn import geometry

FAST = os.environ.get("TOKDYN_FAST") == "1"
COUNT = 80 if FAST else 400
key = jax.random.key(0)

# %% [markdown]
# ## Vectors that mean something
#
# Two thousand common words come with the package, as vectors of a sentence encoder. Your own come from a file:
# `geometry.read_vectors("vectors.txt")` reads word2vec, GloVe and npz, CLIP features among them.

# %%
table = geometry.word_vectors()
cat, dog, red, blue = table.of(["cat", "dog", "red", "blue"])
print(f"cat and dog {cat @ dog:.2f}, red and blue {red @ blue:.2f}, cat and blue {cat @ blue:.2f}")

# %% [markdown]
# ## A map, and words that it has not seen
#
# `TokenMap` is a transformer of scikit-learn. Overlap is the share of a word's five nearest that are among its five
# nearest in the map.

# %%
words = np.asarray(table.vectors[:COUNT])
new, old = words[::5], np.delete(words, np.s_[::5], axis=0)
fitted = td.TokenMap(metric="cosine", random_state=0).fit(old)
kept = geometry.preservation(old, np.asarray(fitted.transform(old), np.float32), metric="cosine")
print(f"overlap {float(kept.overlap):.2f} (chance {float(kept.chance):.3f})")
places = fitted.transform(new)
fig, axis = plt.subplots(figsize=(4, 3.4))
axis.plot(*fitted.transform(old).T, ".", color="0.75", label="fitted")
axis.plot(*places.T, ".", color="C0", label="new")
axis.set(xticks=[], yticks=[])
legend = axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

# %% [markdown]
# ## What meaning costs, and what it gives
#
# Codes of the same energy through a noisy channel, decoded by the nearest. Whitening takes the meaning away by degrees.
# Codes that mean something are nearer to each other, so that fewer words come back; but wrong words are nearer in
# meaning.

# %%
dial = [0.0, 0.25, 0.5, 0.75, 1.0]
rows = []
for exponent in dial:
    codes = geometry.equal_codes(key, geometry.whitened(words, exponent), numbers=384)
    rows.append(geometry.recovery(key, codes, noise=4.5, meanings=words, num_draws=5 if FAST else 20))
arbitrary = geometry.equal_codes(key, jax.random.normal(key, words.shape), numbers=384)
other = geometry.recovery(key, arbitrary, noise=4.5, meanings=words, num_draws=5 if FAST else 20)
fig, axis = plt.subplots(figsize=(4, 2.8))
axis.plot(
    [float(row.exact) for row in rows], [float(row.closeness) for row in rows], "o-", label="from meaning to none"
)
axis.plot(float(other.exact), float(other.closeness), "o", color="C1", fillstyle="none", label="arbitrary")
axis.axhline(float(other.closeness_by_chance), color="0.4", linestyle="--", linewidth=1, label="chance")
axis.set(xlabel="words that come back", ylabel="cosine of wrong words\nwith the word sent")
legend = axis.legend(frameon=False)

# %% [markdown]
# `tokdyn study grounding` has intervals, bounds and three kinds of meanings; and the published training, whose words
# are all right after one step with any target, or none.
#
# ## Composition: what order decides
#
# A sum cannot tell "A left of B" from "B left of A". Binding each part to a role can, and a part leaves again exactly.

# %%
parts = np.asarray(jax.random.normal(key, (12, 192)), np.float32) / 192**0.5
roles = np.asarray(geometry.unitary_codes(jax.random.key(1), 2, (192,)))
one, two = parts[[0, 1]], parts[[1, 0]]
for operator, options in {"sum": {}, "roles": {"roles": roles}}.items():
    both = [np.asarray(geometry.compose(pair, operator, **options)) for pair in (one, two)]
    print(f"{operator}: the two orders differ by {np.abs(both[0] - both[1]).max():.3f}")
whole = geometry.compose(one, "roles", roles=roles)
back = np.asarray(geometry.unbind(whole, roles[0])) @ parts.T
print("the first part is found again:", int(back.argmax()) == 0)

# %% [markdown]
# ## Context: which sense?
#
# A language with known senses. The token alone says nothing; the words around it say nearly everything that can be
# known.

# %%
even = (1 / 3,) * 3
made = geometry.language(key, polysemes=6, topics=6, words=6, prior=even, noise=0.3, ambiguity=0.3)
sentences = geometry.sentences(jax.random.key(2), made, number=2000, length=6)
posterior = geometry.sense_posterior(made, sentences)
print(f"exact posterior: {float((posterior.argmax(axis=1) == sentences.sense).mean()):.2f} right, chance {1 / 3:.2f}")

# %% [markdown]
# ## A pull without a push
#
# The published topological model, small, trained while you watch: with the published pull alone its loss goes to zero,
# and all words go to one place.

# %%
names = [word for members in geometry.PUBLISHED_CATEGORIES.values() for word in members]
vectors = jnp.asarray(table.of(names), jnp.float32)
model = geometry.topological(words=len(names), width=vectors.shape[1], side=8)
STEPS = 60 if FAST else 200


@jax.jit
def train(start, until):
    loss = geometry.topological_loss(np.asarray(vectors), pull="attraction")
    return td.train.fit(
        model, loss, vectors, key=key, num_steps=STEPS, record_every=STEPS // 20, start=start, until=until
    )


view = td.plot.live_training(train, num_steps=STEPS, every=STEPS // 4, names=("loss", "topology"))
places = np.asarray(model.apply(view.result.variables, vectors)[0][0])
print(f"spread of the 36 places: {places.std(axis=0).mean():.1e}")
plt.close(view.figure)

# %% [markdown]
# `tokdyn study topology` repairs it, and says how many dimensions are enough.
