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
# # Interventions as values
#
# An intervention says what is written where. It can be printed, compared, hashed, stored as JSON and added to another;
# any number of them run in one compiled program. About a minute on two cores.

# %%
# %matplotlib inline
import json
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import display

from tokdyn import plot, reasoning
from tokdyn.reasoning import diagnose
from tokdyn.reasoning import interventions as do

FAST = os.environ.get("TOKDYN_FAST") == "1"
ITEMS = 128 if FAST else 512

# %% [markdown]
# ## Values

# %%
change = do.zero("slots", steps=[0]) + do.noise("markers", relative=0.1, site="residual", layers=1)
print(change)
assert do.from_dict(json.loads(json.dumps(change.as_dict()))) == change

# %% [markdown]
# Sites: `embedding` is what a position is fed, `residual` the stream after a layer, `cache` its keys and values, `mask`
# who is read at all. After a change later latent tokens are recomputed; `clamped` holds them at their clean values.

# %%
print(do.clamped(do.zero("slots", steps=[0]), slots=2), "-", do.clamped(do.zero("slots", steps=[0]), slots=2).later)

# %% [markdown]
# ## A battery
#
# Controls are arms like all others: writing what is there already must change nothing, and an item's own cache
# swapped for itself is a sham.

# %%
one = reasoning.shipped.load("content")
model, variables, task = one.reference.model, one.variables, one.reference.task
items = reasoning.training.items_of(task, jax.random.key(5), ITEMS)
width = model.width
arms = {
    "nothing": do.identity("slots", steps=[]),
    "identity": do.identity("slots"),
    "sham": do.swap("slots", donor="self", site="cache"),
    "donor": do.swap("slots", site="cache"),
    "unrelated donor": do.swap("slots", donor="unrelated", site="cache"),
    "zero": do.zero("slots"),
    "mean": do.mean("slots"),
    "one vector": do.constant("slots", np.ones(width), matched=True),
    "noise added": do.noise("slots", relative=0.1),
    "noise instead": do.noise("slots", spread=1.0),
    "other order": do.permute("slots", [1, 0]),
    "first repeated": do.repeat_first("slots"),
    "one slot left": do.truncate(1, slots=2),
    "no slots": do.remove("slots"),
    "no markers": do.remove("markers"),
}
battery = jax.jit(lambda v, items: reasoning.run_arms(model, v, items, arms, key=jax.random.key(0)))
clean, results = battery(variables, items)
assert bool((results["identity"].logits == results["nothing"].logits).all())
started = time.perf_counter()
jax.block_until_ready(battery(variables, items))
print(f"{len(arms)} arms on {ITEMS} items: {time.perf_counter() - started:.2f} s")

# %% [markdown]
# ## What the arms say
#
# `ablate` does it in one call: every arm beside the untouched run, trigger and parse rate first, then accuracy, the
# difference with its interval, and, where there seems to be no effect, the smallest effect that could have been seen.
# Controls are added unasked; one that must change nothing and does is an error.

# %%
asked = {name: arms[name] for name in ("donor", "zero", "other order", "no markers")}
table = reasoning.ablate(model, task, variables, items, asked, key=jax.random.key(1))
print(table.round(3).to_string())

# %% [markdown]
# The same as a figure. Every difference is within items, between an arm and the untouched run: this reasoner's answers
# need what its slots hold, in their order, and do not need the markers.

# %%
rows = table.iloc[1:]  # without the clean run
display(
    plot.paired_differences(
        list(rows.index), rows["difference"], rows["low"], high=rows["high"], sure=rows["holm"] < 0.05,
        sure_label="p < 0.05 after Holm", label="accuracy, arm minus untouched run",
        interval=f"mean over {ITEMS} items and 95 % interval",
    )
)  # fmt: skip

# %% [markdown]
# ## Your own model
#
# `run_arms` needs a reasoner of ours; the diagnostics need arrays only. Logits, latents and attention of any model go
# through the same functions.

# %%
latents = np.random.default_rng(0).normal(size=(100, 8, 64))
print(np.round(diagnose.similarity(jnp.asarray(latents)).between_items, 2))
