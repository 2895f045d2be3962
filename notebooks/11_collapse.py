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
# # Collapse: diagnose and repair your own features
#
# Tokens that should find different clusters often end at the same point. This tutorial takes features that are hard to
# cluster, says why tokens merge on them and which number to change, compares remedies on the same starts, and finds
# how many tokens there should be. Put your own array `[N, D]` in place of `features`; scores need labels, nothing else
# does. It takes about half a minute on two cores; with the environment variable `TOKDYN_FAST=1` it uses fewer seeds.

# %%
# %matplotlib inline
import os

import jax
import numpy as np
import pandas as pd
from IPython.display import display

import tokdyn as td

num_seeds = 30 if os.environ.get("TOKDYN_FAST") == "1" else 200

# %% [markdown]
# ## Features
#
# Four clusters, one five times as large as another. `td.data.mixture` makes overlap,
# stretch, imbalance, groups, background and heavy tails; `td.data.moons` and `td.data.rings` make clusters that no
# token can own.

# %%
scene = td.data.mixture(jax.random.key(3), sizes=np.array([150, 90, 60, 30]), noise=0.5)
features, labels = np.asarray(scene.features), np.asarray(scene.labels)
features.shape, np.bincount(labels).tolist()

# %% [markdown]
# ## Will the tokens collapse?
#
# `td.diagnose` compares the temperature with those at which tokens merge: that of all features, and those of the
# features which each token owns.

# %%
num_tokens = 6
dynamics = td.catalog.soft_kmeans(temperature=40.0)
found = td.diagnose(dynamics, features, num_tokens=num_tokens)
print(found)

# %% [markdown]
# Above the critical temperature everything ends at one point. A law says which number to change, and to what; what is
# left of merging then is two tokens in one cluster, since there are more tokens than clusters:

# %%
advice = td.theory.recommend(dynamics, features, num_tokens=num_tokens)
print(advice)
for name, rule in {"before": dynamics, "after": advice.dynamics}.items():
    ended = td.run(rule, jax.random.key(1), features, num_tokens=num_tokens, max_steps=300, tol=1e-3)
    print(f"{name}: {int(ended.num_distinct)} of {num_tokens} tokens are distinct")

# %% [markdown]
# Whether that is a fault depends on what the tokens are for. If they shall find the clusters, merging finds their
# number. `td.select_temperature` heats surplus tokens and looks for the number of distinct tokens that lasts longest.
# It needs no labels and no unit, and may answer that it does not know.

# %%
order = td.select_temperature(features)
print(order)
ari = td.metrics.adjusted_rand_index(labels, order.labels, num_labels=4, num_predicted=max(order.num_clusters, 1))
print(f"adjusted Rand index {float(ari):.3f}")

# %%
from tokdyn.plot.style import figure

drawn, axes = figure(1, 1, width=4.5, height=2.8)
panel = axes[0, 0]
panel.step(order.temperatures, order.distinct, where="mid", label="16 tokens, heated")
panel.axvline(order.temperature, color="0.5", linestyle="--", label="chosen")
panel.set(xscale="log", xlabel="temperature (squared units of the features)", ylabel="distinct tokens")
panel.legend()
display(drawn)

# %% [markdown]
# Where there is nothing to find, it says so: a single cluster, and moons.

# %%
nothing = np.random.default_rng(0).normal(size=(300, 6))
for name, values in {"one cluster": nothing, "moons": np.asarray(td.data.moons(jax.random.key(0)).features)}.items():
    print(f"{name}: {td.select_temperature(values)}")

# %% [markdown]
# ## Which start?
#
# With as many tokens as clusters, random starts leave clusters without a token. On the same seeds, three starts and
# the merge-aware adjusted Rand index, which counts merged tokens as one:

# %%
plain = td.catalog.soft_kmeans(temperature=1.0)


def score(key, start):
    fit = td.run(plain, key, features, num_tokens=4, max_steps=100, tol=1e-3, start=start, assignment="hard")
    return td.metrics.merged_adjusted_rand_index(labels, fit.labels, fit.tokens, resolution=0.1, num_labels=4)


keys = jax.random.split(jax.random.key(5), num_seeds)
scores = {
    start: np.asarray(jax.jit(td.vmap(lambda key, start=start: score(key, start)))(keys))
    for start in ("features", "kmeans++", "farthest_point")
}
rows = []
for start, values in scores.items():
    ends = td.stats.mean_interval(values - scores["features"]) if start != "features" else None
    gain = "" if ends is None else f"{float(ends.mean):+.3f} [{float(ends.low):+.3f}, {float(ends.high):+.3f}]"
    rows.append({"start": start, "merge-aware ARI": values.mean().round(3), "gain by seed, 95 %": gain})
pd.DataFrame(rows)

# %% [markdown]
# `tokdyn study collapse` compares remedies in 44 regimes, `tokdyn study overprovision` the choice of a temperature
# with mixtures and silhouettes of scikit-learn, on families of data that the rule was made on and on others.
