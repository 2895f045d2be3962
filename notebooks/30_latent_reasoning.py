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
# # Latent reasoning: who carries the answer?
#
# A latent visual reasoner writes vectors where others write words. Do these vectors carry the image, do they drive the
# answer, or do they only mark a mode? Here are small reasoners of which we *know* it, because masks and training leave
# no other way. About a minute on two cores.

# %%
# %matplotlib inline
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from tokdyn import reasoning
from tokdyn.plot.tasks import task_samples
from tokdyn.reasoning import diagnose
from tokdyn.reasoning import interventions as do

FAST = os.environ.get("TOKDYN_FAST") == "1"
ITEMS = 128 if FAST else 512

# %% [markdown]
# ## A task with exact answers
#
# Every place of the picture shows a sign that names another place. The question is a start; the answer is where three
# hops lead. Everything a diagnostic needs comes with the item: the steps, the patches that each step reads, and
# colours that nobody asks for.

# %%
task = reasoning.tasks.pointer_chase(hops=3)
items = reasoning.training.items_of(task, jax.random.key(1), ITEMS)
made = reasoning.tasks
families = {
    "pointer chase": task, "visual search": made.visual_search(), "counting": made.counting(),
    "rotation": made.rotation(), "maze": made.maze(), "reachability": made.reachability(),
}  # fmt: skip
# Three items of each family: the picture with the patches that each step reads, and beside it the helper.
fig = task_samples(families, jax.random.key(0))

# %% [markdown]
# ## A protocol is a value
#
# What slots are fed, when they stop, who may read what. In the reference "content" a slot sees the image and itself
# only, and the answer sees slots only: what a slot knows of the question is what it was fed.

# %%
shipped = {name: reasoning.shipped.load(name) for name in ("content", "compute", "bypassed", "marker")}
for name, one in shipped.items():
    print(f"{name:9s} {one.accuracy:.3f}  {one.reference.truth}")
shipped["content"].reference.model.protocol

# %% [markdown]
# ## Taken apart
#
# The same arms on four reasoners, each in one compiled program. The cache of a slot is what later positions read of it;
# its embedding is what it was fed.

# %%
ARMS = {
    "nothing": do.identity("slots", steps=[]),
    "embedding: zero": do.zero("slots"),
    "embedding: another item's": do.swap("slots"),
    "cache: another item's": do.swap("slots", site="cache"),
    "cache: mean": do.mean("slots", site="cache"),
    "slots removed": do.remove("slots"),
    "markers removed": do.remove("markers"),
}
accuracy = {}
for name, one in shipped.items():
    model, own = one.reference.model, reasoning.training.items_of(one.reference.task, jax.random.key(2), ITEMS)
    clean, results = jax.jit(
        lambda variables, items, model=model: reasoning.run_arms(model, variables, items, ARMS, key=jax.random.key(3))
    )(one.variables, own)
    accuracy[name] = [float(jnp.mean(results[arm].answer == own.answer)) for arm in ARMS]

fig, axis = plt.subplots(figsize=(7, 2.6))
drawn = axis.imshow(np.array(list(accuracy.values())), vmin=0, vmax=1, cmap="cividis")
axis.set_xticks(range(len(ARMS)), ARMS, rotation=35, ha="right")
axis.set_yticks(range(len(accuracy)), accuracy)
fig.colorbar(drawn, label="share of right answers")
for row, values in enumerate(accuracy.values()):
    for column, value in enumerate(values):
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="w" if value < 0.6 else "k", fontsize=7)

# %% [markdown]
# In "compute" the embeddings are constants: swapping them is no change at all, and yet everything goes through the
# slots, as the swapped cache shows. In "marker" nothing but the markers matters.

# %%
assert accuracy["compute"][2] == accuracy["compute"][0]
assert accuracy["compute"][3] < 0.3 < accuracy["bypassed"][3]

# %% [markdown]
# ## Where the donor's state leads
#
# A slot's embedding taken from another item is that item's intermediate place. The chain goes on from there, through
# the signs of the item's own picture: the task knows the exact answer.

# %%
one = shipped["content"]
model, variables = one.reference.model, one.variables
donors = jnp.roll(jnp.arange(ITEMS), -1)
steps = range(model.places.slots)
arms = {f"step {step}": do.swap("slots", steps=[step]) for step in steps}
clean, results = jax.jit(lambda v, items: reasoning.run_arms(model, v, items, arms, key=jax.random.key(3)))(
    variables, items
)
for step in steps:
    expected = jax.vmap(task.answer_from)(items, jnp.full(ITEMS, step + 1), items.steps[donors, step])
    follows = jnp.mean(results[f"step {step}"].answer == expected)
    print(f"state of slot {step} from a donor: {follows:.3f} answer where that state leads")
    assert follows > 0.9

# %% [markdown]
# ## The recurrence as a dynamics
#
# How alike are latent tokens of different items, and do they come together as steps go on?

# %%
latents = clean.sites.embeddings[:, model.places.where("slots")]
measured = diagnose.similarity(latents)
print("cosine between items, by slot:", np.round(measured.between_items, 2))
