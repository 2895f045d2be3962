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
# # Latent tokens optimised at test time
#
# Some methods change a model's latent tokens while it answers, item by item, to raise a reward such as its confidence.
# Here: the estimate of the gradient against the exact one, the loop on a plain function, and a reasoner whose truth is
# known, with the controls that tell ascent from search. About a minute and a half on two cores, mostly compilation.

# %%
# %matplotlib inline
import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import display

from tokdyn import reasoning
from tokdyn.plot.latent_optimisation import Tree, injection_trees
from tokdyn.reasoning.latent_optimisation import CONFIGURATIONS, controls, estimate_gradient, optimise, optimise_latents

FAST = os.environ.get("TOKDYN_FAST") == "1"
ITEMS = 64 if FAST else 512

# %% [markdown]
# ## The estimate
#
# Reward times noise over variance is, in expectation, the gradient of the reward *smoothed* by that noise. For a
# quadratic the two gradients are one. For a sine of frequency 3 the smoothed one is smaller by exp(-9 sigma^2 / 2).

# %%
start = jnp.array([0.5, -0.2, 1.0])
for name, reward, exact in (
    ("quadratic", lambda z: 1 - jnp.sum((z - 2) ** 2), -2 * (start - 2)),
    ("smoothed sine", lambda z: jnp.sum(jnp.sin(3 * z)), 3 * jnp.cos(3 * start) * np.exp(-9 * 0.3**2 / 2)),
):
    found = estimate_gradient(
        reward, start, key=jax.random.key(0), sigma=0.3, num_samples=20_000, baseline="leave_one_out"
    )
    print(name, np.round(found.gradient, 2), "exact", np.round(exact, 2), "+-", np.round(found.standard_error, 2))
    assert (np.abs(found.gradient - exact) < 5 * found.standard_error).all()

# %% [markdown]
# One sample without baseline, as published, has the same expectation and an error that is as large as the reward over
# sigma: an update is close to a random step that the reward signs.

# %%
one = jax.vmap(
    lambda key: (
        estimate_gradient(lambda z: 1 - jnp.sum((z - 2) ** 2), start, key=key, sigma=0.3, num_samples=1).gradient
    )
)(jax.random.split(jax.random.key(1), 1000))
print("spread of one-sample estimates:", np.round(one.std(axis=0), 1), "gradient:", np.round(-2 * (start - 2), 1))

# %% [markdown]
# ## The loop
#
# `optimise` is a pure function of a reward: jit it, vmap it over starts, keys or step sizes.


# %%
def climbed(direction, accept, key):
    return optimise(
        lambda z: 1 - jnp.sum((z - 2) ** 2), start, key=key, num_steps=40, sigma=0.2, num_samples=8,
        hyper={"learning_rate": 0.05}, direction=direction, accept=accept,
    )  # fmt: skip


for direction in ("reinforce", "random"):
    for accept in ("all", "improvements"):
        run = jax.jit(jax.vmap(lambda key, d=direction, a=accept: climbed(d, a, key)))
        ends = run(jax.random.split(jax.random.key(2), 50))
        print(f"{direction}, {accept}: best reward {float(ends.best_reward[:, -1].mean()):.2f} "
              f"after {int(ends.num_evaluations[0])} evaluations")  # fmt: skip

# %% [markdown]
# The best reward so far rises under random steps too. Only the difference between the two directions, at equal
# evaluations, is the ascent's.
#
# ## A reasoner
#
# `content` answers from what its slots are fed. On noised pictures it is often wrong, so that there is room for a gain.

# %%
shipped = reasoning.shipped.load("content")
model, variables, task = shipped.reference.model, shipped.variables, shipped.reference.task
items = jax.jit(reasoning.training.items_of, static_argnums=(0, 2))(task, jax.random.key(5), ITEMS)
noise = 0.3 * jax.random.normal(jax.random.key(6), items.image.shape)
items = items._replace(image=items.image + noise)


def optimised(configuration):
    return optimise_latents(model, variables, items, key=jax.random.key(7), configuration=configuration)


dmlr = optimised(CONFIGURATIONS["dmlr"])
print(f"right before: {float(dmlr.clean_right.mean()):.1%}, after DMLR: {float(dmlr.right.mean()):.1%}, "
      f"reward {float(dmlr.reward[:, 0].mean()):.3f} -> {float(dmlr.best_reward[:, -1].mean()):.3f}")  # fmt: skip

# %% [markdown]
# ## Controls, and a reward that is hacked
#
# The learning rate is a traced number: a sweep compiles nothing anew. With larger steps the reward goes to its maximum,
# and accuracy goes down, whether steps follow the estimate or not: latents that make the model sure of something are
# easy to find, and being sure is not being right.

# %%
bare = dataclasses.replace(CONFIGURATIONS["dmlr"], patches=0, start_patches=0)
chosen = controls(bare)
if FAST:
    chosen = {name: chosen[name] for name in ("reinforce, improvements",)}
for name, configuration in chosen.items():
    for rate in (1e-3, 1e-2, 1e-1):
        found = optimised(dataclasses.replace(configuration, learning_rate=rate))
        print(f"{name}, rate {rate:g}: reward {float(found.reward[:, 0].mean()):.3f} -> "
              f"{float(found.best_reward[:, -1].mean()):.3f}, right {float(found.right.mean()):.1%}, "
              f"{int(found.num_evaluations[0])} evaluations")  # fmt: skip

# %% [markdown]
# Better latents exist: the gradient of an oracle that knows the right answer finds them.

# %%
oracle = dataclasses.replace(
    chosen["reinforce, improvements"], reward="answer_log_probability", estimator="gradient", accept="all",
    optimiser="adam", learning_rate=0.1,
)  # fmt: skip
found = optimised(oracle)
print(f"an oracle's gradient: {float(found.clean_right.mean()):.1%} -> {float(found.right.mean()):.1%}")

# %% [markdown]
# ## What was injected
#
# DMLR also tries patches: those that a slot attends to most stay if the reward rises. Left: the picture, patches from
# the start (S) and in the order of acceptance. Right: every candidate, hollow where it was rejected.

# %%
tried = np.asarray(dmlr.candidates.any(axis=-1) & ~dmlr.taken).sum(axis=(1, 2))
both = np.minimum(np.asarray(dmlr.taken).sum(axis=(1, 2)), tried)
trees = [
    Tree(
        items.image[i], dmlr.start_patches[i], dmlr.candidates[i], dmlr.candidate_reward[i], dmlr.taken[i],
        dmlr.best_reward[i], f"right before: {bool(dmlr.clean_right[i])}, after: {bool(dmlr.right[i])}",
    )
    for i in np.argsort(-both)[:3]
]  # fmt: skip
display(injection_trees(trees, patch=task.patch))

# %% [markdown]
# `tokdyn study latent-optimisation` does all this for seven reasoners, with intervals, equivalence tests, settings
# chosen on one half of the items and judged on the other.
